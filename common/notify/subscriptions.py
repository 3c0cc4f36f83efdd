"""The record of one subscription, as jobs, batches and API keys hold it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from common.model import Record
from common.sealing import seal

# All events that the scripts of the job store emit.
EVENTS = (
    "job.accepted",
    "job.processing",
    "job.probed",
    "job.deduplicated",
    "job.retried",
    "job.completed",
    "job.partial",
    "job.failed",
    "job.cancelled",
    "output.running",
    "output.requeued",
    "output.publishing",
    "output.succeeded",
    "output.failed",
    "output.cancelled",
    "batch.accepted",
    "batch.expanded",
    "batch.cancelling",
    "batch.reopened",
    "batch.completed",
    "batch.partial",
    "batch.failed",
    "batch.cancelled",
)
GROUPS = ("job.*", "output.*", "batch.*", "*")


class Subscription(Record):
    """One receiver of events: a ``webhook`` at ``url``, or an ``email`` to ``to``.

    ``events`` holds event types, prefixes such as ``"job.*"``, or ``"*"``; empty is
    all. Records of older versions may hold events that do not exist. ``secret`` signs
    a webhook, and is stored sealed (:mod:`common.sealing`), by older versions as it
    is; None or empty is the service's own. ``id`` is unique within its job or
    key, and ``created_at`` (Unix ms) is set for those of keys.
    """

    id: str = ""
    type: Literal["webhook", "email"] = "webhook"
    events: list[str] = Field(default_factory=list)
    url: str | None = None
    secret: str | None = None
    to: str | None = None
    created_at: int | None = None

    @model_serializer(mode="wrap")
    def _without_nulls(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in write(self).items() if value is not None}

    def sealed(self, api_secret: str) -> Subscription:
        """Return it as it is stored: with its secret sealed, if it has one."""
        if not self.secret:
            return self
        return self.model_copy(update={"secret": seal(self.secret, api_secret)})

    def limited_to(self, events: list[str]) -> Subscription:
        """Return the subscription to these events instead."""
        return self.model_copy(update={"events": events})
