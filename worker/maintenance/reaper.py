"""Queue tasks again whose worker or whose message was lost."""

from __future__ import annotations

import time
from collections.abc import Sequence

import structlog

from common.errors import StoreUnavailable, Unavailable
from common.jobs.queue import Dispatcher
from common.jobs.store import JobStore, Reaped
from common.model import Message
from common.telemetry import metrics

log = structlog.get_logger(__name__)

_BATCH = 200
_MESSAGES_AT_ONCE = 10


class Reaper:
    """Queues tasks again whose worker or whose message was lost."""

    def __init__(
        self, store: JobStore, dispatcher: Dispatcher, sweep_seconds: float
    ) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._send_seconds = sweep_seconds

    def sweep(self) -> Reaped:
        """Make one pass and enqueue the tasks found. Raises StoreUnavailable."""
        backlog = self._backlog()
        try:
            reaped = self._store.reap(_BATCH, backlog)
        except StoreUnavailable:
            metrics.SWEEPS.add(result="store_away")
            raise
        metrics.SWEEPS.add(result="ok")
        if reaped.outage:
            log.warning("reaper.outage", done="extended every lease")
        if reaped.expired or reaped.republished:
            log.info(
                "reaper.rescued",
                expired=reaped.expired,
                failed=reaped.failed,
                republished=reaped.republished,
                skipped=reaped.skipped,
            )
        if backlog is not None:
            self._enqueue(reaped.messages)
        return reaped

    def _backlog(self) -> dict[str, int] | None:
        try:
            return self._dispatcher.backlog()
        except Unavailable as error:
            log.warning("reaper.broker_away", error=error.detail)
            return None

    def _enqueue(self, messages: Sequence[Message]) -> None:
        """Send the messages, for no longer than one period of the reaper.

        A longer pass would look like an outage of the reaper. Every message is due
        again in the store, so a later pass sends the rest.
        """
        deadline = time.monotonic() + self._send_seconds
        for start in range(0, len(messages), _MESSAGES_AT_ONCE):
            if time.monotonic() > deadline:
                log.warning("reaper.messages_left", messages=len(messages) - start)
                return
            self._dispatcher.enqueue(messages[start : start + _MESSAGES_AT_ONCE])
