"""The units of deploy/systemd: valid, confined, and started as processes."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import pytest

from common.jobs.queue import QUEUES
from common.settings.load import Settings
from tests.chaos.service import until
from tests.common import valkey
from tests.conftest import ROOT, SAMPLE
from tests.ports import free_port

UNITS = ROOT / "deploy" / "systemd"
HOME = "/opt/framemill"
SERVICES = sorted(path.name for path in UNITS.glob("*.service"))
each_service = pytest.mark.parametrize("name", SERVICES)


def lines(name: str, key: str) -> list[str]:
    """Return the values of one key of a unit, in their order."""
    text = (UNITS / name).read_text()
    return re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)


def example() -> dict[str, str]:
    text = (UNITS / "environment.example").read_text()
    return dict(re.findall(r"^([A-Z_0-9]+)=(.*)$", text, re.MULTILINE))


@pytest.mark.needs("systemd-analyze")
def test_systemd_finds_nothing_in_the_units(tmp_path):
    for path in UNITS.glob("*.*"):
        # Where the clone is expected, with the programs that the units start.
        (tmp_path / path.name).write_text(path.read_text().replace(HOME, str(ROOT)))
    names = [name.replace("@", f"@{QUEUES[0]}") for name in SERVICES]
    done = subprocess.run(
        ["systemd-analyze", "verify", *names, "framemill.target"],  # noqa: S607
        cwd=tmp_path,
        env=os.environ | {"SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (0, "")


@each_service
def test_a_unit_runs_without_privileges_and_comes_back(name):
    (user,), (restart,) = lines(name, "User"), lines(name, "Restart")

    assert (user, restart) == ("framemill", "always")
    for key, value in (
        ("NoNewPrivileges", "true"),
        ("CapabilityBoundingSet", ""),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "true"),
        ("PrivateTmp", "true"),
        ("PrivateDevices", "true"),
        ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX"),
    ):
        assert lines(name, key) == [value], key


def test_workers_leave_room_for_the_sandbox_around_ffmpeg():
    name = "framemill-worker@.service"
    for key in ("RestrictNamespaces", "SystemCallFilter", "ProcSubset", "ProtectProc"):
        assert lines(name, key) == []
    (files,) = lines(name, "LimitNOFILE")

    assert int(files) >= 257


@pytest.mark.needs("setpriv")
def test_the_sandbox_works_without_privileges_to_gain():
    # What NoNewPrivileges and CapabilityBoundingSet of the unit are to a process.
    code = "from worker.media.sandbox import layers as l; print(l.refusal('required'))"
    done = subprocess.run(
        [
            *("setpriv", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"),
            *(sys.executable, "-c", code),
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.stdout == "None\n"


def test_a_worker_has_longer_to_stop_than_it_takes():
    (seconds,) = lines("framemill-worker@.service", "TimeoutStopSec")

    assert int(seconds) > Settings.load().worker.shutdown_seconds + 10


def test_the_example_is_made_of_settings_with_valid_values(monkeypatch):
    for name, value in example().items():
        monkeypatch.setenv(name, value)

    settings = Settings.load()

    assert settings.blobs.backend == "local"
    folders = {*lines("framemill-api.service", "StateDirectory")}
    assert {settings.blobs.path.parts[3]} == folders


class Host:
    """The units as processes: their commands with their environment."""

    def __init__(self, folder: Path, servers: dict[str, str]) -> None:
        self.folder = folder
        self.ports = {"8000": free_port(), "5555": free_port()}
        (folder / "opt").mkdir()
        self.given = (
            example()
            | servers
            | {
                "FRAMEMILL_API_SECRET": "s" * 64,
                "FRAMEMILL_BLOBS_PATH": str(folder / "state" / "blobs"),
                # A busy machine may take longer than the service would wait.
                "FRAMEMILL_STORE_TIMEOUT_SECONDS": "30",
                "FRAMEMILL_API_PUBLIC_URL": f"http://127.0.0.1:{self.ports['8000']}",
            }
        )
        self.flower = {
            "CELERY_BROKER_URL": servers["FRAMEMILL_BROKER_URL"],
            "FLOWER_BASIC_AUTH": "user:password",
        }

    def environment(self, name: str, instance: str) -> dict[str, str]:
        """Return what systemd puts there: the unit's own, and its file's."""
        (file,) = lines(name, "EnvironmentFile")
        given = {
            "/etc/framemill/environment": self.given,
            "/etc/framemill/flower": self.flower,
        }[file]
        own = [
            word for line in lines(name, "Environment") for word in shlex.split(line)
        ]
        values = dict(word.split("=", 1) for word in own) | given
        values = {key: self._here(value, instance) for key, value in values.items()}
        return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"} | values

    def start(self, name: str, instance: str = "") -> subprocess.Popen[bytes]:
        values = self.environment(name, instance)
        (command,) = lines(name, "ExecStart")
        command = self._here(command, instance)
        words = [
            re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], word)
            for word in command.split()
        ]
        with (self.folder / f"{name}{instance}.log").open("wb") as log:
            return subprocess.Popen(words, cwd=ROOT, env=values, stdout=log, stderr=log)

    def _here(self, text: str, instance: str) -> str:
        text = text.replace(HOME, str(ROOT)).replace("%i", instance)
        text = text.replace("%p", "framemill-worker").replace("%%", "%")
        text = text.replace("/var/cache/framemill", str(self.folder / "cache"))
        for inside, here in self.ports.items():
            text = re.sub(rf"(?<=[:=]){inside}\b|^{inside}$", str(here), text)
        return text


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    folder = tmp_path_factory.mktemp("host")
    with ExitStack() as stack:
        servers = {}
        for name in ("BROKER", "STORE"):
            (folder / name).mkdir()
            url, _ = stack.enter_context(valkey.running(folder / name))
            servers[f"FRAMEMILL_{name}_URL"] = url
        one = Host(folder, servers)
        children = [one.start("framemill-worker@.service", name) for name in QUEUES]
        others = ("api", "reaper", "flower")
        children += [one.start(f"framemill-{name}.service") for name in others]
        try:
            yield one
        finally:
            for child in reversed(children):
                child.terminate()
            for child in reversed(children):
                child.wait(120)


def fetched(url, **headers):
    try:
        request = urllib.request.Request(url, headers=headers)
        with urllib.request.urlopen(request, timeout=90) as answer:
            return answer.read()
    except OSError:
        return b""


@pytest.mark.needs("curl")
def test_a_job_goes_through_the_parts_that_the_units_start(host):
    url = host.given["FRAMEMILL_API_PUBLIC_URL"]
    until(
        lambda: b'"status": "ok"' in fetched(f"{url}/readyz").replace(b'":"', b'": "'),
        120,
        "the service is whole",
    )
    page = (ROOT / "docs/how-to/deploy-hosts.md").read_text()
    form = r"^(\.venv/bin/python -m api\.cli keys .*)$"
    (words,) = re.findall(form, page, re.MULTILINE)
    made = subprocess.run(
        words.split(),
        cwd=ROOT,
        env=host.environment("framemill-api.service", ""),
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    key = made.stdout.split()[0]
    (line,) = re.findall(r"^(curl .*)$", page, re.MULTILINE)
    clip = host.folder / "clip.mp4"
    shutil.copy(SAMPLE, clip)
    command = line.replace("KEY", key).replace("8000", str(host.ports["8000"]))
    sent = subprocess.run(
        [*shlex.split(command), "-sS", "-H", "Prefer: wait=60"],
        cwd=host.folder,
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )

    job = f"{url}/v1/jobs/{json.loads(sent.stdout)['id']}"
    bearer = {"Authorization": f"Bearer {key}"}
    until(
        lambda: json.loads(fetched(job, **bearer))["status"] == "completed",
        240,
        "the job completed",
    )


def test_flower_shows_itself_to_those_with_the_password(host):
    url = f"http://127.0.0.1:{host.ports['5555']}/flower/"

    until(lambda: fetched(f"{url}healthcheck"), 120, "Flower answers")
    assert fetched(url) == b""
    assert fetched(url, Authorization="Basic dXNlcjpwYXNzd29yZA==")
