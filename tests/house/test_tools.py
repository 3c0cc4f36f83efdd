"""What a machine lacks skips tests on a laptop, and fails them in a CI."""

from __future__ import annotations

import pytest

from tests import tools


def test_given_a_laptop_without_a_program_then_its_tests_are_skipped(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CI", raising=False)

    with pytest.raises(pytest.skip.Exception, match=r"curl .* \(Debian: curl\)"):
        tools.need("curl")


def test_given_a_ci_without_a_program_then_its_tests_fail(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CI", "true")

    with pytest.raises(pytest.fail.Exception, match="curl is missing"):
        tools.need("curl")


def test_given_a_name_that_nobody_knows_then_it_is_a_fault(monkeypatch):
    with pytest.raises(KeyError):
        tools.need("crul")
