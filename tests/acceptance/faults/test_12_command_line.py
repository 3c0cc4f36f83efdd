"""Line 12: the command line finds the running service; batches explain themselves."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.service import Service, started
from tests.conftest import SAMPLE

STILL = json.dumps([{"kind": "thumbnail", "policy": "keyframe", "width": 64}])
CODE = ("api", "common", "deploy", "worker", "dev", "framemill")


@pytest.fixture(scope="module")
def clone(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of its own, so that its ``.data`` is nobody else's."""
    folder = tmp_path_factory.mktemp("clone")
    for name in CODE:
        source = tree / name
        copy = shutil.copytree if source.is_dir() else shutil.copy2
        copy(source, folder / name)
    return folder


@pytest.fixture(scope="module")
def running(clone: Path) -> Iterator[Service]:
    """That clone's ``./dev``, which asks for keys, on other ports than the usual."""
    with started(clone / ".data", clone, FRAMEMILL_API_AUTH="true") as service:
        yield service


@pytest.fixture(scope="module")
def key(running: Service, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = running.command("keys", "create", "me")
    assert made.returncode == 0, made.stderr
    assert "warning" not in made.stderr
    path = tmp_path_factory.mktemp("key") / "key"
    path.write_text(made.stdout)
    return path


def test_a_key_made_in_a_clone_is_one_of_the_service_that_runs_there(
    running: Service, key: Path
) -> None:
    token = key.read_text().strip()
    answer = running.ask("/v1/jobs", Authorization=f"Bearer {token}")

    assert answer.json()["jobs"] == []


def test_submit_takes_several_files_and_goes_to_that_service(
    running: Service, key: Path, tmp_path: Path
) -> None:
    clips = [shutil.copy(SAMPLE, tmp_path / name) for name in ("a.mp4", "b.mp4")]

    done = running.command(
        "submit", *clips, "--key-file", key, "--outputs", STILL, "-o", tmp_path / "out"
    )

    assert done.returncode == 0, done.stderr
    for name in ("a.mp4", "b.mp4"):
        assert (tmp_path / "out" / name / "thumbnail" / "thumbnail.jpg").is_file()


def test_a_batch_of_a_folder_says_what_failed_and_a_rerun_makes_only_the_rest(
    running: Service, key: Path, tmp_path: Path
) -> None:
    films = tmp_path / "films"
    films.mkdir()
    shutil.copy(SAMPLE, films / "good.mp4")
    (films / "broken.mp4").write_bytes(b"no video at all " * 500)
    words = ["batch", films, "--suffix", ".mp4", "--key-file", key]
    words += ["--outputs", STILL, "-o", tmp_path / "out"]

    first = running.command(*words)

    assert first.returncode == 3, first.stderr
    assert "broken.mp4: unsupported_format:" in first.stdout
    saved = tmp_path / "out" / "good.mp4" / "thumbnail" / "thumbnail.jpg"
    assert saved.is_file()

    shutil.copy(SAMPLE, films / "same again.mp4")
    (films / "broken.mp4").write_bytes(b"nor is this one " * 500)
    second = running.command(*words, "--json")

    assert second.returncode == 3, second.stderr
    assert "saved" not in second.stderr
    batch, _ = json.JSONDecoder().raw_decode(second.stdout)
    assert batch["total"] == 1, "only the broken one anew"


def test_without_a_service_the_command_refuses_to_guess_one(clone: Path) -> None:
    alone = clone.parent / "alone"
    shutil.copytree(clone, alone, ignore=shutil.ignore_patterns(".data"))

    refused = Service("", tree=alone).command("keys", "create", "me")

    assert refused.returncode == 2
    assert "no ./dev runs" in refused.stderr
    assert "FRAMEMILL_STORE_URL" in refused.stderr
    assert not refused.stdout


def test_a_key_for_a_service_that_asks_nobody_comes_with_a_warning(
    service: Service,
) -> None:
    assert service.data is not None
    made = service.command("keys", "create", "me", "--data", service.data)

    assert made.returncode == 0, made.stderr
    assert "asks nobody for a key" in made.stderr
