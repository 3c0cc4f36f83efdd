"""Settings that cannot serve together, and those that the command line fills in."""

from __future__ import annotations

import os

import pytest

from common.settings.load import Settings, SettingsError, fill_environment


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


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("FRAMEMILL_LOGGING", "FRAMEMILL_LOG"),
        ("FRAMEMILL_APIKEYS", "FRAMEMILL_API_KEYS"),
        ("FRAMEMILL_S3ENDPOINT_URL", "FRAMEMILL_S3_ENDPOINT_URL"),
        ("FRAMEMILL_STORES_URL", "FRAMEMILL_STORE_URL"),
        ("FRAMEMILL_SOURCES_URLS", "FRAMEMILL_SOURCE_URLS"),
        ("FRAMEMILL_FFMPEG_PATH", "FRAMEMILL_FFMPEG"),
        ("FRAMEMILL_STORE_TIMEOUT", "FRAMEMILL_STORE_TIMEOUT_SECONDS"),
    ],
)
def test_a_misspelt_setting_is_refused_and_the_nearest_named(
    monkeypatch: pytest.MonkeyPatch, name: str, nearest: str
) -> None:
    monkeypatch.setenv(name, "x")
    with pytest.raises(SettingsError, match=rf"{name}: .*did you mean {nearest}\?"):
        Settings.load()


def test_settings_of_tests_are_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAMEMILL_TEST_ANYTHING", "x")
    Settings.load()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FRAMEMILL_API_PORT", "tcp://10.0.0.7:8000"),
        ("FRAMEMILL_API_SERVICE_HOST", "10.0.0.7"),
        ("FRAMEMILL_API_SERVICE_PORT_HTTP", "8000"),
        ("FRAMEMILL_API_PORT_8000_TCP_ADDR", "10.0.0.7"),
    ],
)
def test_what_kubernetes_sets_for_a_service_is_refused_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"{name}: Kubernetes.*enableServiceLinks"):
        Settings.load()
