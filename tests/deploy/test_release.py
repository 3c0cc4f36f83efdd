"""The notes of a release are its section of the changelog."""

from __future__ import annotations

import re

import pytest

from deploy import release
from tests.conftest import ROOT

CHANGELOG = """\
# Changelog

## [Unreleased]

## [1.2.0] - 2026-11-29

### Added

- One thing.

## [1.1.0] - 2026-10-01

### Fixed

- Another.
"""


def test_the_notes_are_the_section_of_the_tag():
    assert release.notes("v1.2.0", CHANGELOG) == "### Added\n\n- One thing.\n"


@pytest.mark.parametrize(
    ("tag", "told"),
    [
        ("1.2.0", "'1.2.0' is no tag of a release: vX.Y.Z"),
        ("v1.2.0rc1", "'v1.2.0rc1' is no tag of a release"),
        ("v1.3.0", "no section for v1.3.0: name it '## [1.3.0] - YYYY-MM-DD'"),
        ("v1.1.0", "v1.1.0 is not the newest release in CHANGELOG.md: that is v1.2.0"),
    ],
)
def test_a_tag_without_notes_is_refused(tag, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        release.notes(tag, CHANGELOG)


def test_an_empty_section_is_refused():
    with pytest.raises(ValueError, match=r"section for v1.2.0 .* is empty"):
        release.notes("v1.2.0", CHANGELOG.replace("### Added\n\n- One thing.\n", ""))


def test_the_command_reads_the_changelog_of_the_project(capsys):
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

    assert "## [Unreleased]\n" in text
    assert release.main(["v999.0.0"]) == 2
    assert "no section for v999.0.0" in capsys.readouterr().err
    assert release.main([]) == 2
