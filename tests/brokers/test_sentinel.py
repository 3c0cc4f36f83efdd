"""Broker and store behind Sentinel: a failover of both under load."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from common.errors import StoreUnavailable
from common.jobs.store import JobStore, NewJob
from common.redis.client import open_client
from common.settings.load import Settings
from tests.brokers import flower, sentinel
from tests.brokers.sentinel import Pair
from tests.chaos.service import Service, until
from tests.common.jobs.store.context import StoreContext
from tests.conftest import SAMPLE
from tests.e2e.context import THUMBNAIL, assert_pictures

# docs/how-to/brokers.md states it; the Sentinels wait two of these seconds.
BACK_SECONDS = 60
GUARDED = ("--min-replicas-to-write", "1", "--min-replicas-max-lag", "10")
BEFORE, ALL = 6, 20

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(600)]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Pair]:
    with pair(tmp_path, "messages") as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Pair]:
    with pair(tmp_path, "records", *GUARDED) as running:
        yield running


@contextmanager
def pair(folder: Path, name: str, *options: str) -> Iterator[Pair]:
    one = Pair(folder, name)
    try:
        one.run(*options)
        yield one
    finally:
        one.end()


class Load:
    """Submits one job after another, each until it is accepted."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._thread = threading.Thread(target=self._work)
        self.accepted: list[tuple[float, str]] = []
        self._thread.start()

    def _work(self) -> None:
        for _ in range(ALL):
            job = self._service.submit(SAMPLE, THUMBNAIL)
            self.accepted.append((time.monotonic(), job))

    def ended(self) -> list[str]:
        self._thread.join(300)
        assert len(self.accepted) == ALL, "not every job was accepted"
        return [job for _, job in self.accepted]

    def first_accepted(self, after: float) -> float:
        return next(at for at, _ in self.accepted if at > after)


def test_a_failover_of_broker_and_store_under_load_loses_no_accepted_job(
    tmp_path: Path, broker: Pair, store: Pair
) -> None:
    with sentinel.running(tmp_path, broker, store) as sentinels:
        settings = {
            "FRAMEMILL_BROKER_URL": sentinels.url,
            "FRAMEMILL_BROKER_MASTER": broker.name,
            "FRAMEMILL_STORE_URL": sentinels.url,
            "FRAMEMILL_STORE_MASTER": store.name,
            "FRAMEMILL_STORE_REPLICAS": "1",
            # A busy machine may take longer than the service would wait.
            "FRAMEMILL_STORE_TIMEOUT_SECONDS": "20",
        }
        with Service(tmp_path, **settings) as service:
            load = Load(service)
            until(lambda: len(load.accepted) >= BEFORE, 120, "jobs are accepted")
            for one in (broker, store):
                one.kill(one.ports[0])
            lost = time.monotonic()
            for one in (broker, store):
                until(
                    lambda one=one: sentinels.primary(one.name) == one.ports[1],
                    BACK_SECONDS,
                    f"the replica of {one.name} is the primary",
                )
            taken_over = time.monotonic()
            # Until it has a replica again, the new primary of the store takes nothing.
            for one in (broker, store):
                one.start(one.ports[0])

            jobs = load.ended()
            # An answer that was under way when they were killed is none of these.
            accepted = load.first_accepted(after=taken_over)
            seconds = [round(at - lost, 1) for at in (taken_over, accepted)]
            print("{} s to new primaries, {} s to a job".format(*seconds))
            assert accepted - lost < BACK_SECONDS
            assert len(set(jobs)) == ALL
            for job in jobs:
                assert_pictures(service, job)
            with flower.running(
                service, tmp_path, "-A", "common.jobs.observed"
            ) as seen:
                assert_pictures(service, service.submit(SAMPLE, THUMBNAIL))
                seen.await_task()
            assert not service.store.dbsize() + service.broker.dbsize()


def test_a_job_that_no_replica_has_is_not_accepted(store: Pair) -> None:
    settings = Settings(
        store={
            "url": f"redis://127.0.0.1:{store.ports[0]}/0",
            "replicas": 1,
            "timeout_seconds": 4,
        },
        api={"secret": "s" * 32},
    )
    jobs = JobStore.connect(settings)
    context = StoreContext(jobs, open_client(settings))
    context.accept()

    waits = context.new_job()
    os.kill(store.process(store.ports[1]).pid, signal.SIGSTOP)
    try:
        for _ in range(2):  # the second repeats the first, and writes nothing itself
            with pytest.raises(StoreUnavailable, match="0 of 1 replicas"):
                jobs.accept(waits)
    finally:
        os.kill(store.process(store.ports[1]).pid, signal.SIGCONT)
    until(lambda: _accepted(jobs, waits), 60, "the job is accepted")


def _accepted(jobs: JobStore, job: NewJob) -> bool:
    try:
        return bool(jobs.accept(job))
    except StoreUnavailable:
        return False
