"""Everything that can go wrong, in one tree.

FramemillError
├── RequestError               the caller's fault; an HTTP answer, never a job
│   ├── BadRequest             400 bad_request
│   ├── Unauthorized           401 unauthorized
│   ├── Forbidden              403 forbidden
│   ├── NotFound               404 not_found
│   ├── MethodNotAllowed       405 method_not_allowed
│   ├── Conflict               409 conflict
│   ├── BodyTooSlow            408 body_too_slow
│   ├── BodyTooLarge           413 body_too_large
│   ├── UnsupportedMediaType   415 unsupported_media_type
│   ├── ChecksumMismatch       460 checksum_mismatch (tus)
│   ├── Invalid                422 invalid_request (lists every fault)
│   ├── IdempotencyMismatch    422 idempotency_mismatch
│   ├── RenderFailed           422 render_failed
│   └── TooManyRequests        429 too_many_requests
│       └── UploadLocked       423 upload_locked (tus)
├── Unavailable                503 and retryable; a part we depend on is away
│   ├── PartAway               a part of the service itself: accepted work waits
│   │   ├── StoreUnavailable   store_unavailable
│   │   ├── StorageUnavailable storage_unavailable
│   │   │   └── StorageDenied  storage_denied
│   │   └── DiskFull           disk_full
│   └── Unreachable            unreachable
├── SourceError                the source cannot be fetched; ends the job
│   ├── SourceNotFound         source_not_found
│   ├── SourceChanged          source_changed
│   ├── SourceForbidden        source_forbidden
│   └── AddressRefused         address_refused (webhooks too)
├── DestinationForbidden       destination_forbidden; results may not be stored there
├── MediaError                 that picture cannot be made from this source
│   ├── NoVideoStream          no_video_stream
│   ├── UnsupportedFormat      unsupported_format
│   ├── DecodeError            decode_error
│   ├── Encrypted              encrypted
│   ├── SeekPastEnd            seek_past_end
│   ├── TooLarge               too_large
│   ├── TooLong                too_long
│   ├── TooManyPixels          too_many_pixels
│   ├── CannotFit              cannot_fit
│   ├── Timeout                timeout
│   └── ResourceLimit          resource_limit
├── DeliveryError              a delivery failed; shown in the deliveries' log
│   ├── ReceiverError          receiver_error (retried)
│   ├── ReceiverGone           receiver_gone
│   └── SecretUnreadable       secret_unreadable (retried)
├── KeyRevoked                 key_revoked; the key of a batch was revoked
├── WorkerLost                 worker_lost; a task outlived its workers
├── Interrupted                interrupted; this attempt was stopped
└── InternalError              500 internal_error; a defect of ours

``status`` is the HTTP status when the error answers a request; one that ends a job is
shown in its document instead. ``retryable`` says that the same call may succeed later.
"""

from __future__ import annotations

from typing import Any, ClassVar, TypedDict


class ErrorDict(TypedDict):
    """The wire form of an error: the same five keys everywhere."""

    code: str
    title: str
    detail: str
    pointer: str | None
    hint: str | None


class Fault(TypedDict):
    """One invalid field of a request."""

    pointer: str
    detail: str
    hint: str | None


class FramemillError(Exception):
    """Root of the tree.

    ``detail`` says what was wrong and where, ``pointer`` is the JSON pointer of
    the field at fault (or None), ``hint`` says what would be right.
    """

    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(
        self, detail: str, *, pointer: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.pointer = pointer
        self.hint = hint

    def as_dict(self) -> ErrorDict:
        """Return the public part of the error."""
        return {
            "code": self.code,
            "title": self.title,
            "detail": self.detail,
            "pointer": self.pointer,
            "hint": self.hint,
        }


class RequestError(FramemillError):
    """The request cannot be served as it is."""

    code, title, status = "bad_request", "Bad request", 400


class BadRequest(RequestError):
    """The body or a header cannot be parsed."""


class Unauthorized(RequestError):
    """No valid API key came with the request."""

    code, title, status = "unauthorized", "API key missing or not valid", 401


class Forbidden(RequestError):
    """The API key, or the service, does not allow this."""

    code, title, status = "forbidden", "Not allowed", 403


class NotFound(RequestError):
    """There is no such thing, it has expired, or it belongs to another owner."""

    code, title, status = "not_found", "Unknown or expired", 404


class MethodNotAllowed(RequestError):
    """This address does not take this method."""

    code, title, status = "method_not_allowed", "Method not allowed", 405


class Conflict(RequestError):
    """The current state does not allow this."""

    code, title, status = "conflict", "Not possible in this state", 409


class BodyTooSlow(RequestError):
    """The request's head or body arrived too slowly."""

    code, title, status = "body_too_slow", "Request too slow", 408
    retryable = True


class BodyTooLarge(RequestError):
    """The body is over the size limit."""

    code, title, status = "body_too_large", "Body over the size limit", 413


class UnsupportedMediaType(RequestError):
    """The body is neither JSON nor multipart."""

    code, title, status = "unsupported_media_type", "Unsupported media type", 415


class ChecksumMismatch(RequestError):
    """The bytes do not match Upload-Checksum (tus 1.0); none of them are kept."""

    code, title, status = "checksum_mismatch", "Checksum does not match", 460


class Invalid(RequestError):
    """The request can be parsed but is not valid; ``faults`` lists every fault."""

    code, title, status = "invalid_request", "Request not valid", 422

    def __init__(self, faults: list[Fault]) -> None:
        first = faults[0]
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        super().__init__(
            first["detail"] + more, pointer=first["pointer"], hint=first["hint"]
        )
        self.faults = faults

    @classmethod
    def one(cls, pointer: str, detail: str, hint: str | None = None) -> Invalid:
        """Return the error for a single fault."""
        return cls([{"pointer": pointer, "detail": detail, "hint": hint}])


class IdempotencyMismatch(RequestError):
    """The Idempotency-Key was used before with another body."""

    code, status = "idempotency_mismatch", 422
    title = "Idempotency-Key used with another body"


class RenderFailed(RequestError):
    """The image that a signed URL asks for could not be made."""

    code, title, status = "render_failed", "Image could not be made", 422


class TooManyRequests(RequestError):
    """A rate limit or quota is used up; try again after ``Retry-After`` seconds."""

    code, title, status = "too_many_requests", "Limit reached", 429
    retryable = True
    quota: tuple[str, int] | None = None  # of a limit that only refusals report

    def __init__(
        self, detail: str, *, retry_after: int, hint: str | None = None
    ) -> None:
        super().__init__(detail, hint=hint)
        self.retry_after = retry_after


class UploadLocked(TooManyRequests):
    """An upload has to wait, because of a limit; see ``Retry-After``, in seconds.

    tus clients try again after 423, but not after 429.
    """

    code, title, status = "upload_locked", "Upload has to wait", 423

    @classmethod
    def of(cls, limit: TooManyRequests) -> UploadLocked:
        """Return the error for a limit that was reached."""
        locked = cls(limit.detail, retry_after=limit.retry_after, hint=limit.hint)
        locked.quota = limit.quota
        return locked


class Unavailable(FramemillError):
    """A part that the service depends on did not answer; try again."""

    code, title, status = "unavailable", "Temporarily unavailable", 503
    retryable = True


class PartAway(Unavailable):
    """A part of the service itself is away; accepted work waits for it.

    It does not end an accepted job before FRAMEMILL_LEASE_OUTAGE_HOURS.
    """


class StoreUnavailable(PartAway):
    """The job store (Redis) did not answer."""

    code, title = "store_unavailable", "Job store unavailable"


class StorageUnavailable(PartAway):
    """The blob store (S3 or disk) did not answer."""

    code, title = "storage_unavailable", "Storage unavailable"


class StorageDenied(StorageUnavailable):
    """The service's own storage refuses its keys, its rights or its clock."""

    code, title = "storage_denied", "Storage refuses the service"


class DiskFull(PartAway):
    """The disk that the work needs is full."""

    code, title = "disk_full", "No disk space left"


class Unreachable(Unavailable):
    """An address that the caller named (URL source, webhook) did not answer."""

    code, title = "unreachable", "Address did not answer"


class SourceError(FramemillError):
    """The source cannot be fetched."""

    code, title, status = "source_error", "Source not available", 422


class SourceNotFound(SourceError):
    """The source does not exist, or no longer exists."""

    code, title = "source_not_found", "Source not found"


class SourceChanged(SourceError):
    """The source is no longer the object that was accepted."""

    code, title = "source_changed", "Source changed after the job was accepted"


class SourceForbidden(SourceError):
    """The service or this key may not read the source, or its storage refuses."""

    code, title = "source_forbidden", "Source not readable"


class AddressRefused(SourceError):
    """The service may not connect to an address that the caller named."""

    code, title = "address_refused", "Address not allowed"


class DestinationForbidden(FramemillError):
    """The results may not be stored at the destination, or its bucket is missing."""

    code, title, status = "destination_forbidden", "Results cannot be stored there", 422


class MediaError(FramemillError):
    """The output cannot be made from this source as requested.

    ``reports`` are the AttemptReports of the alternatives that were tried before.
    """

    code, title, status = "media_error", "Media not usable", 422
    reports: tuple[Any, ...] = ()


class NoVideoStream(MediaError):
    """The file contains no moving or still picture that can be shown."""

    code, title = "no_video_stream", "No video stream"


class UnsupportedFormat(MediaError):
    """The container or the codec of the file is not supported."""

    code, title = "unsupported_format", "Unsupported format"


class DecodeError(MediaError):
    """The decoder produced no usable frame."""

    code, title = "decode_error", "Video could not be decoded"


class Encrypted(MediaError):
    """The stream is encrypted."""

    code, title = "encrypted", "Video is encrypted"


class SeekPastEnd(MediaError):
    """The requested time is after the last frame."""

    code, title = "seek_past_end", "Time past the end of the video"


class CropOutside(MediaError):
    """The crop that was asked for lies outside of the picture."""

    code, title = "crop_outside", "Crop outside of the picture"


class TooLarge(MediaError):
    """The source has more bytes than the limit."""

    code, title = "too_large", "Source over the size limit"


class TooLong(MediaError):
    """The source is longer than the limit."""

    code, title = "too_long", "Source over the duration limit"


class TooManyPixels(MediaError):
    """The source's frames have more pixels than the limit."""

    code, title = "too_many_pixels", "Source over the pixel limit"


class CannotFit(MediaError):
    """No trial stayed under ``max_bytes``."""

    code, title = "cannot_fit", "Output does not fit max_bytes"


class Timeout(MediaError):
    """The work made no progress, or exceeded its time limit."""

    code, title = "timeout", "Processing timed out"


class ResourceLimit(MediaError):
    """The work needed more memory, or made a larger file, than is allowed."""

    code, title = "resource_limit", "Resource limit reached"


class DeliveryError(FramemillError):
    """A webhook or an e-mail was not delivered; the job is not affected."""

    code, title = "notice_error", "Notice not delivered"


class ReceiverError(DeliveryError):
    """The receiver did not answer with success; the delivery is tried again."""

    code, title, retryable = "receiver_error", "Receiver did not accept", True

    def __init__(self, detail: str, *, retry_after: float = 0) -> None:
        super().__init__(detail)
        self.retry_after = retry_after  # seconds that it asked for


class ReceiverGone(DeliveryError):
    """The receiver is gone or cannot be used; the delivery is not tried again."""

    code, title = "receiver_gone", "Receiver gone"


class SecretUnreadable(DeliveryError):
    """The secret of a webhook cannot be decrypted; the delivery is tried again."""

    code, title = "secret_unreadable", "Secret of the webhook not readable"
    retryable = True


class KeyRevoked(FramemillError):
    """The API key of the batch was revoked before all jobs were made."""

    code, title, status = "key_revoked", "API key revoked", 403


class WorkerLost(FramemillError):
    """Too many workers died or vanished while they ran this task."""

    code, title = "worker_lost", "Worker lost"


class Interrupted(FramemillError):
    """The attempt was stopped: the job was cancelled, or the lease was lost."""

    code, title = "interrupted", "Attempt interrupted"


class InternalError(FramemillError):
    """A defect in Framemill; the log has the trace under the same id."""

    code = "internal_error"


def catalogue() -> dict[str, type[FramemillError]]:
    """Return every error class by its code, for the docs and for OpenAPI."""
    tree: list[type[FramemillError]] = [FramemillError]
    for cls in tree:
        tree += cls.__subclasses__()
    # The root shares its code with the leaf that is raised.
    return {cls.code: cls for cls in tree if "code" in vars(cls)}
