"""Settings that cannot serve together, and those that the command line fills in."""

from __future__ import annotations

import os

import pytest

from common.config import Settings, SettingsError, fill_environment


def test_mail_needs_the_address_that_its_links_begin_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FRAMEMILL_SMTP_HOST", "mail.example")
    with pytest.raises(SettingsError, match="FRAMEMILL_API_PUBLIC_URL"):
        Settings.load()

    monkeypatch.setenv("FRAMEMILL_API_PUBLIC_URL", "https://media.example")
    assert Settings.load().smtp.host == "mail.example"


def test_what_the_environment_names_itself_is_not_filled_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "environ", {"FRAMEMILL_STORE_PREFIX": "mine:"})
    given = {"FRAMEMILL_STORE_PREFIX": "its:", "FRAMEMILL_STORE_URL": "redis://a/0"}
    fill_environment(given)
    assert os.environ == {
        "FRAMEMILL_STORE_PREFIX": "mine:",
        "FRAMEMILL_STORE_URL": "redis://a/0",
    }


def test_one_url_for_both_servers_counts_as_naming_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "environ", {"REDIS_URL": "redis://mine/0"})
    fill_environment({"FRAMEMILL_STORE_URL": "redis://its/0"})
    assert "FRAMEMILL_STORE_URL" not in os.environ
