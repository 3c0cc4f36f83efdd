"""The version of a checkout and of an image; test_wheel.py has that of a wheel."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

from tests.conftest import ROOT


def run(*words, tree=ROOT):
    return subprocess.run(
        [sys.executable, "-P", "-m", "api.cli", *words],
        check=True,
        cwd=os.sep,
        env={"PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout


def test_a_checkout_is_unreleased():
    assert run("--version") == "framemill unreleased\n"


def test_an_image_has_the_version_that_it_was_built_with(tmp_path):
    for room in ("api", "common"):
        ignored = shutil.ignore_patterns("__pycache__", "static")
        shutil.copytree(ROOT / room, tmp_path / room, ignore=ignored)
    (tmp_path / "VERSION").write_text("1.2.0\n", encoding="utf-8")

    document = json.loads(run("openapi", tree=tmp_path))

    assert run("--version", tree=tmp_path) == "framemill 1.2.0\n"
    assert document["info"]["version"] == "1.2.0"


def test_the_images_of_the_api_write_that_file():
    for name in ("api", "allinone"):
        text = (ROOT / "deploy/docker" / f"Dockerfile.{name}").read_text("utf-8")

        assert 'ARG VERSION=unreleased\nRUN echo "${VERSION}" > VERSION\n' in text
