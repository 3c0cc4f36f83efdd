"""The world, built once: what the API, the workers and the reaper all stand on."""

from __future__ import annotations

from dataclasses import dataclass

from common import blobs, dispatch
from common.batches import Batches
from common.blobs.base import BlobStore
from common.config import Settings
from common.dispatch import Dispatcher
from common.intake import Intake
from common.jobstore import JobStore


@dataclass(frozen=True)
class Runtime:
    """Settings and the adapters they name."""

    settings: Settings
    store: JobStore
    blobs: BlobStore
    dispatcher: Dispatcher

    @property
    def intake(self) -> Intake:
        """Give the verbs over this world."""
        return Intake(self.settings, self.store, self.blobs, self.dispatcher)

    @property
    def batches(self) -> Batches:
        """Give the verbs over batches."""
        return Batches(self.settings, self.store, self.dispatcher)


def build(settings: Settings, dispatcher: Dispatcher | None = None) -> Runtime:
    """Connect to everything the settings name; connections open on first use."""
    return Runtime(
        settings=settings,
        store=JobStore.connect(settings),
        blobs=blobs.connect(settings),
        dispatcher=dispatcher or dispatch.connect(settings),
    )
