"""The compose file and the images against the schema and the settings."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from api.cli.main import main
from common.jobs.queue import QUEUES
from common.settings.load import Settings
from tests.common import valkey
from tests.conftest import ROOT

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
DOCKERFILES = sorted((ROOT / "deploy" / "docker").glob("Dockerfile.*"))
TOOLS = Path(sys.executable).parent
GIVEN = {
    "FRAMEMILL_API_SECRET": "s" * 64,
    "FRAMEMILL_S3_ACCESS_KEY_ID": "key",
    "FRAMEMILL_S3_SECRET_ACCESS_KEY": "secret",
    "FLOWER_BASIC_AUTH": "user:password",
}
OURS = ["api", "worker-fast", "worker-slow", "reaper", "s3-poller"]
VALKEYS = ["broker", "store"]


@pytest.fixture
def redis_url(tmp_path):
    with valkey.running(tmp_path) as (url, _):
        yield url


def environment(service, given=None):
    """Return the variables as Compose would, with defaults and GIVEN filled in."""

    def fill(match):
        name, default = match[1], match[3]
        return (given or GIVEN).get(name) or (default if match[2] == ":-" else "")

    values = SERVICES[service]["environment"]
    pattern = r"\$\{(\w+)(:-|:\?)([^}]*)\}"
    return {name: re.sub(pattern, fill, value) for name, value in values.items()}


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


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
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
        host, port = re.fullmatch(r"\w+://([\w-]+):(\d+)(?:/0)?", urls[name]).groups()
        assert port == {"broker": "6379", "store": "6379", "storage": "8333"}[host]
    assert environment(service)["FRAMEMILL_BROKER_URL"].startswith("redis://broker:")
    assert environment(service)["FRAMEMILL_STORE_URL"].startswith("redis://store:")


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
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_api_listens_where_compose_publishes_it():
    values = environment("api")

    (published,) = SERVICES["api"]["ports"]
    assert published == f"127.0.0.1:{values['FRAMEMILL_API_PORT']}:8000"
    assert "--bind 0.0.0.0:8000" in DOCKERFILES[0].read_text()
    assert values["FRAMEMILL_API_PUBLIC_URL"] == "http://127.0.0.1:8000"


def test_the_api_asks_for_keys(monkeypatch):
    for name, value in environment("api").items():
        monkeypatch.setenv(name, value)

    api = Settings.load().api

    assert (api.auth, api.embedded) == (True, False)


def test_the_command_that_makes_the_first_key_is_one(monkeypatch, capsys, redis_url):
    (line,) = re.findall(
        r"docker compose exec api python -m api\.cli (keys create .*)",
        (ROOT / "docs/how-to/deploy.md").read_text(),
    )
    monkeypatch.setenv("FRAMEMILL_STORE_URL", redis_url)

    assert main(line.split()) == 0
    assert capsys.readouterr().out.startswith("fm_")
    assert line in (ROOT / "docker-compose.yml").read_text()


def test_the_poller_starts_only_where_it_is_asked_for():
    assert SERVICES["s3-poller"]["profiles"] == ["events"]
    others = [name for name, one in SERVICES.items() if "profiles" in one]

    assert others == ["s3-poller"]


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
    words = SERVICES[service]["command"]

    assert words[words.index("--appendonly") + 1] == "yes"
    assert words[words.index("--maxmemory-policy") + 1] == "noeviction"
    assert SERVICES[service]["networks"] == ["inside"]
    assert any(":/data" in one for one in SERVICES[service]["volumes"])


def test_the_operations_page_leads_to_where_flower_is_published():
    (published,) = SERVICES["flower"]["ports"]
    address = environment("api")["FRAMEMILL_API_FLOWER_PUBLIC_URL"]
    assert address == f"http://{published.rpartition(':')[0]}"


def test_flower_asks_for_a_password():
    assert environment("flower")["FLOWER_BASIC_AUTH"] == "user:password"
    assert "FLOWER_UNAUTHENTICATED_API" not in environment("flower")


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_every_service_has_a_health_check_and_restarts(service):
    assert SERVICES[service]["healthcheck"]["test"]
    assert SERVICES[service]["restart"] == "always"


@pytest.mark.parametrize("service", ["worker-fast", "worker-slow"])
def test_a_worker_has_longer_to_stop_than_it_takes(service):
    grace = int(SERVICES[service]["stop_grace_period"].removesuffix("s"))

    assert grace > int(environment(service)["FRAMEMILL_WORKER_SHUTDOWN_SECONDS"]) + 10


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_an_image_installs_by_hash_and_runs_as_nobody_special(path):
    text = path.read_text()

    (lock,) = re.findall(r"COPY (deploy/locks/\w+\.txt)", text)
    assert (ROOT / lock).exists()
    assert "--require-hashes" in text
    assert re.search(r"^USER 10001$", text, re.MULTILINE)
    assert "PYTHONSAFEPATH=1" in text


def test_the_images_copy_what_their_rooms_import():
    for path, rooms in ((DOCKERFILES[0], "api"), (DOCKERFILES[2], "worker")):
        assert f"COPY {rooms} {rooms}" in path.read_text()
        assert "COPY common common" in path.read_text()
