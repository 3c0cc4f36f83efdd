"""The models of requests and answers, for validation and for OpenAPI.

Requests are strict and refuse unknown fields. Answers always have all their keys,
null where nothing is known. Sizes are bytes, durations seconds, times RFC 3339 UTC.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)
from pydantic_core import to_json

from api.http.openapi import JSON, raw
from api.jobs.subscriptions import Subscriptions
from common.model import JobStatus, OutputStatus, SourceAccess, WholeReason
from common.outputs.specs import Name, OutputSpec
from common.patterns import explained

KEY_BYTES = 1024
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
BUCKET = explained(
    r"^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$",
    "3 to 63 small letters, digits, '.', '-' and '_'; a letter or a digit at both ends",
)
_ID = explained("^[0-9a-f]{32}$", "the id that the service gave: 32 of 0-9 and a-f")
_TAG = "letters, digits, spaces and + = . _ : / @ -"
_TAG_KEY = explained(r"^[A-Za-z0-9 +=._:/@-]{1,128}$", f"1 to 128 {_TAG}")
_TAG_VALUE = explained(r"^[A-Za-z0-9 +=._:/@-]{0,256}$", f"at most 256 {_TAG}")
_PREFIX = explained(r"^([^/]|$)", "no slash at the start")
_ETAG = explained(
    r'^"?[\x21\x23-\x7e]+"?$',
    "an ETag as S3 tells it, with its quotation marks or without",
)
_CACHE_CONTROL = explained(
    r"^[\x20-\x7e]{1,256}$", "1 to 256 printable characters of ASCII"
)


def check_key(key: str) -> str:
    """Return an object's key; raises ValueError for an impossible one."""
    if len(key.encode()) > KEY_BYTES:
        raise ValueError(f"the key is over {KEY_BYTES} bytes")
    if _CONTROL.search(key):
        raise ValueError("the key contains control characters")
    if ".." in key.split("/"):
        raise ValueError("the key contains '..' between slashes")
    return key


class Request(BaseModel):
    """Base of requests: strict, and nothing unknown."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


Id = Annotated[str, Field(pattern=_ID)]


class S3Source(Request):
    """An object in an S3 bucket that jobs may read."""

    bucket: Annotated[str, Field(pattern=BUCKET, examples=["framemill"])]
    key: Annotated[
        str,
        Field(min_length=1, max_length=KEY_BYTES, examples=["in/clip.mp4"]),
        AfterValidator(check_key),
    ]
    etag: Annotated[
        str | None,
        Field(
            max_length=128,
            pattern=_ETAG,
            description="The ETag that the object must have; else the job fails with "
            "`source_changed`.",
            examples=["9b2cf535f27731c974343645a3985328"],
        ),
    ] = None
    version: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=1024,
            description="The VersionId that the object must have, likewise.",
        ),
    ] = None


class SourceRequest(Request):
    """Where the video is: exactly one of the members."""

    model_config = ConfigDict(
        json_schema_extra={"minProperties": 1, "maxProperties": 1},
    )

    s3: S3Source | None = None
    url: str | None = Field(
        default=None,
        min_length=1,
        max_length=2048,
        description="Where the service allows it (FRAMEMILL_SOURCE_URLS).",
        examples=["https://example.org/clip.mp4"],
    )
    upload: Id | None = Field(default=None, description="A complete upload's id.")
    job: Id | None = Field(default=None, description="A job whose source is kept.")

    @model_validator(mode="after")
    def _exactly_one_source(self) -> Self:
        names = list(type(self).model_fields)
        if sum(getattr(self, name) is not None for name in names) != 1:
            raise ValueError("name exactly one source, as one of " + ", ".join(names))
        return self


TagKey = Annotated[str, Field(pattern=_TAG_KEY)]
TagValue = Annotated[str, Field(pattern=_TAG_VALUE)]


class S3Destination(Request):
    """A bucket that receives copies of the results, as PREFIX/OUTPUT/FILE."""

    bucket: Annotated[str, Field(pattern=BUCKET, examples=["results"])]
    prefix: Annotated[
        str,
        Field(
            max_length=512,
            pattern=_PREFIX,
            description="{job_id} in it becomes the job's id.",
            examples=["films/7"],
        ),
        AfterValidator(check_key),
    ] = ""
    cache_control: str | None = Field(
        default=None,
        pattern=_CACHE_CONTROL,
        examples=["public, max-age=31536000, immutable"],
    )
    acl: Literal["private", "public-read"] | None = Field(
        default=None, description="Default: that of the bucket."
    )
    tags: dict[TagKey, TagValue] = Field(default={}, max_length=10)


class DestinationRequest(Request):
    """Where the results are copied before the job completes."""

    s3: S3Destination


# Callers ask for the same outputs again and again; checked specs cannot change.
_checked: dict[bytes, list[OutputSpec]] = {}
_MOST_CHECKED, _CHECKED_BYTES = 128, 4096


def _check_once(value: Any, check: ValidatorFunctionWrapHandler) -> list[OutputSpec]:
    """Return the outputs of a request, checked or known from an earlier one."""
    text = to_json(value)
    known = _checked.get(text)
    if known is None:
        known = check(value)
        if len(text) <= _CHECKED_BYTES:
            if len(_checked) >= _MOST_CHECKED:
                _checked.clear()
            _checked[text] = known
    return list(known)


class FormRequest(Request):
    """What a job makes; also the fields beside the file in a multipart body."""

    outputs: (
        Annotated[
            list[OutputSpec],
            Field(min_length=1, max_length=200),
            WrapValidator(_check_once),
        ]
        | None
    ) = Field(default=None, description="Default: a thumbnail and an animated GIF.")
    preset: str | None = Field(
        default=None,
        max_length=64,
        description="A named bundle, instead of outputs; in a form also without "
        "quotation marks.",
        examples=["web"],
    )
    notify: Subscriptions = Field(
        default=[], description="Webhooks and e-mails for the job's events."
    )
    destination: DestinationRequest | None = Field(
        default=None, description="Where results are copied, if the API key allows it."
    )
    dedupe: bool = Field(
        default=False,
        description="Copy the results of an earlier job with the same bytes and the "
        "same outputs, if there is one.",
    )
    metadata: Any = Field(
        default=None,
        description="Any JSON, at most 4 KiB as sent; it comes back unchanged.",
    )


class JobPart(Request):
    """What a job makes, as one part of a form."""

    job: FormRequest = Field(
        default_factory=FormRequest,
        description="Default: a thumbnail and an animated GIF.",
    )


class FileRequest(JobPart):
    """A job over a file that is sent with it."""

    file: Annotated[bytes, WithJsonSchema(raw() | {"description": "The video."})]


class JobRequest(FormRequest):
    """A job over a source that the service can reach."""

    source: SourceRequest


class View(BaseModel):
    """Base of all answers: every key is always there."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_serialization_defaults_required=True
    )


Timestamp = Annotated[
    str,
    Field(
        json_schema_extra={"format": "date-time"}, examples=["2026-11-23T09:48:23.120Z"]
    ),
]
Link = Annotated[str, Field(json_schema_extra={"format": "uri"})]


class ErrorView(View):
    """Why a job, an output or an attempt failed."""

    code: str = Field(description="Stable; /docs/errors lists all.")
    title: str
    detail: str
    pointer: str | None
    hint: str | None


class SourceView(View):
    """Where the video came from; ``name`` is for display."""

    kind: Literal["upload", "s3", "url"]
    name: str | None
    bytes: int | None
    content_type: str | None
    sha256: str | None
    bucket: str | None
    key: str | None
    url: str | None
    access: SourceAccess | None = Field(
        description="How its bytes came to the workers: sparse (only the ranges that "
        "were needed), whole, or local (they lie on the workers' disk)."
    )
    access_reason: WholeReason | None = Field(description="Why it was fetched whole.")
    bytes_read: int | None = Field(
        description="By the tasks that have ended, from the storage or the URL."
    )
    requests: int | None = Field(description="With how many requests.")


class VideoView(View):
    """The video stream that is used, as a player shows it."""

    codec: str
    profile: str | None
    width: int = Field(description="As shown: after pixel aspect and rotation.")
    height: int
    coded_width: int
    coded_height: int
    sample_aspect_ratio: str
    rotation: int = Field(description="Clockwise degrees that were applied.")
    mirrored: bool
    fps: float | None
    frames: int | None
    duration: float | None
    pixel_format: str | None
    bit_depth: int | None
    alpha: bool
    interlaced: bool
    hdr: Literal["hdr10", "hlg", "dolby_vision"] | None
    attached_picture: bool


class AudioView(View):
    """The first audio stream."""

    codec: str
    channels: int | None
    sample_rate: int | None
    duration: float | None


class MediaView(View):
    """What the source contains."""

    container: str
    duration: float | None
    bytes: int | None
    bit_rate: int | None
    streams: int
    video: VideoView | None
    audio: AudioView | None


class ObjectView(View):
    """An object in the caller's bucket."""

    bucket: str
    key: str


class ArtifactView(View):
    """A file to fetch; ``url`` needs no header and stays the same for a day."""

    name: str
    url: Link
    content_type: str
    bytes: int
    width: int | None
    height: int | None
    frames: int | None
    duration: float | None
    time: float | None = Field(description="Of the source, for stills.")
    sha256: str
    details: dict[str, Any] = Field(
        description="What only some kinds have: placeholder, dominant_color, score, "
        "runners_up, chosen settings; docs/reference/outputs.md lists all.",
        examples=[
            {"placeholder": "1QcSHQRnh493V4dIh4eXh1h4kJUI", "dominant_color": "#4a6a2c"}
        ],
    )
    copy_at: ObjectView | None = Field(description="The copy at the destination.")


class AttemptView(View):
    """One attempt to make an output."""

    attempt: int
    rung: str
    error: ErrorView | None
    seconds: float | None
    at: Timestamp | None


class SrcsetView(View):
    """The files of one picture in one format, as an ``img`` element offers them."""

    content_type: str
    time: float | None = Field(description="Of the source: which picture it is.")
    srcset: str = Field(
        description="For the attribute of that name: addresses with their widths.",
        examples=["https://media.example.com/a-320w.jpg 320w"],
    )


class OutputView(View):
    """One requested output."""

    name: Name
    kind: str
    status: OutputStatus
    progress: float = Field(ge=0, le=100)
    attempts: list[AttemptView]
    warnings: list[str]
    artifacts: list[ArtifactView]
    srcsets: list[SrcsetView] = Field(
        description="Of an output with widths or formats: an entry for each picture "
        "and format, in their order."
    )
    error: ErrorView | None


class LinksView(View):
    """Absolute addresses; ``thumbnail`` and ``gif`` once these exist."""

    self: Link
    cancel: Link
    retry: Link
    media: Link | None
    thumbnail: Link | None
    gif: Link | None
    archive: Link | None = Field(
        description="All files as one zip; needs the API key. Null until the job has "
        "ended, and for one that ended without files."
    )


class WaitingView(View):
    """What a job waits for: a part of the service that is unavailable."""

    error: ErrorView
    since: Timestamp
    until: Timestamp = Field(
        description="The job fails with that error then (FRAMEMILL_LEASE_OUTAGE_HOURS)."
    )


class JobView(View):
    """A job, with everything that is known of it."""

    id: str = Field(pattern="^[0-9a-f]{32}$")
    batch_id: str | None = Field(description="Of the batch that made it.")
    deduplicated_from: str | None = Field(
        description="The job whose results were copied instead of made again."
    )
    status: JobStatus
    progress: float = Field(ge=0, le=100)
    created_at: Timestamp
    updated_at: Timestamp
    finished_at: Timestamp | None
    expires_at: Timestamp | None
    source: SourceView
    media: MediaView | None
    outputs: list[OutputView]
    waiting: WaitingView | None = Field(
        description="Set while a part of the service that the job needs is unavailable."
    )
    error: ErrorView | None
    warnings: list[str]
    metadata: Any
    links: LinksView


class JobListView(View):
    """One page of jobs, newest first."""

    jobs: list[JobView]
    next: str | None = Field(description="The next page's cursor; null on the last.")


class EventView(View):
    """One event of a stream, field by field: OpenAPI 3.1 has no words for a stream."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    event: str = Field(description="progress, or the event's type.")
    data: str = Field(json_schema_extra={"contentMediaType": JSON})
    id: str = Field(
        default_factory=str, description="For Last-Event-ID; none on progress."
    )
    retry: int = Field(default_factory=int, description="Milliseconds.")


class OutputSchemaView(View):
    """What a form of outputs is made from."""

    kinds: dict[str, dict[str, Any]] = Field(
        description="The JSON Schema of each kind of output, by its name: fields, "
        "types, bounds, defaults and descriptions."
    )
    presets: dict[str, list[dict[str, Any]]] = Field(
        description="The outputs of each preset of this service, without defaults."
    )
    outputs_per_job: int = Field(description="The most outputs of a job.")


class FaultView(View):
    """One thing that is wrong with a request."""

    pointer: str = Field(
        description="JSON pointer into the body; parameters, headers and parts count "
        "as members of their names."
    )
    detail: str
    hint: str | None


class ProblemView(View):
    """A refusal or a failure (RFC 9457)."""

    type: str
    code: str
    title: str
    status: int
    detail: str
    pointer: str | None
    hint: str | None
    faults: list[FaultView]
    request_id: str | None
