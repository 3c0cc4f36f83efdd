"""The shapes of deliveries and of the webhooks that API keys have."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from api.jobs.schemas import ErrorView, Timestamp, View
from common.model import TaskState


class DeliveryAttemptView(View):
    """One attempt to deliver; ``error`` is null if the receiver accepted it."""

    number: int
    at: Timestamp | None
    seconds: float | None
    error: ErrorView | None


class DeliveryView(View):
    """One event, sent to one subscriber."""

    id: str
    job_id: str = Field(description="The job's, or the batch's for batch.* events.")
    message_id: str = Field(description="The webhook-id header; the same on a replay.")
    type: Literal["webhook", "email"]
    target: str = Field(description="The URL without its query, or the e-mail address.")
    event: str
    output: str | None
    occurred_at: Timestamp
    status: TaskState
    attempts: list[DeliveryAttemptView]
    error: ErrorView | None
    created_at: Timestamp
    updated_at: Timestamp
    finished_at: Timestamp | None
    next_attempt_at: Timestamp | None


class DeliveryListView(View):
    """One page of deliveries, newest first."""

    deliveries: list[DeliveryView]
    next: str | None = Field(description="The cursor of the next page.")


class WebhookView(View):
    """A webhook of an API key."""

    id: str
    url: str = Field(description="Without its query.")
    events: list[str]
    created_at: Timestamp


class NewWebhookView(WebhookView):
    """A webhook that was just created."""

    secret: str = Field(description="Signs the messages; shown only now.")


class WebhookListView(View):
    """The webhooks of an API key, oldest first."""

    webhooks: list[WebhookView]
