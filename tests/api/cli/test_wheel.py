"""The wheel: one import package, which is the client, and the server's code below it.

It is built in a repository with a tag, from which it has its version.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from tests.api.cli.test_main import clip, server
from tests.conftest import ROOT, SAMPLE
from tests.ports import free_port

__all__ = ["clip", "server"]  # fixtures

VERSION = "97.8.6"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
DIST_INFO = f"framemill-{VERSION}.dist-info"


def run_pip(*words: str | Path) -> None:
    """Run pip on what is here; it may ask no package index."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", *words, "--no-deps", "--no-index"],
        check=False,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr


def tag(tree: Path, name: str) -> None:
    """Make a repository of a folder, of one commit with a tag."""
    git = shutil.which("git") or "git"
    author = ("-c", "user.name=Test", "-c", "user.email=test@localhost")
    for words in (
        ("init", "--quiet"),
        ("add", "--all"),
        (*author, "commit", "--quiet", "--message", "All of it"),
        ("tag", name),
    ):
        subprocess.run([git, *words], cwd=tree, check=True, timeout=60)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy what is packed, since setuptools writes beside what it reads."""
    folder = tmp_path_factory.mktemp("tree")
    for name in ("pyproject.toml", "LICENSE", "NOTICE", "MANIFEST.in", ".gitignore"):
        shutil.copy(ROOT / name, folder)
    for name in ("api", "common", "worker", "deploy", "docs"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    tag(folder, f"v{VERSION}")
    return folder


@pytest.fixture(scope="module")
def sdist(tree: Path) -> Path:
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--sdist", tree],
        check=True,
        capture_output=True,
        timeout=200,
    )
    (path,) = (tree / "dist").glob("*.tar.gz")
    return path


@pytest.fixture(scope="module")
def wheel(tree: Path) -> Path:
    run_pip("wheel", "--no-build-isolation", "--wheel-dir", tree / "dist", tree)
    (path,) = (tree / "dist").glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site-packages")
    run_pip("install", "--target", folder, wheel)
    return folder


def framemill(
    installed: Path, *words: str, code: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run the wheel's command without any other package; -S hides site-packages."""
    done = subprocess.run(
        [sys.executable, "-S", installed / "bin" / "framemill", *words],
        check=False,
        cwd=installed,
        env={"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == code, done.stderr
    return done


def rooms():
    """Return the files of the server that the wheel brings, by their names in it."""
    found = {ROOT / "deploy/__init__.py", ROOT / "deploy/release.py"}
    for room in ("api", "common", "worker", "deploy/allinone"):
        found |= {path for path in (ROOT / room).rglob("*") if path.is_file()}
    kept = [path.relative_to(ROOT) for path in found if path.suffix != ".pyc"]
    return {f"framemill/_server/{path}" for path in kept}


def test_it_installs_one_import_package_and_asks_for_no_other(wheel, installed):
    there = {path.name for path in installed.iterdir()}
    assert there == {"framemill", DIST_INFO, "bin"}
    assert [path.name for path in (installed / "bin").iterdir()] == ["framemill"]

    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(f"{DIST_INFO}/METADATA").decode()
    here = {f"framemill/{path.name}" for path in (ROOT / "api/cli").glob("*.py")}
    packed = {name for name in names if name.startswith("framemill/")}
    assert packed == here | {"framemill/py.typed"} | rooms()
    needs = Parser().parsestr(metadata).get_all("Requires-Dist")
    assert [one for one in needs if "; extra == " not in one] == []


def test_the_source_archive_makes_the_same_wheel(sdist, wheel, tmp_path):
    run_pip("wheel", "--no-build-isolation", "--wheel-dir", tmp_path, sdist)
    (again,) = tmp_path.glob("*.whl")

    def files(path: Path) -> dict[str, int]:
        with zipfile.ZipFile(path) as archive:
            return {one.filename: one.CRC for one in archive.infolist()}

    assert again.name == wheel.name
    assert files(again) == files(wheel)


def test_the_client_of_the_wheel_makes_a_job(installed, server, clip):
    code = f"""
from framemill import Client, Refused
client = Client({server!r})
print(client.submit({str(clip)!r}, {{"metadata": 7}})["metadata"])
try:
    client.submit({str(clip)!r}, {{"outputs": 5}})
except Refused as refused:
    print(refused.status, refused.problem["code"])
"""
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        check=True,
        env={"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )

    assert done.stdout == "7\n422 invalid_request\n"


def test_the_command_of_the_wheel_submits(installed, server, clip):
    assert "submit" in framemill(installed, "--help").stdout

    done = framemill(installed, "submit", str(clip), "--server", server)

    assert done.stdout.startswith(f"accepted {server}/v1/jobs/")


@pytest.mark.parametrize(("words", "extra"), [("keys list", "api"), ("up", "embedded")])
def test_a_server_command_without_its_packages_says_what_installs_them(
    installed, words, extra
):
    told = framemill(installed, *words.split(), code=4).stderr

    assert f"framemill {words.split()[0]} needs Python packages" in told
    assert "celery" in told
    assert f"pip install 'framemill[{extra}]' installs them" in told


def environment_with(wheel: Path, extra: str, folder: Path) -> Path:
    """Install the wheel with an extra into an environment alone; return its programs.

    The versions are those of the lock, which the cache of ``./dev install`` has.
    """
    uv = shutil.which("uv") or str(ROOT / ".tools" / "bin" / "uv")
    lock = ROOT / "deploy" / "locks" / "run.txt"
    settings = {"UV_CACHE_DIR": str(ROOT / ".tools" / "cache")}
    if CERTIFICATES.exists():
        settings["UV_SYSTEM_CERTS"] = "true"
    install = ("pip", "install", "--quiet", "--python", folder / "bin" / "python")
    for words in (
        ("venv", "--quiet", "--python", sys.executable, folder),
        (*install, "--constraint", lock, f"{wheel}[{extra}]"),
    ):
        done = subprocess.run(
            [uv, *words],
            check=False,
            env=settings | dict(os.environ),
            capture_output=True,
            text=True,
            timeout=250,
        )
        assert done.returncode == 0, done.stderr
    return folder / "bin"


def test_the_whole_service_runs_from_the_wheel_in_an_empty_folder(wheel, tmp_path):
    empty, home = tmp_path / "empty", tmp_path / "home"
    empty.mkdir()
    home.mkdir()
    environment = {"HOME": str(home), "PATH": os.environ["PATH"]}
    program = environment_with(wheel, "embedded", tmp_path / "venv") / "framemill"

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, *words],
            check=False,
            cwd=empty,
            env=environment,
            capture_output=True,
            text=True,
            timeout=200,
        )

    up = subprocess.Popen(
        [program, "up", "--port", str(free_port())],
        cwd=empty,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        said = []
        while not said or not said[-1].startswith("Up until Ctrl-C"):
            said.append(up.stdout.readline())
            assert said[-1], said
        made = run("submit", str(SAMPLE), "-o", "results")
        keys = run("keys", "list")
        second = run("up")
        document = json.loads(run("openapi").stdout)
    finally:
        up.send_signal(signal.SIGINT)
        rest, _ = up.communicate(timeout=60)

    assert made.returncode == 0, made.stderr + "".join(said)
    pictures = sorted(path.name for path in (empty / "results").rglob("*.*"))
    assert pictures == ["animation.gif", "thumbnail.jpg"]
    assert keys.returncode == 0, keys.stderr
    assert document["info"]["version"] == VERSION
    assert second.returncode == 1
    assert "framemill: another framemill up runs on" in second.stderr
    assert up.returncode == 0
    assert rest.endswith("Ended.\n")
    assert (home / ".local/share/framemill/logs/worker.log").is_file()
    assert [path.name for path in empty.iterdir()] == ["results"]


@pytest.mark.parametrize(
    ("extra", "command"),
    [
        (
            "api",
            "gunicorn --check-config --worker-class api.server.Worker api.wsgi:app",
        ),
        ("worker", "celery -A worker.app report"),
    ],
)
def test_an_extra_has_all_that_its_part_needs(wheel, tmp_path, extra, command):
    programs = environment_with(wheel, extra, tmp_path / "venv")
    words = [programs / "framemill", "code"]
    code = subprocess.check_output(words, text=True, timeout=60).strip()
    program, *options = command.split()

    done = subprocess.run(
        [programs / program, *options],
        check=False,
        cwd=tmp_path,
        env={
            "PYTHONPATH": code,
            "PYTHONSAFEPATH": "1",
            "FRAMEMILL_API_SECRET": "0" * 64,
            "FRAMEMILL_STORE_URL": "redis://127.0.0.1:9/0",
        },
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_version_is_that_of_the_tag(installed):
    assert framemill(installed, "--version").stdout == f"framemill {VERSION}\n"
