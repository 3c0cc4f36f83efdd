"""Every command of the deployment pages is run by a test, or cannot be run here."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import yaml

from tests.chaos.service import until
from tests.common import valkey
from tests.conftest import ROOT, SAMPLE
from tests.ports import free_port
from tests.tools import CHECKS

pytestmark = pytest.mark.deploy

HOW_TO = ROOT / "docs" / "how-to"
PAGES = sorted(path.name for path in HOW_TO.glob("deploy*.md"))
# What these commands need is on no machine that runs the tests.
ELSEWHERE = {
    "a Docker engine": r"docker |for image in ",
    "a cluster": r"kubectl (apply|-n) ",
    "an account of AWS": r"aws |export AWS_REGION=|REGISTRY=|curl .* URL/"
    r"|cdk (bootstrap|deploy|destroy)",
    "a host with systemd": r"useradd |install -|systemctl |cp .* /etc/",
    "a clone of what is published": r"git pull$",
    "a machine to install for": r"npm install --global ",
}
# What other tests run.
TESTED = {
    "tests/deploy/test_composed.py": r"deploy/docker/new-env$|curl .*:8000/v1/jobs$",
    "tests/docs/test_deploy_aws_page.py": r"cd |cdk (synth|ls|diff)|cp .* /tmp/"
    r"|KEY=|HASH=|echo ",
}
KUBERNETES = r"deploy/k8s/new-secrets |kubectl kustomize "
SBOM = r"\./dev install checks$|\.ci-work/checks/bin/cyclonedx-py "
HOSTS = (
    r"python3 -m venv |\.venv/bin/|export PYTHONPATH=|REMAP_SIGTERM=|curl .*:8000/v1/"
)


def commands(page: str) -> list[str]:
    """Return the commands of a page, each as one line, loops by their head alone."""
    text = (HOW_TO / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = "\n".join(blocks).replace("\\\n", " ")
    lines = re.sub(r"(?m)^( .*|done|)\n", "", lines)
    return [re.sub(r"\s+", " ", line).strip() for line in lines.splitlines()]


def chosen(page: str, form: str) -> list[str]:
    return [line for line in commands(page) if re.match(form, line)]


def run(line: str, folder: Path, **more: str) -> str:
    done = subprocess.run(
        ["sh", "-euc", line],  # noqa: S607
        cwd=folder,
        env=os.environ | more,
        check=True,
        capture_output=True,
        text=True,
        timeout=280,
    )
    return done.stdout


@pytest.mark.parametrize("page", PAGES)
def test_every_command_is_known(page):
    known = [*ELSEWHERE.values(), *TESTED.values(), KUBERNETES, SBOM, HOSTS]

    for line in commands(page):
        assert any(re.match(form, line) for form in known), line


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Copy what the commands of the pages read of a clone."""
    for room in ("api", "common", "worker", "deploy"):
        shutil.copytree(
            ROOT / room,
            tmp_path / room,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    return tmp_path


@pytest.mark.needs("kubectl")
def test_the_commands_for_kubernetes_write_what_they_say(clone):
    lines = chosen("deploy-kubernetes.md", KUBERNETES)
    for line in lines:
        printed = run(line, clone, PATH=f"{CHECKS}:{os.environ['PATH']}")

    kinds = [
        {one["kind"] for one in yaml.safe_load_all(text)}
        for text in (
            (clone / "secrets.yaml").read_text(),
            (clone / "framemill.yaml").read_text(),
            printed,
        )
    ]
    assert len(lines) == 3
    assert "Secret" in kinds[0]
    assert "StatefulSet" in kinds[1]
    assert "ScaledObject" in kinds[2]


@pytest.mark.needs("cyclonedx-py")
def test_the_command_for_an_sbom_lists_the_packages_of_the_lock(clone):
    (clone / ".ci-work").symlink_to(ROOT / ".ci-work")
    (line,) = chosen("deploy-compose.md", r"\.ci-work/checks/bin/cyclonedx-py ")

    run(line, clone)

    listed = json.loads((clone / "sbom-worker.json").read_text())["components"]
    lock = (clone / "deploy/locks/worker.txt").read_text()
    assert {(one["name"], one["version"]) for one in listed} == set(
        re.findall(r"^([\w.-]+)==(\S+)", lock, re.MULTILINE)
    )


@pytest.fixture
def settings(clone: Path) -> Iterator[dict[str, str]]:
    """Return the environment that the page for hosts leaves to the operator."""
    with ExitStack() as stack:
        ports = {name: free_port() for name in ("BROKER", "STORE")}
        for name, port in ports.items():
            (clone / name).mkdir()
            stack.enter_context(valkey.running(clone / name, port=port))
        yield {
            f"FRAMEMILL_{name}_URL": f"redis://127.0.0.1:{port}/0"
            for name, port in ports.items()
        } | {
            "FRAMEMILL_API_SECRET": "x" * 64,
            "FRAMEMILL_BLOBS_PATH": str(clone / "files"),
            "FRAMEMILL_WORKER_SCRATCH": str(clone / "scratch"),
            "CELERY_BROKER_URL": f"redis://127.0.0.1:{ports['BROKER']}/0",
            "FLOWER_PORT": str(free_port()),
        }


def flower_answers(port: str) -> bool:
    url = f"http://127.0.0.1:{port}/healthcheck"
    with suppress(OSError), urllib.request.urlopen(url, timeout=60) as got:
        return got.status == 200
    return False


@pytest.mark.needs("curl")
def test_the_page_for_hosts_leads_from_a_clone_to_a_job(clone, settings):
    api = str(free_port())
    lines = [
        line.replace("8000", api).replace("$PWD", str(clone))
        for line in chosen("deploy-hosts.md", HOSTS)
    ]
    venv, install, export, *servers, keys, curl = lines
    settings |= dict(word.split("=") for word in export.split()[1:])
    settings["FRAMEMILL_API_PUBLIC_URL"] = f"http://127.0.0.1:{api}"
    shutil.copy(SAMPLE, clone / "clip.mp4")
    run(f"{venv}\n{install}", clone)
    running = [
        subprocess.Popen(
            ["sh", "-c", line],  # noqa: S607
            cwd=clone,
            env=os.environ | settings,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for line in servers
    ]
    try:

        def answer(path: str, key: str = "") -> dict[str, str]:
            url = f"http://127.0.0.1:{api}{path}"
            wanted = urllib.request.Request(
                url, headers={"Authorization": f"Bearer {key}"}
            )
            with suppress(OSError), urllib.request.urlopen(wanted, timeout=60) as got:
                return json.load(got)
            return {}

        until(lambda: answer("/readyz").get("status") == "ok", 120, "it is whole")
        key = run(keys, clone, **settings).split()[0]
        job = json.loads(run(curl.replace("KEY", key), clone))["id"]
        path = f"/v1/jobs/{job}"
        until(lambda: answer(path, key).get("status") == "completed", 120, "the job")
        until(lambda: flower_answers(settings["FLOWER_PORT"]), 120, "Flower answers")
    finally:
        for one in running:
            with suppress(ProcessLookupError):
                os.killpg(one.pid, signal.SIGKILL)
            one.wait(60)
        # Each run of pytest would keep it, and it is large.
        shutil.rmtree(clone / ".venv")
    assert len(running) == 4
