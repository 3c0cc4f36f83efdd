"""The audit tells what was found, and what could not be looked up."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.house import audit

ADVISORY = {
    "id": "PYSEC-2025-89",
    "aliases": ["CVE-2025-50817"],
    "fix_versions": ["1.0.1"],
    "description": "runs a module",
}
CLEAN = {"name": "flask", "version": "3.1.3", "vulns": []}
FUTURE = {"name": "future", "version": "1.0.0", "vulns": [ADVISORY]}
SKIPPED = {"name": "celery", "skip_reason": "Dependency not found on the index"}
OTHER = FUTURE | {"name": "pillow"}
PINNED = re.compile(r"^([A-Za-z0-9._-]+)==", re.MULTILINE)


def audited(*packages: dict[str, Any]) -> int:
    """Audit by a program that prints what pip-audit prints of such packages."""
    answer = json.dumps({"dependencies": packages, "fixes": []})
    program = [sys.executable, "-c", f"print({answer!r})"]
    return audit.main(["--service", "osv"], program)


def test_every_accepted_finding_has_a_reason_and_is_about_a_locked_package():
    locked = {
        name for lock in audit.LOCKS for name in PINNED.findall(lock.read_text("utf-8"))
    }
    accepted = audit.read_accepted()

    assert accepted
    for one in accepted:
        assert len(one.reason) > 20
        assert one.date.year >= 2026
        assert one.package in locked


def test_what_is_accepted_is_known_by_any_of_its_names(capsys):
    assert audited(CLEAN, FUTURE) == 0
    said = capsys.readouterr().out
    assert "accepted on 2026-11-29: future 1.0.0: PYSEC-2025-89" in said
    assert "2 packages looked up, 0 new findings" in said


def test_the_same_advisory_about_another_package_is_a_finding(capsys):
    assert audited(CLEAN, OTHER) == audit.FINDINGS
    said = capsys.readouterr().out
    assert "FOUND pillow 1.0.0: PYSEC-2025-89 CVE-2025-50817; fixed in 1.0.1" in said
    assert "no longer found, remove it from accepted.toml: CVE-2025-50817" in said


def test_a_service_that_knows_no_package_has_not_answered(capsys):
    assert audited(SKIPPED) == audit.NO_SERVICE
    assert "nothing is known about the packages" in capsys.readouterr().err


def test_a_package_that_was_not_looked_up_is_named(capsys):
    assert audited(FUTURE, SKIPPED) == audit.NO_SERVICE
    assert "not looked up: celery" in capsys.readouterr().err


@pytest.mark.parametrize("code", ["raise SystemExit('no such host')", "print('[]')"])
def test_a_program_that_prints_no_report_is_no_answer(code, capsys):
    program = [sys.executable, "-c", code]

    assert audit.main(["--service", "pypi"], program) == audit.NO_SERVICE
    assert "pypi does not answer" in capsys.readouterr().err


def test_it_is_a_command_and_no_part_of_the_verdict():
    assert "tests.house.audit" in (ROOT / "dev").read_text("utf-8")
    assert "audit" not in (ROOT / ".ci/run").read_text("utf-8").replace(
        "--no-audit", ""
    )
