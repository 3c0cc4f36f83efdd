"""The adapters that the API, the workers and the reaper share, built once."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import structlog

from common import storage
from common.errors import StoreUnavailable, Unavailable
from common.jobs import queue
from common.jobs.batches import Batches
from common.jobs.manifests import Manifests
from common.jobs.queue import Dispatcher
from common.jobs.service import JobService
from common.jobs.store import JobStore
from common.settings.load import Settings
from common.storage.port import BlobStore

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Runtime:
    """Settings and the adapters they name."""

    settings: Settings
    store: JobStore
    blobs: BlobStore
    dispatcher: Dispatcher

    @functools.cached_property
    def jobs(self) -> JobService:
        """Return the operations on jobs."""
        return JobService(
            self.settings, self.store, self.blobs, self.dispatcher, self.manifests
        )

    @functools.cached_property
    def manifests(self) -> Manifests:
        """Return what jobs are restored from when the job store is lost."""
        return Manifests(self.settings, self.store, self.store.keys, self.blobs)

    @functools.cached_property
    def batches(self) -> Batches:
        """Return the operations on batches."""
        return Batches(self.settings, self.store, self.dispatcher, self.manifests)


def build_runtime(settings: Settings, dispatcher: Dispatcher | None = None) -> Runtime:
    """Connect to everything the settings name; connections open on first use."""
    return Runtime(
        settings=settings,
        store=JobStore.connect(settings),
        blobs=storage.connect(settings),
        dispatcher=dispatcher or queue.connect(settings),
    )


def check_servers(store: JobStore, dispatcher: Dispatcher) -> None:
    """Raise SettingsError at the start of a process whose store or broker is not fit.

    A server that is away is logged and not waited for: requests and tasks meet that
    again, and the service is up once the server is.
    """
    try:
        store.check_server()
    except StoreUnavailable as error:
        log.warning("store.not_checked", error=error.detail)
    check_broker(dispatcher)


def check_broker(dispatcher: Dispatcher) -> None:
    """Raise SettingsError for a broker that evicts; log one that is away."""
    try:
        dispatcher.check()
    except Unavailable as error:
        log.warning("broker.not_checked", error=error.detail)
