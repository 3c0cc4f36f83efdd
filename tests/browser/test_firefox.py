"""The main way through the page in Debian's Firefox, driven by WebDriver BiDi."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.chaos.service import Service
from tests.conftest import SAMPLE
from tests.tools import NODE_MODULES, need

pytestmark = pytest.mark.browser
DRIVER = Path(__file__).with_name("firefox.mjs")


def test_a_chosen_file_becomes_a_picture(service: Service, tmp_path: Path) -> None:
    need("firefox-esr", "node", "puppeteer-core")
    node, firefox = shutil.which("node"), shutil.which("firefox-esr")
    modules = Path(NODE_MODULES).resolve()
    ran = subprocess.run(
        [node, DRIVER, firefox, service.url, SAMPLE, modules],
        # Firefox keeps its profiles and caches at home.
        env=os.environ | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    seen = json.loads(ran.stdout)
    assert seen.pop("version").startswith("firefox/")
    assert seen == {
        "name": "sample.mp4",
        "width": 640,
        "height": 360,
        "complaints": [],
    }
