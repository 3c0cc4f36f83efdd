"""What a request submits, read, checked and put together: the one place for it.

A submission has two halves. Its terms say what to make, for whom, and where results
go; a JSON body, a form, the announcement of an upload and a batch all have them. Its
source is named in the body, comes with the form, or is the upload itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from flask import request
from pydantic import TypeAdapter

from api.http import json_body as bodies
from api.http.idempotency import accept_key
from api.http.multipart import FILE, Form, ReceivedFile, receive
from api.http.services import Services
from api.http.validation import collected, validate
from api.jobs.reservation import ReservedBody
from api.jobs.schemas import FormRequest, JobPart, JobRequest, S3Destination
from api.jobs.sources import resolve_source
from api.jobs.subscriptions import as_stored
from common.access.principal import Principal
from common.access.quota import DailyQuota
from common.errors import (
    BadRequest,
    BodyTooLarge,
    Fault,
    Forbidden,
    Invalid,
    RequestError,
    StoreUnavailable,
)
from common.jobs.presets import outputs_of
from common.jobs.service import (
    Submission,
    Submitted,
    named_specs,
    new_id,
    source_key,
)
from common.jobs.store import Idempotency
from common.model import Destination, JobOptions, Source
from common.notify.subscriptions import Subscription
from common.outputs.specs import OUTPUT_SPEC, OutputSpec, recorded
from common.runtime import Runtime
from common.settings.load import Settings
from common.settings.sections import Limits
from common.storage.names import as_path

ADDRESS = "POST /v1/jobs"
# The folders of our own bucket in which sources and results lie.
_OWN = frozenset({"in", "out"})
# Fields of a form that may be written without JSON's quotation marks.
_PLAIN = frozenset({"preset"})
# Room in a multipart body for the other parts and the boundaries.
_FRAMING_BYTES = 1024 * 1024
_JOB: TypeAdapter[JobRequest] = TypeAdapter(JobRequest)
_FORM: TypeAdapter[FormRequest] = TypeAdapter(FormRequest)
_PART: TypeAdapter[JobPart] = TypeAdapter(JobPart)

# Takes the service, the caller, the Idempotency-Key and the quota; submits the job.
Submit = Callable[[Services, Principal, str | None, DailyQuota | None], Submitted]


@dataclass(frozen=True)
class JobTerms:
    """All of a submission but its source. ``outputs`` empty is the natural pair."""

    owner: str
    outputs: Sequence[OutputSpec]
    subscriptions: list[Subscription]
    metadata: Any
    options: JobOptions
    jobs_at_once: int | None

    def over(
        self,
        source: Source,
        *,
        job_id: str | None = None,
        idempotency: Idempotency | None = None,
        quota: DailyQuota | None = None,
    ) -> Submission:
        """Return the submission of a job on these terms over a source."""
        return Submission(
            owner=self.owner,
            source=source,
            outputs=self.outputs,
            metadata=self.metadata,
            options=self.options,
            subscriptions=self.subscriptions,
            job_id=job_id or new_id(),
            idempotency=idempotency,
            jobs_at_once=self.jobs_at_once,
            quota=quota,
        )

    def dump(self) -> dict[str, Any]:
        """Return what an upload keeps of the job that starts when it is complete."""
        return {
            "outputs": [recorded(spec) for spec in self.outputs],
            "subscriptions": [
                one.model_dump(mode="json") for one in self.subscriptions
            ],
            "metadata": self.metadata,
            "options": self.options.dump(),
            "jobs_at_once": self.jobs_at_once,
        }

    @classmethod
    def load(cls, owner: str, kept: dict[str, Any]) -> JobTerms:
        """Read what :meth:`dump` wrote."""
        return cls(
            owner=owner,
            outputs=[
                OUTPUT_SPEC.validate_json(json.dumps(one)) for one in kept["outputs"]
            ],
            subscriptions=[
                Subscription.model_validate(one) for one in kept["subscriptions"]
            ],
            metadata=kept["metadata"],
            options=JobOptions.model_validate(kept["options"]),
            jobs_at_once=kept["jobs_at_once"],
        )


def check_terms(
    runtime: Runtime, who: Principal, requested: FormRequest, base: str = ""
) -> JobTerms:
    """Return the terms of a request, which lies at ``base`` in the body.

    A preset becomes its outputs now: what was asked for does not change with the
    settings. Raises Invalid with every fault, and Forbidden.
    """
    settings = runtime.settings
    faults: list[Fault] = []
    outputs: Sequence[OutputSpec] = ()
    subscriptions: list[Subscription] = []
    options = JobOptions()
    with collected(faults):
        _check_metadata(requested.metadata, settings.limits.metadata_bytes, base)
    with collected(faults):
        outputs = _chosen_outputs(settings, requested, base)
        # A job that starts later is refused now, while its caller can still read why.
        named_specs(outputs, settings.limits.outputs_per_job, base)
    with collected(faults):
        subscriptions = as_stored(requested.notify, who, settings, base)
    with collected(faults):
        options = _options(runtime, who, requested, base)
    if faults:
        raise Invalid(faults)
    return JobTerms(
        owner=who.owner,
        outputs=outputs,
        subscriptions=subscriptions,
        metadata=requested.metadata,
        options=options,
        jobs_at_once=who.allowance.jobs_at_once,
    )


def submit_json(
    services: Services, who: Principal, key: str | None, quota: DailyQuota | None
) -> Submitted:
    """Submit the job of a JSON body, which names its source.

    ``key`` is its Idempotency-Key. Raises what the checks and the job service raise.
    """
    jobs = services.runtime.jobs
    document = bodies.read_json(request, services.runtime.settings.limits.json_bytes)
    requested = validate(_JOB, document)
    known = accept_key(ADDRESS, key, document)
    terms = check_terms(services.runtime, who, requested)
    try:
        source = resolve_source(services, requested.source, who)
    except RequestError:
        # The source of an earlier request may be gone by now; its job is not.
        if earlier := jobs.recall(who.owner, known):
            return earlier
        raise
    return jobs.submit(terms.over(source, idempotency=known, quota=quota))


def submit_form(
    services: Services, who: Principal, key: str | None, quota: DailyQuota | None
) -> Submitted:
    """Submit the job of a form: the file, and a part for each field of the request.

    ``key`` is its Idempotency-Key. Raises what the checks, the storage and the job
    service raise; then nothing is left of the file.
    """
    return _submit_received(services, who, key, quota, FormRequest)


def submit_file(
    services: Services, who: Principal, key: str | None, quota: DailyQuota | None
) -> Submitted:
    """Submit the job of a form: the file, and the whole request as one part ``job``.

    See :func:`submit_form`. Programs write this form from the OpenAPI document: each of
    them has a way of its own to write lists, truth values and nulls as parts.
    """
    return _submit_received(services, who, key, quota, JobPart)


def _submit_received(
    services: Services,
    who: Principal,
    key: str | None,
    quota: DailyQuota | None,
    model: type[FormRequest | JobPart],
) -> Submitted:
    runtime, job_id = services.runtime, new_id()
    blob_key = source_key(job_id)
    limits = _limits(runtime.settings.limits, who)
    _check_length(limits.source_bytes)
    # Crash window: from the commit of the blob to the record a crash leaves a blob
    # without a job. It is reserved first, and removed later unless a job has it.
    body = ReservedBody(request.stream, runtime.store, blob_key, runtime.settings)
    stored = False
    try:
        form = receive(
            body,
            request.content_type or "",
            open_writer=lambda kind: runtime.blobs.writer(blob_key, content_type=kind),
            known=model.model_fields.keys(),
            limits=limits,
        )
        stored = form.file is not None
        file, document, requested = _read_form(form, model)
        known = accept_key(ADDRESS, key, {"fields": document, "file": file.sha256})
        base = "/job" if model is JobPart else ""
        terms = check_terms(runtime, who, requested, base)
        submitted = runtime.jobs.submit(
            terms.over(_received(file), job_id=job_id, idempotency=known, quota=quota)
        )
    except StoreUnavailable:
        # The store may have accepted the job and its answer was lost: keep the blob.
        raise
    except BaseException:
        if stored:
            runtime.blobs.delete(blob_key)
        raise
    if not submitted.created:
        runtime.blobs.delete(blob_key)
    return submitted


def _read_form(
    form: Form, model: type[FormRequest | JobPart]
) -> tuple[ReceivedFile, dict[str, Any], FormRequest]:
    """Return the file, the other parts as they were sent, and what these request."""
    document, faults = _read_fields(form.fields)
    if form.file is None:
        faults += Invalid.one(f"/{FILE}", "the part 'file' is missing").faults
    try:
        requested = (
            validate(_PART, document).job
            if model is JobPart
            else validate(_FORM, document)
        )
    except Invalid as error:
        raise Invalid([*faults, *error.faults]) from error
    if form.file is None or faults:
        raise Invalid(faults)
    return form.file, document, requested


def _received(file: ReceivedFile) -> Source:
    return Source(
        kind="upload",
        key=file.blob.key,
        name=file.name,
        size=file.blob.size,
        etag=file.blob.etag,
        version=file.blob.version,
        sha256=file.sha256,
        content_type=file.content_type,
    )


def _read_fields(fields: dict[str, str]) -> tuple[dict[str, Any], list[Fault]]:
    document: dict[str, Any] = {}
    faults: list[Fault] = []
    for name, text in fields.items():
        if name in _PLAIN and text[:1] != '"' and text != "null":
            document[name] = text
            continue
        try:
            document[name] = _read_field(name, text)
        except Invalid as error:
            faults += [
                {**fault, "pointer": f"/{name}{fault['pointer']}"}
                for fault in error.faults
            ]
    return document, faults


def _read_field(name: str, text: str) -> Any:
    try:
        return bodies.parse_json(text.encode(), f"the part {name!r}")
    except BadRequest as error:
        field = FormRequest.model_fields.get(name)
        if field is not None and field.annotation is bool:
            detail = f"the part {name!r} is {text[:40]!r}, not a truth value"
            raise BadRequest(detail, hint="true or false") from error
        raise


def _limits(limits: Limits, who: Principal) -> Limits:
    most = who.allowance.source_bytes
    if most is None or most >= limits.source_bytes:
        return limits
    return limits.model_copy(update={"source_bytes": most})


def _check_length(limit: int) -> None:
    if (request.content_length or 0) > limit + _FRAMING_BYTES:
        raise BodyTooLarge(
            f"the body is too large: a file has at most {limit} bytes",
            hint=f"at most {limit} bytes (FRAMEMILL_LIMITS_SOURCE_BYTES)",
        )


def _check_metadata(metadata: Any, limit: int, base: str) -> None:
    if metadata is None:
        return
    text = json.dumps(metadata, ensure_ascii=False, separators=(",", ":"))
    if len(text.encode()) > limit:
        raise Invalid.one(
            f"{base}/metadata",
            f"the metadata is over {limit} bytes, written as JSON",
            f"at most {limit} bytes (FRAMEMILL_LIMITS_METADATA_BYTES)",
        )


def _chosen_outputs(
    settings: Settings, requested: FormRequest, base: str
) -> Sequence[OutputSpec]:
    if requested.preset is None:
        return requested.outputs or ()
    if requested.outputs is not None:
        raise Invalid.one(
            f"{base}/preset",
            "the request has both outputs and a preset",
            "leave one of them out",
        )
    return outputs_of(settings, requested.preset, f"{base}/preset")


def _options(
    runtime: Runtime, who: Principal, requested: FormRequest, base: str
) -> JobOptions:
    destination = None
    if requested.destination is not None:
        target = requested.destination.s3
        _check_destination(runtime, who, target, f"{base}/destination/s3")
        destination = Destination(
            bucket=target.bucket,
            prefix=target.prefix.rstrip("/"),
            cache_control=target.cache_control,
            acl=target.acl,
            tags=target.tags,
        )
    return JobOptions(
        max_bytes=who.allowance.source_bytes,
        max_seconds=who.allowance.source_seconds,
        dedupe=requested.dedupe,
        destination=destination,
    )


def _check_destination(
    runtime: Runtime, who: Principal, target: S3Destination, pointer: str
) -> None:
    settings = runtime.settings
    if settings.blobs.backend != "s3":
        raise Invalid.one(
            pointer,
            "this service keeps its files in a folder and cannot write to a bucket",
            "leave the destination out; FRAMEMILL_BLOBS_BACKEND=s3 makes it possible",
        )
    first = as_path(target.prefix).split("/")[0]
    if target.bucket == settings.blobs.bucket and first in _OWN:
        raise Invalid.one(
            f"{pointer}/prefix",
            "the service keeps its own files under 'in/' and 'out/' of this bucket",
            "choose another prefix",
        )
    allowed = who.allowance.destinations
    if who.key_id is None:
        allowed = tuple(settings.blobs.destinations)
    place = f"{target.bucket}/{target.prefix.rstrip('/')}".rstrip("/") + "/"
    if not any(_covers(one, place) for one in allowed):
        raise Forbidden(
            "results may not be written to this destination",
            pointer=pointer,
            hint="the operator can allow it: framemill keys limits ID --destination "
            "BUCKET/PREFIX/ (without API keys: FRAMEMILL_BLOBS_DESTINATIONS)",
        )
    if not runtime.blobs.admits(place.partition("/")[2] + "x", bucket=target.bucket):
        raise Invalid.one(
            f"{pointer}/prefix",
            f"the storage cannot hold keys that begin with {target.prefix!r}",
            "segments between slashes must not be empty or '.'",
        )


def _covers(allowed: str, place: str) -> bool:
    """Return whether ``BUCKET`` or ``BUCKET/PREFIX`` begins a place that ends in /."""
    return place.startswith(allowed if "/" in allowed else f"{allowed}/")
