"""The nouns that both rooms exchange, as plain validated records.

Times of day are Unix milliseconds here (the job store's clock, Redis TIME) and
RFC 3339 in the API. Lengths are seconds, sizes bytes, pictures pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

JobStatus = Literal[
    "accepted", "processing", "completed", "partial", "failed", "cancelled"
]
OutputStatus = Literal["queued", "running", "succeeded", "failed", "cancelled"]
TaskState = Literal["waiting", "queued", "running", "succeeded", "failed", "cancelled"]
TaskKind = Literal["prepare", "render", "publish", "notice", "batch"]
Queue = Literal["fast", "slow"]
SourceAccess = Literal["sparse", "whole", "local"]
WholeReason = Literal["small", "kernel", "no_ranges", "url_expires"]
JOB_ENDED: frozenset[str] = frozenset({"completed", "partial", "failed", "cancelled"})
_CHILD_ENDED = JOB_ENDED | {"deleted"}


class Record(BaseModel):
    """Base of all stored records; unknown keys of a newer writer are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class ErrorInfo(Record):
    """The public half of an error."""

    code: str
    title: str
    detail: str
    pointer: str | None = None
    hint: str | None = None


class Source(Record):
    """Where the bytes of a job come from.

    ``kind`` upload: ``key`` in our own bucket. s3: ``bucket`` and ``key``. url:
    ``url``. ``etag``, ``version`` and ``size`` pin what was accepted; ``modified`` is
    the Last-Modified header of a URL whose server sends no strong ETag. ``name`` is the
    caller's file name, for display only.
    """

    kind: Literal["upload", "s3", "url"]
    bucket: str | None = None
    key: str | None = None
    url: str | None = None
    upload_id: str | None = None
    name: str | None = None
    size: int | None = None
    etag: str | None = None
    version: str | None = None
    modified: str | None = None
    sha256: str | None = None
    content_type: str | None = None


class SourceReading(Record):
    """How tasks read their source, and how much of it.

    ``access`` is sparse (the ranges that were needed), whole (all of it was fetched)
    or local (it lies on the worker's disk). ``access_reason`` is why it was fetched
    whole. ``bytes_read`` came from the storage, or from the URL's server, in
    ``requests`` requests.
    """

    access: SourceAccess
    access_reason: WholeReason | None = None
    bytes_read: int = 0
    requests: int = 0

    def after(self, earlier: SourceReading | None) -> SourceReading:
        """Return the sum of both; that all was fetched whole once is what counts."""
        if earlier is None:
            return self
        access = earlier if earlier.access == "whole" else self
        return SourceReading(
            access=access.access,
            access_reason=access.access_reason,
            bytes_read=earlier.bytes_read + self.bytes_read,
            requests=earlier.requests + self.requests,
        )


class Colour(Record):
    """Colour facts as FFmpeg names them; None when the file does not say."""

    primaries: str | None = None
    transfer: str | None = None
    matrix: str | None = None
    range: Literal["limited", "full"] | None = None


class Tile(Record):
    """The picture of one stream, and where its upper left pixel lies on a canvas."""

    stream: int
    x: int
    y: int


class Mosaic(Record):
    """A picture of one or more streams: ``width`` x ``height`` pixels of a canvas.

    ``x`` and ``y`` are the upper left pixel of what is kept of it.
    """

    width: int
    height: int
    x: int = 0
    y: int = 0
    tiles: list[Tile]


class VideoInfo(Record):
    """The one video stream that the probe chose.

    ``width`` and ``height`` are as shown: after cropping, pixel aspect and
    rotation. ``rotation`` is clockwise degrees (0, 90, 180, 270) as applied by
    FFmpeg's autorotation; ``mirrored`` says that the display matrix also flips.
    ``coded_rate`` is the rate, such as "50/1", that a raw stream must be read at.
    ``tick`` is the unit of its timestamps in seconds, ``start_time`` when its first
    decodable frame is shown, ``stream_start`` when its first packet is due.
    ``longest_frame`` is the longest time between two frames that were seen,
    ``keyframe_interval`` between two keyframes, in seconds. ``first_field`` says that
    each picture of the stream is one field, and which comes first: two make a frame.
    ``mosaic`` says of which streams its picture is made where that is not the one of
    ``index`` alone, ``alpha_mosaic`` of which its transparency is, where that has
    streams of its own.

    Every time of an output counts from ``zero``, the timestamp in the file, in
    seconds, at which the container starts. ``start_time`` is negative where the file
    shows frames before that.
    """

    index: int
    codec: str
    profile: str | None = None
    coded_width: int
    coded_height: int
    width: int
    height: int
    sample_aspect_ratio: str = "1:1"
    rotation: int = 0
    mirrored: bool = False
    fps: float | None = None
    coded_rate: str | None = None
    frames: int | None = None
    duration: float | None = None
    start_time: float = 0.0
    stream_start: float | None = None
    zero: float = 0.0
    tick: float | None = None
    longest_frame: float | None = None
    keyframe_interval: float | None = None
    pixel_format: str | None = None
    bit_depth: int | None = None
    alpha: bool = False
    interlaced: bool = False
    hdr: Literal["hdr10", "hlg", "dolby_vision"] | None = None
    colour: Colour = Colour()
    attached_picture: bool = False
    bitstream_pts: bool = True
    first_field: Literal["top", "bottom"] | None = None
    mosaic: Mosaic | None = None
    alpha_mosaic: Mosaic | None = None


class AudioInfo(Record):
    """The first audio stream, for display and for the waveform."""

    index: int
    codec: str
    channels: int | None = None
    sample_rate: int | None = None
    duration: float | None = None


class MediaInfo(Record):
    """Facts of the source, found by the probe.

    ``duration`` is the best known length of the video in seconds, None when no
    header says. ``artwork`` lists the stream indexes of embedded pictures,
    ``undecodable`` the codecs, or their tags, of video streams without a decoder.
    ``by_fragments`` says that FFmpeg may use the index at the end of a fragmented MP4.
    """

    container: str
    duration: float | None = None
    size: int | None = None
    bit_rate: int | None = None
    video: VideoInfo | None = None
    audio: AudioInfo | None = None
    artwork: list[int] = Field(default_factory=list)
    undecodable: list[str] = Field(default_factory=list)
    streams: int = 0
    rewritten: bool = False
    by_fragments: bool = False
    warnings: list[str] = Field(default_factory=list)


class ObjectName(Record):
    """An object in a caller's bucket."""

    bucket: str
    key: str


class Destination(Record):
    """Where in S3 the results of a job are copied, and how they are served there.

    ``prefix`` is empty or ends without a slash; ``{job_id}`` in it is the job's id.
    ``acl`` None leaves it to the bucket.
    """

    bucket: str
    prefix: str = ""
    cache_control: str | None = None
    acl: Literal["private", "public-read"] | None = None
    tags: dict[str, str] = Field(default_factory=dict)

    def place(self, job_id: str, output: str, file: str) -> ObjectName:
        """Name the copy of one file: ``PREFIX/OUTPUT/FILE``, on every attempt."""
        prefix = self.prefix.replace("{job_id}", job_id)
        parts = filter(None, [prefix, output, file])
        return ObjectName(bucket=self.bucket, key="/".join(parts))


class PartSpec(Record):
    """What one part of an output makes: snippets or sheets from number ``first`` on.

    ``windows`` are their starts and lengths in seconds.
    """

    first: int
    windows: list[tuple[float, float]]


class _File(Record):
    """What is known of a file that was made.

    ``time`` is the source time shown (for stills), in seconds. ``details`` holds facts
    that only some kinds have: score, runners-up, placeholder, dominant colour, chosen
    settings.
    """

    name: str
    bytes: int
    width: int | None = None
    height: int | None = None
    frames: int | None = None
    duration: float | None = None
    time: float | None = None
    details: dict[str, Any] = Field(default_factory=dict)


class PartFile(_File):
    """A file that a part made, as the task that joins the parts sees it."""


class JobOrigin(Record):
    """The request that asked for some work.

    ``traceparent`` and ``tracestate`` are its place in a trace (W3C Trace Context),
    None where nobody traces it.
    """

    request_id: str | None = None
    traceparent: str | None = None
    tracestate: str | None = None

    @property
    def trace_id(self) -> str | None:
        """Return the id of the trace, 32 hex digits, or None."""
        return self.traceparent and self.traceparent.split("-")[1]


class JobOptions(Record):
    """What holds for a job as a whole.

    ``max_bytes`` and ``max_seconds`` are what its API key allows of a source, None is
    no limit beyond the service's. ``dedupe`` takes the results of an earlier job over
    the same bytes. ``destination`` is where the results are copied. ``origin`` is the
    request that made the job.
    """

    max_bytes: int | None = None
    max_seconds: float | None = None
    dedupe: bool = False
    destination: Destination | None = None
    origin: JobOrigin | None = None

    def dump(self) -> dict[str, Any]:
        """Return the options that are set, as JSON values; none is ``{}``."""
        values = self.model_dump(mode="json")
        if self.origin is not None:
            values["origin"] = self.origin.model_dump(exclude_none=True)
        return {name: value for name, value in values.items() if value}


NO_OPTIONS = JobOptions()


class Artifact(_File):
    """A stored file.

    ``key`` is its place in the blob store, ``copy_at`` that of its copy at the job's
    destination once it is there. ``names`` are the files beside it that an index names.
    """

    key: str
    content_type: str
    sha256: str
    names: list[str] = Field(default_factory=list)
    copy_at: ObjectName | None = None


class AttemptReport(Record):
    """One alternative that a claim tried, as the user sees it; ``at`` is its end."""

    attempt: int
    rung: str
    error: ErrorInfo | None = None
    seconds: float | None = None
    worker: str | None = None
    at: int | None = None


class OutputRecord(Record):
    """One spec's life in a job; ``progress`` is 0 to 100."""

    name: str
    kind: str
    spec: dict[str, Any]
    status: OutputStatus
    progress: float = 0.0
    attempts: list[AttemptReport] = Field(default_factory=list)
    warnings: list[str] = Field(default_factory=list)
    artifacts: list[Artifact] = Field(default_factory=list)
    error: ErrorInfo | None = None


class Waiting(Record):
    """What a job's work waits for: a part of the service that is away.

    ``since`` is when it met that first, ``until`` when it gives up (Unix ms).
    """

    error: ErrorInfo
    since: int
    until: int


class JobRecord(Record):
    """A job as the store knows it, outputs in the order they were asked.

    ``progress`` is the mean of its outputs', 0 to 100. ``version`` grows with every
    visible change (it makes the ETag). ``source_kept`` turns false when retention
    has taken the uploaded source. ``batch`` is the parent's id,
    ``deduplicated_from`` that of the job whose results were copied. ``waiting`` is
    set while a part of the service that it needs is away. ``reading`` sums up its
    tasks, once one that read the source has ended.
    """

    id: str
    owner: str = ""
    status: JobStatus
    progress: float = 0.0
    version: int = 0
    created_at: int
    updated_at: int
    finished_at: int | None = None
    expires_at: int | None = None
    source: Source
    options: JobOptions = NO_OPTIONS
    media: MediaInfo | None = None
    outputs: list[OutputRecord]
    error: ErrorInfo | None = None
    warnings: list[str] = Field(default_factory=list)
    metadata: Any = None
    source_kept: bool = True
    batch: str | None = None
    deduplicated_from: str | None = None
    waiting: Waiting | None = None
    reading: SourceReading | None = None


class BatchRecord(Record):
    """A parent of jobs; ``counts`` holds its children by status, and ``deleted``.

    ``given`` is how many sources were listed, ``prefix`` where they are looked for
    instead (``bucket``, ``prefix``, ``suffix``). ``made`` children exist or existed,
    up to ``cursor``; ``closed`` says that no more come. ``want`` is what is being
    done to it. ``template`` is what each child is made of.
    """

    id: str
    owner: str = ""
    status: JobStatus
    version: int = 0
    created_at: int
    updated_at: int
    finished_at: int | None = None
    expires_at: int | None = None
    given: int = 0
    prefix: dict[str, Any] | None = None
    made: int = 0
    counts: dict[str, int] = Field(default_factory=dict)
    closed: bool = False
    want: Literal["expand", "cancel", "delete"] = "expand"
    cursor: str = ""
    template: dict[str, Any] = Field(default_factory=dict)
    error: ErrorInfo | None = None
    warnings: list[str] = Field(default_factory=list)
    metadata: Any = None

    @property
    def ended(self) -> int:
        """How many children have ended, or were deleted."""
        return sum(count for name, count in self.counts.items() if name in _CHILD_ENDED)


class Event(Record):
    """One line of a job's history; ``id`` grows within the job."""

    id: str
    type: str
    at: int
    output: str | None = None
    data: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class Message:
    """A message to a worker: "look at this task", nothing more.

    Losing it or hearing it ten times changes nothing; the record decides.
    """

    task: str
    kind: TaskKind
    queue: Queue
