"""The wheel: one import package, the client and its command line, nothing else.

It is built in a repository with a tag, from which it has its version.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from tests.api.cli.test_main import clip, server
from tests.conftest import ROOT

__all__ = ["clip", "server"]  # fixtures

VERSION = "97.8.6"
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
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy, since setuptools writes beside what it reads."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("pyproject.toml", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, tree)
    for name in ("api", "common", "worker", "deploy", "docs"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tree / name, ignore=ignored)
    tag(tree, f"v{VERSION}")
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


def test_it_installs_one_import_package_and_asks_for_no_other(wheel, installed):
    there = {path.name for path in installed.iterdir()}
    assert there == {"framemill", DIST_INFO, "bin"}
    assert [path.name for path in (installed / "bin").iterdir()] == ["framemill"]

    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(f"{DIST_INFO}/METADATA").decode()
    here = {f"framemill/{path.name}" for path in (ROOT / "api/cli").glob("*.py")}
    packed = {name for name in names if name.startswith("framemill/")}
    assert packed == here | {"framemill/py.typed"}
    assert Parser().parsestr(metadata).get_all("Requires-Dist") is None


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


def test_an_operators_command_of_the_wheel_says_where_it_runs(installed):
    told = framemill(installed, "keys", "list", code=4).stderr

    assert "framemill keys list needs the server's code" in told
    assert "./framemill in a checkout" in told


def test_the_version_is_that_of_the_tag(installed):
    assert framemill(installed, "--version").stdout == f"framemill {VERSION}\n"
