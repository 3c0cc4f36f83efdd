"""The compose file and the images against the schema and the settings."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import imageio_ffmpeg
import pytest
import yaml

from common.jobs.queue import QUEUES
from common.settings.load import Settings
from tests.conftest import ROOT
from tests.deploy.compose_file import (
    COMPOSE,
    DOCKERFILES,
    GIVEN,
    SERVICES,
    command,
    environment,
    fill,
    image_command,
    image_environment,
)
from tests.tools import CHECKS

TOOLS = Path(sys.executable).parent
OURS = ["api", "worker-fast", "worker-slow", "reaper", "s3-poller"]
VALKEYS = ["broker", "store"]
each_image = pytest.mark.parametrize("path", DOCKERFILES.values(), ids=DOCKERFILES)


def test_the_compose_file_holds_to_its_schema():
    done = subprocess.run(
        [
            TOOLS / "check-jsonschema",
            *("--builtin-schema", "vendor.compose-spec"),
            ROOT / "docker-compose.yml",
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stdout + done.stderr


@each_image
def test_the_linter_finds_nothing_in_a_dockerfile(path):
    done = subprocess.run(
        [TOOLS / "hadolint", path],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("service", OURS)
def test_every_variable_is_a_setting_with_a_valid_value(service, monkeypatch):
    for name, value in environment(service).items():
        monkeypatch.setenv(name, value)

    settings = Settings.load()

    assert settings.blobs.backend == "s3"
    assert settings.broker.url != settings.store.url


@pytest.mark.parametrize("service", OURS)
def test_urls_name_services_of_this_file_on_their_own_ports(service):
    urls = {
        name: value
        for name, value in environment(service).items()
        if name.endswith("_URL") and not name.startswith("FRAMEMILL_EVENTS_")
    }

    public = {name for name in urls if "PUBLIC" in name}
    for name in urls.keys() - public:
        url = re.fullmatch(
            r"\w+://(?:framemill:\w+@)?([\w-]+):(\d+)(?:/0)?", urls[name]
        )
        assert url
        assert url[2] == {"broker": "6379", "store": "6379", "storage": "8333"}[url[1]]
    for name in ("broker", "store"):
        assert f"@{name}:" in urls[f"FRAMEMILL_{name.upper()}_URL"]


def test_the_workers_serve_every_queue_between_them():
    served = {
        environment(name)["FRAMEMILL_WORKER_QUEUES"]
        for name in SERVICES
        if name.startswith("worker-")
    }

    assert served == set(QUEUES)


def test_nothing_is_published_beyond_loopback():
    ports = [port for one in SERVICES.values() for port in one.get("ports", [])]

    assert ports
    assert all(fill(port, {}).startswith("127.0.0.1:") for port in ports)


def test_the_api_is_reached_through_the_proxy_alone():
    values, proxy = environment("api"), environment("proxy")
    config = (ROOT / "deploy/proxy/Caddyfile").read_text()

    assert "ports" not in SERVICES["api"]
    assert values["FRAMEMILL_API_TRUSTED_PROXIES"] == "1"
    assert "--bind 0.0.0.0:8000" in " ".join(command("api"))
    for name, inside in (
        ("API", f"api:{values['FRAMEMILL_API_PORT']}"),
        ("FLOWER", f"flower:{command('flower')[-1].removeprefix('--port=')}"),
        ("STORAGE", "storage:8333"),
    ):
        assert f"{{$PROXY_{name}:{inside}}}" in config
    for name, port in (("ADDRESS", 8000), ("STORAGE_ADDRESS", 8333)):
        assert proxy[f"PROXY_{name}"] == f":{port}"
        assert f'{{$PROXY_{name}:":{port}"}}' in config
        assert f"127.0.0.1:{port}:{port}" in SERVICES["proxy"]["ports"]
    assert values["FRAMEMILL_API_PUBLIC_URL"] == "http://127.0.0.1:8000"
    assert values["FRAMEMILL_S3_PUBLIC_ENDPOINT_URL"] == "http://127.0.0.1:8333"


def test_the_proxy_takes_every_body_that_the_api_takes():
    size = environment("proxy")["PROXY_BODY_SIZE"]

    assert size.endswith("GiB")
    assert int(size.removesuffix("GiB")) * 2**30 > Settings.load().limits.source_bytes


@pytest.mark.needs("caddy")
def test_the_configuration_of_the_proxy_is_valid_and_formatted():
    config = ROOT / "deploy/proxy/Caddyfile"
    for words in (
        ["validate", "--adapter", "caddyfile", "--config"],
        ["fmt", "--diff"],
    ):
        done = subprocess.run(
            [CHECKS / "caddy", *words, config],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr + done.stdout


def test_the_api_asks_for_keys(monkeypatch):
    for name, value in environment("api").items():
        monkeypatch.setenv(name, value)

    api = Settings.load().api

    assert (api.auth, api.embedded) == (True, False)


def test_what_not_everybody_needs_starts_only_where_it_is_asked_for():
    profiles = {
        name: one["profiles"] for name, one in SERVICES.items() if "profiles" in one
    }

    assert profiles == {
        "s3-poller": ["events"],
        "mail": ["mail"],
        "prometheus": ["metrics"],
        "grafana": ["metrics"],
    }


def test_workers_can_be_scaled():
    for name in ("worker-fast", "worker-slow"):
        # A name, a port or a host name of its own could only be one container's.
        assert SERVICES[name].keys() & {"container_name", "ports", "hostname"} == set()
        # Copies of sources are shared, and folders of tasks are locked, on one volume.
        assert len(SERVICES[name]["volumes"]) == 1
        assert not any(word.startswith("--hostname") for word in command(name))


def test_the_mail_catcher_is_reached_by_the_settings_that_it_names(monkeypatch):
    text = (ROOT / "docker-compose.yml").read_text()
    (names,) = re.findall(
        r"# (FRAMEMILL_SMTP_HOST=mail,.*?)settings\.env", text, re.DOTALL
    )
    words = re.findall(r"(_\w+|FRAMEMILL_\w+)=([\w*]+)", names)
    for name, value in words:
        full = name if name.startswith("F") else f"FRAMEMILL_SMTP{name}"
        monkeypatch.setenv(full, value)
    monkeypatch.setenv("FRAMEMILL_API_PUBLIC_URL", "http://127.0.0.1:8000")

    smtp = Settings.load().smtp

    assert (smtp.host, smtp.port, smtp.security) == ("mail", 1025, "none")
    assert smtp.recipients == ["*"]
    assert set(SERVICES["mail"]["networks"]) & set(SERVICES["worker-fast"]["networks"])


@pytest.mark.parametrize("service", ["api", "worker-fast", "reaper", "s3-poller"])
def test_the_secret_of_webhooks_reaches_who_signs_and_who_checks(service):
    given = GIVEN | {"FRAMEMILL_WEBHOOKS_SECRET": "whsec_x"}

    assert environment(service, given)["FRAMEMILL_WEBHOOKS_SECRET"] == "whsec_x"


def test_the_poller_has_its_queue_and_its_rules(monkeypatch):
    rules = '[{"bucket":"videos","preset":"web"}]'
    given = GIVEN | {
        "FRAMEMILL_EVENTS_QUEUE_URL": "https://sqs.test/1/videos",
        "FRAMEMILL_EVENTS_RULES": rules,
    }
    for name, value in environment("s3-poller", given).items():
        monkeypatch.setenv(name, value)

    events = Settings.load().events

    assert events.queue_url == "https://sqs.test/1/videos"
    assert [rule.preset for rule in events.rules] == ["web"]
    assert events.dead_letter_url is None


@pytest.mark.parametrize("service", VALKEYS)
def test_redis_keeps_everything_and_evicts_nothing(service):
    words = command(service)

    assert {"--appendonly yes", "--maxmemory-policy noeviction"} <= set(words)
    assert SERVICES[service]["networks"] == ["inside"]
    assert any(":/data" in one for one in SERVICES[service]["volumes"])


@pytest.mark.parametrize("service", VALKEYS)
def test_a_server_has_users_and_the_rest_may_only_ping(service):
    users = [word.split() for word in command(service) if word.startswith("--user")]
    rights = {words[1]: words[2:] for words in users}

    assert rights.pop("default")[-2:] == ["-@all", "+ping"]
    assert "framemill" in rights
    for words in rights.values():
        assert {"on", "-@admin", "-@dangerous"} <= set(words)


def test_the_store_holds_keys_of_its_prefix_alone():
    (user,) = [word for word in command("store") if word.startswith("--user framemill")]

    assert f"~{Settings.load().store.prefix}*" in user.split()


def test_the_operations_page_leads_to_where_flower_is_shown():
    prefix = environment("flower")["FLOWER_URL_PREFIX"]
    values = environment("api")

    url = values["FRAMEMILL_API_FLOWER_PUBLIC_URL"]
    assert url == f"{values['FRAMEMILL_API_PUBLIC_URL']}/{prefix}/"
    assert f"handle /{prefix}/*" in (ROOT / "deploy/proxy/Caddyfile").read_text()


def test_flower_asks_for_a_password():
    assert environment("flower")["FLOWER_BASIC_AUTH"] == "user:password"
    assert "FLOWER_UNAUTHENTICATED_API" not in environment("flower")
    # It gets no other secret of the service.
    assert SERVICES["flower"]["env_file"] == []


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_every_service_has_a_health_check_and_restarts(service):
    assert SERVICES[service]["healthcheck"]["test"]
    assert SERVICES[service]["restart"] == "always"


@pytest.mark.parametrize("service", ["worker-fast", "worker-slow"])
def test_a_worker_has_longer_to_stop_than_it_takes(service):
    grace = int(SERVICES[service]["stop_grace_period"].removesuffix("s"))

    assert grace > int(environment(service)["FRAMEMILL_WORKER_SHUTDOWN_SECONDS"]) + 10


@each_image
def test_an_image_installs_by_hash_and_runs_as_nobody_special(path):
    text = path.read_text()
    stages = re.findall(r"^FROM (\S+)", text, re.MULTILINE)

    (lock,) = re.findall(r"COPY (deploy/locks/\w+\.txt)", text)
    assert (ROOT / lock).exists()
    assert "--require-hashes" in text
    # What installs stays behind; the base can be given with a digest.
    assert stages == ["${BASE}", "${BASE}"]
    assert "ARG BASE=python:3.11-slim-bookworm\n" in text
    assert re.search(r"^USER 10001$", text, re.MULTILINE)
    assert 'ENTRYPOINT ["tini", "--"]' in text
    assert "HEALTHCHECK" in text
    assert image_environment(path)["PYTHONSAFEPATH"] == "1"


@each_image
def test_an_image_names_what_its_copies_need(path):
    kept = (ROOT / ".dockerignore").read_text().splitlines()

    for source in re.findall(
        r"^COPY (?!--from)(.*) \S+$", path.read_text(), re.MULTILINE
    ):
        for one in source.split():
            assert (ROOT / one).exists()
            assert any(f"!{one}".startswith(line) for line in kept if line[0] == "!"), (
                one
            )


def test_the_images_copy_what_their_rooms_import():
    rooms = {"api": ("api",), "worker": ("worker",), "allinone": ("api", "worker")}
    for name, copied in rooms.items():
        text = DOCKERFILES[name].read_text()
        for room in (*copied, "common"):
            assert f"COPY {room} {room}\n" in text


WATCHERS = {"prometheus", "grafana"}


@pytest.mark.parametrize("name", sorted(set(SERVICES) & {*OURS, *WATCHERS, "flower"}))
def test_a_service_cannot_write_to_its_image_and_has_no_privilege(name):
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_the_notice_names_the_ffmpeg_that_the_lock_pins():
    done = subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-version"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    version, commit = re.search(r"version (n[\d.]+)-\d+-g(\w+)", done.stdout).groups()
    text = (ROOT / "NOTICE").read_text()

    assert version in text
    assert f"FFmpeg at commit {commit}" in " ".join(text.split())
    assert "--enable-nonfree" not in done.stdout


def test_the_image_for_one_machine_starts_what_dev_starts(monkeypatch):
    path = DOCKERFILES["allinone"]
    words = image_command(path)
    for name, value in image_environment(path).items():
        if name.startswith("FRAMEMILL_"):
            monkeypatch.setenv(name, value)

    settings = Settings.load()

    assert words[:3] == ["python", "-m", "deploy.allinone"]
    assert words[words.index("--data") + 1] in path.read_text().split("VOLUME ")[1]
    assert (settings.api.auth, settings.api.host) == (True, "0.0.0.0")
    assert settings.api.public_url.endswith(f":{words[words.index('--port') + 1]}")
    # Signed links of the embedded S3 would lead to the container's own loopback.
    assert settings.blobs.backend == "local"


def test_every_volume_is_declared():
    used = {
        one.split(":")[0]
        for service in SERVICES.values()
        for one in service.get("volumes", [])
    }

    assert {one for one in used if not one.startswith("./")} == set(COMPOSE["volumes"])
    assert all((ROOT / one).exists() for one in used if one.startswith("./"))


def mounted(service: str) -> dict[str, str]:
    """Return the files of the repository that a service sees, by their place there."""
    volumes = [one.split(":") for one in SERVICES[service]["volumes"]]
    return {one[1]: one[0] for one in volumes if one[0].startswith("./")}


def test_prometheus_has_every_file_that_its_configuration_names():
    files = mounted("prometheus")
    (place,) = [
        word.partition("=")[2]
        for word in command("prometheus")
        if word.startswith("--config.file=")
    ]
    given = yaml.safe_load((ROOT / files[place]).read_text())
    (secret,) = SERVICES["prometheus"]["secrets"]
    keys = {
        one["authorization"]["credentials_file"]
        for one in given["scrape_configs"]
        if "authorization" in one
    }

    for name in given["rule_files"]:
        assert str(Path(place).parent / name) in files
    # A file of the operator's: Compose says so where it is missing.
    assert {str(Path(place).parent / name) for name in keys} == {secret["target"]}
    file = COMPOSE["secrets"][secret["source"]]["file"]
    assert file.removeprefix("./") in (ROOT / ".gitignore").read_text().split()


def test_prometheus_reads_each_part_where_it_serves_its_metrics():
    given = yaml.safe_load((ROOT / "deploy/observability/prometheus.yml").read_text())
    (retention,) = [one for one in command("prometheus") if "retention" in one]
    read = {}
    for one in given["scrape_configs"]:
        for found in one.get("dns_sd_configs", []):
            read |= dict.fromkeys(found["names"], str(found["port"]))
        for found in one.get("static_configs", []):
            read |= dict(address.split(":") for address in found["targets"])

    assert retention.endswith("=30d")
    assert read.pop("127.0.0.1") == "9090"
    assert read.pop("api") == environment("api")["FRAMEMILL_API_PORT"]
    assert set(read) == {"worker-fast", "worker-slow", "reaper"}
    for name, port in read.items():
        values = environment(name)
        assert values["FRAMEMILL_METRICS_PORT"] == port
        assert values["FRAMEMILL_METRICS_HOST"] == "0.0.0.0"
        assert set(SERVICES[name]["networks"]) & set(SERVICES["prometheus"]["networks"])


def test_grafana_finds_its_source_and_its_dashboard():
    files = mounted("grafana")
    by_folder = {str(Path(place).parent): (place, files[place]) for place in files}
    provisioning = "/etc/grafana/provisioning"
    (source,) = yaml.safe_load(
        (ROOT / by_folder[f"{provisioning}/datasources"][1]).read_text()
    )["datasources"]
    (provider,) = yaml.safe_load(
        (ROOT / by_folder[f"{provisioning}/dashboards"][1]).read_text()
    )["providers"]
    place, dashboard = by_folder[provider["options"]["path"]]
    values = environment("grafana")

    assert source["url"] == "http://prometheus:9090"
    assert set(SERVICES["grafana"]["networks"]) & set(
        SERVICES["prometheus"]["networks"]
    )
    assert json.loads((ROOT / dashboard).read_text())["panels"]
    assert values["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == place
    assert values["GF_SECURITY_ADMIN_PASSWORD"] == GIVEN["GRAFANA_PASSWORD"]
