"""The models of batches, for validation and for OpenAPI."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    Field,
    TypeAdapter,
    model_validator,
)

from api.http.links import Links
from api.jobs.schemas import (
    BUCKET,
    KEY_BYTES,
    ErrorView,
    FormRequest,
    Id,
    Link,
    Request,
    SourceRequest,
    Timestamp,
    View,
    check_key,
)
from common.model import JOB_ENDED, BatchRecord, JobStatus
from common.timestamps import rfc3339

_ALMOST = 99.0


class S3Prefix(Request):
    """All objects of an S3 bucket whose keys begin, and end, like that."""

    bucket: Annotated[str, Field(pattern=BUCKET, examples=["framemill"])]
    prefix: Annotated[
        str,
        Field(max_length=KEY_BYTES, examples=["films/2026/"]),
        AfterValidator(check_key),
    ]
    suffix: Annotated[
        str,
        Field(max_length=64, examples=[".mp4"]),
        AfterValidator(check_key),
    ] = ""


class PrefixRequest(Request):
    """Where to look for videos."""

    s3: S3Prefix


class BatchRequest(FormRequest):
    """Similar jobs: one for each of ``sources``, or for each object of ``prefix``."""

    sources: list[SourceRequest] | None = Field(
        default=None, min_length=1, description="At most FRAMEMILL_LIMITS_BATCH_JOBS."
    )
    prefix: PrefixRequest | None = None

    @model_validator(mode="after")
    def _either_sources_or_prefix(self) -> Self:
        if (self.sources is None) == (self.prefix is None):
            raise ValueError("a batch needs either sources or a prefix, and not both")
        return self


BATCH: TypeAdapter[BatchRequest] = TypeAdapter(BatchRequest)


class CountsView(View):
    """The number of a batch's jobs by status; ``deleted`` were removed by a caller."""

    accepted: int
    processing: int
    completed: int
    partial: int
    failed: int
    cancelled: int
    deleted: int


class PrefixView(View):
    """Where a batch looks for its videos."""

    bucket: str
    prefix: str
    suffix: str


class BatchLinks(View):
    """Absolute addresses."""

    self: Link
    cancel: Link
    jobs: Link


class BatchView(View):
    """A batch, with the number of its jobs by status."""

    id: Id
    status: JobStatus
    progress: float = Field(ge=0, le=100, description="The share of jobs that ended.")
    total: int | None = Field(
        description="Jobs in all; null while the prefix is still being listed."
    )
    counts: CountsView
    left_out: int | None = Field(
        description="Sources of the list that got no job, and get none: the batch was "
        "cancelled, or could not go on (`error`). Null for a prefix."
    )
    expanded: bool = Field(description="All jobs of the batch have been made.")
    prefix: PrefixView | None
    error: ErrorView | None
    warnings: list[str]
    metadata: Any
    created_at: Timestamp
    updated_at: Timestamp
    finished_at: Timestamp | None
    expires_at: Timestamp | None
    links: BatchLinks


class BatchListView(View):
    """One page of batches, newest first."""

    batches: list[BatchView]
    next: str | None = Field(description="The next page's cursor; null on the last.")


def present(batch: BatchRecord, links: Links) -> BatchView:
    """Return the public view of a batch."""
    return BatchView(
        id=batch.id,
        status=batch.status,
        progress=_progress(batch),
        total=_total(batch),
        counts=CountsView.model_validate(batch.counts),
        left_out=_left_out(batch),
        expanded=batch.closed,
        prefix=batch.prefix and PrefixView.model_validate(batch.prefix),
        error=batch.error and ErrorView(**batch.error.model_dump()),
        warnings=batch.warnings,
        metadata=batch.metadata,
        created_at=rfc3339(batch.created_at),
        updated_at=rfc3339(batch.updated_at),
        finished_at=rfc3339(batch.finished_at),
        expires_at=rfc3339(batch.expires_at),
        links=BatchLinks(
            self=links.batch(batch.id),
            cancel=links.batch(batch.id, "cancel"),
            jobs=links.batch_jobs(batch.id),
        ),
    )


def _left_out(batch: BatchRecord) -> int | None:
    if batch.prefix is not None:
        return None
    return batch.given - batch.made if batch.closed else 0


def _total(batch: BatchRecord) -> int | None:
    if batch.closed:
        return batch.made
    return batch.given or None


def _progress(batch: BatchRecord) -> float:
    if batch.status in JOB_ENDED:
        return 100.0
    share = 100 * batch.ended / max(1, _total(batch) or batch.made)
    return round(min(share, _ALMOST), 1)
