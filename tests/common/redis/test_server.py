"""Which servers are refused when a process starts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fakeredis
import pytest
import redis

from common.jobs.queue import RecordingDispatcher
from common.jobs.store import JobStore
from common.redis.client import open_client
from common.redis.server import LEAST_VERSION, check_server
from common.runtime import check_servers
from common.settings.load import Settings, SettingsError
from tests.common import valkey
from tests.common.parts import each_part, refusal
from tests.conftest import ROOT
from tests.ports import free_port

ONE_PRIMARY = "needs one primary"


def client_of(url: str) -> redis.Redis:
    return open_client(Settings(store={"url": url}))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Run three nodes that share all slots; give their URLs."""
    with valkey.cluster(tmp_path_factory.mktemp("cluster")) as urls:
        yield urls


def answering(monkeypatch: pytest.MonkeyPatch, **facts: Any) -> redis.Redis:
    """Make a client of a server that says these things of itself."""
    client = fakeredis.FakeRedis(decode_responses=True)
    known = {"redis_version": "7.2.4", "maxmemory_policy": "noeviction"}
    monkeypatch.setattr(client, "info", lambda _section: known | facts)
    return client


def test_a_fit_server_passes(valkey_url: str) -> None:
    check_server(client_of(valkey_url))


def test_a_server_that_evicts_is_refused(tmp_path: Path) -> None:
    with (
        valkey.running(tmp_path, policy="allkeys-lru") as (url, _),
        pytest.raises(SettingsError, match="noeviction"),
    ):
        check_server(client_of(url))


@pytest.mark.parametrize("version", ["7.0.15", "6.2.14", "5.0.3"])
def test_an_old_server_is_refused(
    monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    client = answering(monkeypatch, redis_version=version)
    with pytest.raises(SettingsError, match=version):
        check_server(client)


def test_the_deployment_guide_names_the_same_least_version() -> None:
    guide = (ROOT / "docs" / "how-to" / "deploy.md").read_text("utf-8")
    named = re.findall(r"Redis \(?(\d+\.\d+) or newer", guide)
    assert named == [".".join(str(part) for part in LEAST_VERSION)]


def test_a_server_that_hides_its_policy_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client = answering(monkeypatch, maxmemory_policy=None)

    def forbidden(_name: str) -> None:
        raise redis.ResponseError("NOPERM no permission")

    monkeypatch.setattr(client, "config_get", forbidden)
    check_server(client)
    assert "policy_unknown" in capsys.readouterr().out


def test_every_node_of_a_cluster_is_refused(cluster: list[str]) -> None:
    for url in cluster:
        with pytest.raises(SettingsError, match=ONE_PRIMARY):
            check_server(client_of(url))


@pytest.mark.parametrize("fact", ["redis_mode", "server_mode"])
def test_a_cluster_that_hides_its_section_is_refused(
    monkeypatch: pytest.MonkeyPatch, fact: str
) -> None:
    client = answering(monkeypatch, **{fact: "cluster"})
    with pytest.raises(SettingsError, match=ONE_PRIMARY):
        check_server(client)


@each_part
def test_no_process_starts_on_a_cluster(
    cluster: list[str], tmp_path: Path, part: list[str]
) -> None:
    servers = {
        "FRAMEMILL_STORE_URL": cluster[0],
        "FRAMEMILL_BROKER_URL": "memory://",
    }
    assert ONE_PRIMARY in refusal(part, tmp_path, **servers)


def test_a_store_that_is_away_stops_no_start(
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    check_servers(JobStore.connect(Settings(store={"url": url})), RecordingDispatcher())
    assert "store.not_checked" in capsys.readouterr().out
