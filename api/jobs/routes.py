"""``/v1/jobs``: submit, read, list, cancel, retry, delete."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

from flask import Blueprint, Response, request
from pydantic import TypeAdapter

from api.http import headers
from api.http import json_body as bodies
from api.http.auth import Authenticator, enter
from api.http.links import Links
from api.http.long_poll import LongPollSlots
from api.http.multipart import FILE, Form, receive
from api.http.validation import validate
from api.jobs.destinations import job_options
from api.jobs.outputs import check_metadata, chosen_outputs
from api.jobs.schemas import FormRequest, JobListView, JobRequest, JobView
from api.jobs.sources import Sources
from api.jobs.subscriptions import as_stored
from api.jobs.views import present
from common.access.keys import Scope
from common.access.principal import Principal
from common.access.quota import DailyQuota
from common.errors import (
    BodyTooLarge,
    Fault,
    Invalid,
    NotFound,
    RequestError,
    StoreUnavailable,
    UnsupportedMediaType,
)
from common.jobs.service import Submission, Submitted, new_id, source_key
from common.jobs.store import Idempotency
from common.model import JOB_ENDED, BatchRecord, JobRecord, JobStatus, Source
from common.runtime import Runtime

MAX_PAGE = 200
DEFAULT_PAGE = 50
POLL_SECONDS = 1
_ID = re.compile(r"[0-9a-f]{32}")
# Fields of a form that may be written without JSON's quotation marks.
_PLAIN = frozenset({"preset"})
_MULTIPART = "multipart/form-data"
_ADDRESS = "POST /v1/jobs"
_STATUSES: tuple[JobStatus, ...] = get_args(JobStatus)
Waited = TypeVar("Waited", JobRecord, BatchRecord)
_JOB: TypeAdapter[JobRequest] = TypeAdapter(JobRequest)
_FORM: TypeAdapter[FormRequest] = TypeAdapter(FormRequest)


@dataclass(frozen=True)
class JobsContext:
    """What the views of jobs stand on."""

    runtime: Runtime
    authenticator: Authenticator
    long_polls: LongPollSlots
    sources: Sources

    def enter(self, scope: Scope) -> Principal:
        """Tell who is asking; raises what the guard raises."""
        return enter(self.authenticator, scope)

    def links(self) -> Links:
        """Make links as this request's caller can follow them."""
        settings = self.runtime.settings
        root = settings.api.public_url or request.url_root
        return Links(root.rstrip("/"), settings)


def blueprint(runtime: Runtime, context: JobsContext) -> Blueprint:
    """Make the views over one world."""
    routes = Blueprint("jobs", __name__, url_prefix="/v1/jobs")

    @routes.post("")
    def create() -> Response:
        return _create(context)

    @routes.get("")
    def index() -> Response:
        return _list(context)

    @routes.get("/<job_id>")
    def show(job_id: str) -> Response:
        headers.query(request)
        owner = context.enter("read").owner
        return _show(context, runtime.jobs.get(check_id(job_id), owner))

    @routes.post("/<job_id>/cancel")
    def cancel(job_id: str) -> Response:
        headers.query(request)
        owner = context.enter("submit").owner
        return _accepted(context, runtime.jobs.cancel(check_id(job_id), owner))

    @routes.post("/<job_id>/retry")
    def retry(job_id: str) -> Response:
        headers.query(request)
        who = context.enter("submit")
        most = who.allowance.jobs_at_once
        job = runtime.jobs.retry(check_id(job_id), who.owner, most)
        return _accepted(context, job)

    @routes.delete("/<job_id>")
    def delete(job_id: str) -> Response:
        headers.query(request)
        owner = context.enter("submit").owner
        runtime.jobs.delete(check_id(job_id), owner)
        return Response(status=204)

    return routes


def check_id(given: str, kind: str = "job") -> str:
    """Give the id back; raises NotFound for what cannot be one."""
    if not _ID.fullmatch(given):
        raise NotFound(f"there is no such {kind}", hint="an id is 32 hex digits")
    return given


def _create(context: JobsContext) -> Response:
    headers.query(request)
    who = context.enter("submit")
    key = headers.idempotency_key(request)
    if request.mimetype not in {_MULTIPART, bodies.JSON_TYPE}:
        raise UnsupportedMediaType(
            f"a body of type {request.content_type!r} is not taken here"[:200],
            hint=f"send {bodies.JSON_TYPE} or {_MULTIPART}",
        )
    submit = _submit_form if request.mimetype == _MULTIPART else _submit_json
    quota = context.authenticator.quota(who, repeat=key is not None)
    submitted = submit(context, who, key, quota)
    if submitted.created:
        context.authenticator.job_counted()
    return _accepted(context, submitted.job)


def _submit_json(
    context: JobsContext, who: Principal, key: str | None, quota: DailyQuota | None
) -> Submitted:
    limits = context.runtime.settings.limits
    document = bodies.read_json(request, limits.json_bytes)
    check_metadata(document, limits.metadata_bytes)
    requested = validate(_JOB, document)
    known = known_request(_ADDRESS, key, document)
    try:
        source = context.sources.resolve(requested.source, who)
    except RequestError:
        # What an earlier request named may be gone since; its answer is not.
        if earlier := context.runtime.jobs.recall(who.owner, known):
            return earlier
        raise
    return context.runtime.jobs.submit(
        Submission(
            owner=who.owner,
            source=source,
            outputs=chosen_outputs(context.runtime.settings, requested),
            subscriptions=as_stored(requested.notify, who, context.runtime.settings),
            metadata=requested.metadata,
            options=job_options(context.runtime, who, requested),
            idempotency=known,
            jobs_at_once=who.allowance.jobs_at_once,
            quota=quota,
        )
    )


def _submit_form(
    context: JobsContext, who: Principal, key: str | None, quota: DailyQuota | None
) -> Submitted:
    runtime, job_id = context.runtime, new_id()
    blob_key = source_key(job_id)
    limits = _limits(context, who)
    _check_length(limits.source_bytes)
    # Crash window: from the commit of the blob to the record a crash leaves a blob
    # without a job. It is reserved first: the sweep takes what no job has taken.
    runtime.store.reserve_blob(blob_key, runtime.settings.retention.upload_hours * 3600)
    stored = False
    try:
        form = receive(
            request.stream,
            request.content_type or "",
            open_writer=lambda kind: runtime.blobs.writer(blob_key, content_type=kind),
            known=FormRequest.model_fields.keys(),
            limits=limits,
        )
        stored = form.file is not None
        submitted = _submit_received(context, who, form, key, job_id, quota)
    except StoreUnavailable:
        # The store may have accepted the job without our hearing it: keep the blob.
        raise
    except BaseException:
        if stored:
            runtime.blobs.delete(blob_key)
        raise
    if not submitted.created:
        runtime.blobs.delete(blob_key)
    return submitted


def _submit_received(
    context: JobsContext,
    who: Principal,
    form: Form,
    key: str | None,
    job_id: str,
    quota: DailyQuota | None,
) -> Submitted:
    document, faults = _read_fields(form.fields)
    limits = context.runtime.settings.limits
    check_metadata(document, limits.metadata_bytes)
    if form.file is None:
        faults += Invalid.one(f"/{FILE}", "the part 'file' is missing").faults
    try:
        requested = validate(_FORM, document)
    except Invalid as error:
        raise Invalid([*faults, *error.faults]) from error
    if form.file is None or faults:
        raise Invalid(faults)
    file = form.file
    source = Source(
        kind="upload",
        key=file.blob.key,
        name=file.name,
        size=file.blob.size,
        etag=file.blob.etag,
        version=file.blob.version,
        sha256=file.sha256,
        content_type=file.content_type,
    )
    return context.runtime.jobs.submit(
        Submission(
            owner=who.owner,
            source=source,
            outputs=chosen_outputs(context.runtime.settings, requested),
            subscriptions=as_stored(requested.notify, who, context.runtime.settings),
            metadata=requested.metadata,
            options=job_options(context.runtime, who, requested),
            job_id=job_id,
            idempotency=known_request(
                _ADDRESS, key, {"fields": document, "file": file.sha256}
            ),
            jobs_at_once=who.allowance.jobs_at_once,
            quota=quota,
        )
    )


def _read_fields(fields: dict[str, str]) -> tuple[dict[str, Any], list[Fault]]:
    document: dict[str, Any] = {}
    faults: list[Fault] = []
    for name, text in fields.items():
        if name in _PLAIN and text[:1] != '"' and text != "null":
            document[name] = text
            continue
        try:
            document[name] = bodies.parse_json(text.encode(), f"the part {name!r}")
        except Invalid as error:
            faults += [
                {**fault, "pointer": f"/{name}{fault['pointer']}"}
                for fault in error.faults
            ]
    return document, faults


def _check_length(limit: int) -> None:
    # 1 MiB is room for the other parts and the boundaries.
    if (request.content_length or 0) > limit + 1024 * 1024:
        raise BodyTooLarge(
            f"the body is over the limit of {limit} bytes for a file",
            hint=f"at most {limit} bytes (FRAMEMILL_LIMITS_SOURCE_BYTES)",
        )


def _limits(context: JobsContext, who: Principal) -> Any:
    limits = context.runtime.settings.limits
    most = who.allowance.source_bytes
    if most is None or most >= limits.source_bytes:
        return limits
    return limits.model_copy(update={"source_bytes": most})


def known_request(address: str, key: str | None, document: Any) -> Idempotency | None:
    """Give what tells a repeat of this request, None without a key."""
    if key is None:
        return None
    text = address.encode() + b"\n" + bodies.canonical(document)
    return Idempotency(key, hashlib.sha256(text).hexdigest())


def _accepted(context: JobsContext, job: JobRecord) -> Response:
    applied, job = _wait(context, job)
    ended = applied is not None and job.status in JOB_ENDED
    view = present(job, context.links())
    response = _document(view, 200 if ended else 202, applied)
    response.headers["Location"] = view.links.self
    return response


def _show(context: JobsContext, job: JobRecord) -> Response:
    applied, job = _wait(context, job)
    requested = headers.wait_seconds(request) is not None
    open_end = requested and job.status not in JOB_ENDED
    view = present(job, context.links())
    response = _document(view, 202 if open_end else 200, applied)
    response.add_etag()
    response.headers["Cache-Control"] = "private, no-cache"
    if not open_end:
        response.make_conditional(request)
    return response


def _wait(context: JobsContext, job: JobRecord) -> tuple[int | None, JobRecord]:
    return wait_for(context, job, context.runtime.store.wait)


def wait_for(
    context: JobsContext, record: Waited, wait: Callable[[str, float], Waited | None]
) -> tuple[int | None, Waited]:
    """Give a record after the preferred wait, and the wait if it was kept."""
    seconds = headers.wait_seconds(request)
    if seconds is None or seconds == 0 or record.status in JOB_ENDED:
        return seconds, record
    with context.long_polls.place() as got:
        if not got:
            return None, record
        ended = wait(record.id, seconds)
    if ended is None:
        raise NotFound(f"{record.id} was deleted meanwhile")
    return seconds, ended


def _document(view: JobView, status: int, applied: int | None) -> Response:
    response = Response(view.model_dump_json(), status, mimetype=bodies.JSON_TYPE)
    response.headers["Cache-Control"] = "no-store"
    if view.status not in JOB_ENDED:
        response.headers["Retry-After"] = str(POLL_SECONDS)
    if applied is not None:
        response.headers["Preference-Applied"] = f"wait={applied}"
    return response


def _list(context: JobsContext) -> Response:
    values = headers.query(request, "status", "batch", "limit", "cursor")
    owner = context.enter("read").owner
    runtime = context.runtime
    page_of: dict[str, Any] = {
        "status": headers.choice(values, "status", _STATUSES),
        "limit": headers.whole_number(values, "limit", DEFAULT_PAGE, MAX_PAGE),
        "cursor": values.get("cursor"),
    }
    if (batch := values.get("batch")) is not None:
        batch_id = check_id(batch, "batch")
        jobs, following = runtime.batches.jobs(batch_id, owner, **page_of)
    else:
        jobs, following = runtime.jobs.list(owner, **page_of)
    links = context.links()
    page = JobListView(jobs=[present(job, links) for job in jobs], next=following)
    response = Response(page.model_dump_json(), mimetype=bodies.JSON_TYPE)
    response.headers["Cache-Control"] = "no-store"
    return response
