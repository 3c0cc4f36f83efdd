"""What a line of the log hides, whoever writes it."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from tests.conftest import ROOT

WRITE = """
import logging, sys, structlog
from common.settings.sections import Log
from common.telemetry.logging import configure

configure(Log(format=sys.argv[1]))

def work(secret):
    raise ValueError("https://s3.test/a?X-Amz-Signature=q-signed redis://:p-word@host/0")

log = structlog.get_logger()
log.info("first", secret="k-first", url="https://h.test/x?token=q-token")
try:
    work(sys.argv[2])
except ValueError:
    log.exception("second")
    logging.getLogger("celery").exception("third")
"""


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_line_and_no_trace_shows_a_secret(form: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WRITE, form, "k-local"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )

    shown = done.stdout + done.stderr
    assert shown.count("Traceback") == 2, shown
    for secret in ("k-first", "k-local", "q-token", "q-signed", "p-word"):
        assert secret not in shown


@pytest.mark.parametrize(
    ("form", "terminal", "readable"),
    [
        ("auto", True, True),
        ("auto", False, False),
        ("json", True, False),
        ("console", False, True),
    ],
)
def test_terminals_get_lines_for_people(form: str, terminal: bool, readable: bool):
    reader, writer = pty.openpty() if terminal else os.pipe()
    subprocess.run(
        [sys.executable, "-c", WRITE, form, "k-local"],
        cwd=ROOT,
        check=True,
        stderr=writer,
        timeout=60,
    )
    first = os.read(reader, 65536).decode().splitlines()[0]
    os.close(reader)
    os.close(writer)

    assert "first" in first
    assert first.startswith("{") != readable
    assert ("\x1b[" in first) == (readable and terminal)
