"""Settings that cannot serve together, and those that the command line fills in."""

from __future__ import annotations

import os

import pytest

from common.access.keys import declared_keys
from common.settings.load import (
    Settings,
    SettingsError,
    fill_environment,
    named_servers,
)


def test_mail_needs_the_address_that_its_links_begin_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FRAMEMILL_SMTP_HOST", "mail.example")
    with pytest.raises(SettingsError, match="FRAMEMILL_API_PUBLIC_URL"):
        Settings.load()

    monkeypatch.setenv("FRAMEMILL_API_PUBLIC_URL", "https://media.example")
    assert Settings.load().smtp.host == "mail.example"


def test_a_rules_webhook_needs_a_secret_to_sign_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rule = '[{"bucket": "b", "preset": "web", "webhook": "https://example.org/hook"}]'
    monkeypatch.setenv("FRAMEMILL_EVENTS_RULES", rule)
    with pytest.raises(SettingsError, match=r"rule 1: .*FRAMEMILL_WEBHOOKS_SECRET"):
        Settings.load()

    monkeypatch.setenv("FRAMEMILL_WEBHOOKS_SECRET", "whsec_" + "A" * 32)
    assert Settings.load().events.rules[0].webhook == "https://example.org/hook"


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


def test_the_variables_that_name_a_server_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = {"REDIS_URL": "redis://a/0", "FRAMEMILL_STORE_URL": "", "HOME": "/"}
    monkeypatch.setattr(os, "environ", given)
    assert named_servers() == ["REDIS_URL"]


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


def faults(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> list[str]:
    """Load the settings with one variable; return the lines about what is wrong."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    return [line.strip() for line in str(caught.value).splitlines()[1:]]


def test_a_misspelt_field_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = faults(monkeypatch, "FRAMEMILL_API_PROT", "80")
    assert line.endswith("; did you mean FRAMEMILL_API_PORT?")


def test_a_misspelt_field_of_a_whole_section_is_reported_with_the_nearest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (line,) = faults(monkeypatch, "FRAMEMILL_API", '{"prot": 80}')
    assert line.startswith("FRAMEMILL_API_PROT: no such setting")
    assert line.endswith("; did you mean FRAMEMILL_API_PORT?")


def test_a_section_that_is_not_json_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (line,) = faults(monkeypatch, "FRAMEMILL_API", '{"port":')
    assert line.startswith("FRAMEMILL_API: not JSON (")
    assert "FRAMEMILL_API_FIELD" in line


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("API_AUTH", "maybe", "'maybe' is not true or false; write true or false"),
        (
            "LIMITS_SOURCE_BYTES",
            "4GB",
            "'4GB' is not a whole number; write digits only, such as 10737418240",
        ),
        ("STORE_TIMEOUT_SECONDS", "2s", "'2s' is not a number; write it like 2"),
        ("API_PORT", "0", "'0' is too small; write at least 1"),
        (
            "LOG_LEVEL",
            "loud",
            "'loud' is not allowed; write 'debug', 'info', 'warning'",
        ),
        ("STORE_PREFIX", "a b", "'a b' has the wrong form; it must match ^[a-z0-9:_-]"),
        ("EGRESS_PORTS", "80,x", "item 2: 'x' is not a whole number; write digits"),
        (
            "EGRESS_PRIVATE_NETWORKS",
            "10.0.0.0/8,z",
            "item 2: 'z' does not appear to be",
        ),
        ("LEASE_SECONDS", "1", "a heartbeat every 5 seconds (FRAMEMILL_LEASE_BEAT_"),
        ("EVENTS_RULES", "[{", "the value is not JSON ("),
        ("EVENTS_RULES", '[{"preset": "web"}]', "rule 1: 'bucket' is missing"),
        (
            "EVENTS_RULES",
            '[{"bucket": "b", "preset": "web", "sufix": ".mp4"}]',
            "rule 1: 'sufix' is not a known field; did you mean 'suffix'?",
        ),
        (
            "EVENTS_RULES",
            '[{"bucket": "b", "preset": "web", "destination": {"prefix": "x/{key}"}}]',
            "rule 1: destination: 'bucket' is missing",
        ),
        (
            "PRESETS",
            '{"x": [{"kind": "thumbnail"}, {"kind": "thumbnail", "widht": 5}]}',
            "preset 'x': output 2: 'widht' is not a known field; did you mean 'width'?",
        ),
        ("PRESETS", '{"x": [{"width": 5}]}', "preset 'x': output 1: 'kind' is missing"),
        ("PRESETS", '{"x": [{"kind": "film"}]}', "output 1: kind 'film' is not known"),
        (
            "PRESETS",
            '{"x": [{"kind": "thumbnail", "time": true}]}',
            "preset 'x': output 1: time: True is not a number",
        ),
        ("PRESETS", '{"x": []}', "preset 'x': the list has too few items; write at"),
        ("PRESETS", "[1]", "the list is not an object; write a JSON object: {...}"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place_and_what_would_be_right(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, text: str
) -> None:
    (line,) = faults(monkeypatch, f"FRAMEMILL_{name}", value)
    root = "FRAMEMILL_LEASE" if name == "LEASE_SECONDS" else f"FRAMEMILL_{name}"
    assert line.startswith(f"{root}: ")
    assert text in line


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FRAMEMILL_WEBHOOKS_SECRET", "sesame"),
        ("FRAMEMILL_API_KEYS", '["sesame"]'),
        ("FRAMEMILL_API_PREVIOUS_SECRETS", '["sesame", 1]'),
        ("FRAMEMILL_API_KEYS", "sesame"),
        (
            "FRAMEMILL_EVENTS_RULES",
            '[{"bucket": "b", "preset": "web", "webhook": ["sesame"]}]',
        ),
    ],
)
def test_what_may_be_a_secret_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    (line,) = faults(monkeypatch, name, value)
    assert line.startswith(f"{name}: ")
    assert "sesame" not in line


def test_a_declared_keys_digest_is_not_repeated_as_it_may_be_the_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FRAMEMILL_API_KEYS", '[{"id": "a", "sha256": "sesame"}]')
    with pytest.raises(SettingsError) as caught:
        declared_keys(Settings.load())
    lines = str(caught.value).splitlines()[1:]
    assert lines[0].strip() == "FRAMEMILL_API_KEYS: key 1: 'name' is missing"
    assert "sha256: the value has the wrong form; it must match" in lines[1]
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "url", "what"),
    [
        ("BROKER", "rabbitmq://h", r"begins with rabbitmq://.*write amqp://USER:"),
        (
            "BROKER",
            "127.0.0.1:6379",
            "it may be redis://, rediss://, sentinel://, amqp://",
        ),
        ("BROKER", "valkey://h:6379", "write redis://"),
        ("BROKER", "redis:///0", "names no host.*write redis://:PASSWORD@HOST"),
        ("BROKER", "amqp://u:p@/v", "names no host"),
        ("BROKER", "redis://h/jobs", "number of a database, not a name"),
        ("BROKER", "amqp://u:sec/ret@h:5672/", "cannot be read.*%2F for /"),
        (
            "STORE",
            "amqp://h",
            r"begins with amqp://; it may be redis://, rediss://, sentinel://;",
        ),
        ("STORE", "redis://h:70000/0", "a number from 1 to 65535"),
    ],
)
def test_a_servers_url_that_cannot_serve_is_told_with_one_that_could(
    monkeypatch: pytest.MonkeyPatch, variable: str, url: str, what: str
) -> None:
    monkeypatch.setenv(f"FRAMEMILL_{variable}_URL", url)
    with pytest.raises(SettingsError, match=rf"FRAMEMILL_{variable}_URL: .*{what}") as (
        fault
    ):
        Settings.load()
    assert "sec/ret" not in str(fault.value), "a password is in the text"


@pytest.mark.parametrize(
    "url",
    [
        "redis://h",
        "rediss://:p%2Fw@h:6380/3",
        "redis+socket:///run/valkey.sock",
        "amqp://user:word@h//",
        "amqps://user:word@h:5671/media",
    ],
)
def test_a_brokers_url_may_be_what_celery_reads(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("FRAMEMILL_BROKER_URL", url)
    assert Settings.load().broker.url == url


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("sentinel://:a@h/0;sentinel://:b@i/0", "differ in user, password or database"),
        ("sentinel://h/0;sentinel://i/1", "differ in user, password or database"),
        ("sentinel://h/0;i:26379/0", "begins with i://|has no scheme"),
        ("sentinel://h/0;redis://i/0", "different schemes"),
        ("redis://h/0;redis://i/0", "one URL, without ';'"),
    ],
)
def test_urls_of_sentinels_that_name_different_servers_are_refused(
    monkeypatch: pytest.MonkeyPatch, url: str, what: str
) -> None:
    monkeypatch.setenv("FRAMEMILL_BROKER_URL", url)
    with pytest.raises(SettingsError, match=what):
        Settings.load()
