"""The shapes of direct uploads: validation and OpenAPI come from these."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from api.jobs.schemas import FormRequest, Link, Request, Timestamp, View

MAX_NUMBER = 10_000
_ETAG = Field(min_length=1, max_length=200, description="As storage answered it.")


class UploadRequest(Request):
    """A file to be uploaded."""

    size: Annotated[int, Field(ge=1, description="Exact, in bytes.")]
    filename: Annotated[str, Field(max_length=1024)] | None = None
    content_type: Annotated[str, Field(max_length=200)] | None = None
    mode: Literal["put", "parts"] | None = Field(
        default=None, description="Default: parts from 32 MiB."
    )
    job: FormRequest | None = Field(
        default=None, description="A job that starts by itself on completion."
    )


class PartTold(Request):
    """The storage's answer to one part."""

    number: Annotated[int, Field(ge=1, le=MAX_NUMBER)]
    etag: Annotated[str, _ETAG]


class CompleteRequest(Request):
    """What storage answered, to be compared; all of it may be left out."""

    etag: Annotated[str, _ETAG] | None = None
    parts: Annotated[list[PartTold], Field(max_length=MAX_NUMBER)] | None = None


class GrantView(View):
    """A permission for one request, which must carry exactly these headers."""

    method: str
    url: Link
    headers: dict[str, str]
    expires_at: Timestamp


class PartGrantView(GrantView):
    """A permission for one part."""

    number: int
    size: int


class PartsView(View):
    """Up to a hundred parts; all but the last have ``part_bytes``."""

    part_bytes: int
    count: int
    items: list[PartGrantView]
    next: Link | None


class UploadLinks(View):
    """What can be done next."""

    self: Link
    complete: Link | None
    job: Link | None


class UploadView(View):
    """An upload; while it is open it has ``put`` or ``parts``."""

    id: str
    status: Literal["open", "complete"]
    mode: Literal["put", "parts", "tus"]
    filename: str | None
    content_type: str
    size: int
    etag: str | None
    expires_at: Timestamp
    put: GrantView | None
    parts: PartsView | None
    links: UploadLinks
