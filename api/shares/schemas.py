"""The shapes of a shared job."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from api.jobs.schemas import (
    ErrorView,
    Link,
    MediaView,
    OutputView,
    Timestamp,
    View,
)
from common.model import JobStatus

MOST_HOURS = 720


class ShareRequest(BaseModel):
    """How long a link works, and what it shows."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    hours: float = Field(
        default=168, ge=0.1, le=MOST_HOURS, description="How long the link works."
    )
    source: bool = Field(default=False, description="Show the video itself, too.")


class ShareView(View):
    """A link to one job."""

    url: Link = Field(description="Needs no API key.")
    expires_at: Timestamp
    source: bool


class SharedLinksView(View):
    """Absolute addresses, which end with the link."""

    self: Link
    archive: Link | None = Field(
        description="All files as one zip. Null until the job has ended, and for one "
        "that ended without files."
    )
    media: Link | None
    thumbnail: Link | None
    gif: Link | None


class SharedJobView(View):
    """A job as people see it who have a link to it."""

    id: str = Field(pattern="^[0-9a-f]{32}$")
    name: str | None = Field(description="The name of the source.")
    status: JobStatus
    progress: float = Field(ge=0, le=100)
    created_at: Timestamp
    finished_at: Timestamp | None
    shared_until: Timestamp
    media: MediaView | None
    outputs: list[OutputView]
    error: ErrorView | None
    warnings: list[str]
    links: SharedLinksView
