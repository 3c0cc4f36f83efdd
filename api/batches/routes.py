"""``/v1/batches``: one request, many jobs; their parent is read, cancelled, deleted."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from api.batches.schemas import BATCH, BatchListView, BatchRequest, present
from api.http import headers
from api.http import json_body as bodies
from api.http.validation import validate
from api.jobs.destinations import job_options
from api.jobs.outputs import check_metadata, chosen_outputs
from api.jobs.routes import (
    DEFAULT_PAGE,
    MAX_PAGE,
    POLL_SECONDS,
    JobsContext,
    check_id,
    known_request,
    wait_for,
)
from api.jobs.subscriptions import BATCH_ENDINGS, about
from common.access.principal import Principal
from common.errors import Invalid
from common.jobs.batches import BatchSubmission, Prefix
from common.model import JOB_ENDED, BatchRecord
from common.runtime import Runtime

_ADDRESS = "POST /v1/batches"


def blueprint(runtime: Runtime, context: JobsContext) -> Blueprint:
    """Make the views over one world."""
    routes = Blueprint("batches", __name__, url_prefix="/v1/batches")
    batches = runtime.batches

    @routes.post("")
    def create() -> Response:
        headers.query(request)
        submitted = batches.submit(_read(context, context.enter("submit")))
        return _accepted(context, submitted.batch)

    @routes.get("")
    def index() -> Response:
        values = headers.query(request, "limit", "cursor")
        found, following = batches.list(
            context.enter("read").owner,
            limit=headers.whole_number(values, "limit", DEFAULT_PAGE, MAX_PAGE),
            cursor=values.get("cursor"),
        )
        links = context.links()
        page = BatchListView(
            batches=[present(one, links) for one in found], next=following
        )
        return _document(page.model_dump_json(), 200)

    @routes.get("/<batch_id>")
    def show(batch_id: str) -> Response:
        headers.query(request)
        owner = context.enter("read").owner
        return _show(context, batches.get(check_id(batch_id, "batch"), owner))

    @routes.post("/<batch_id>/cancel")
    def cancel(batch_id: str) -> Response:
        headers.query(request)
        owner = context.enter("submit").owner
        batch = batches.cancel(check_id(batch_id, "batch"), owner)
        return _accepted(context, batch)

    @routes.delete("/<batch_id>")
    def delete(batch_id: str) -> Response:
        headers.query(request)
        owner = context.enter("submit").owner
        batches.delete(check_id(batch_id, "batch"), owner)
        return Response(status=204)

    return routes


def _read(context: JobsContext, who: Principal) -> BatchSubmission:
    settings = context.runtime.settings
    key = headers.idempotency_key(request)
    document = bodies.read_json(request, settings.limits.json_bytes)
    check_metadata(document, settings.limits.metadata_bytes)
    requested = validate(BATCH, document)
    options = job_options(context.runtime, who, requested)
    _check_destination(options)
    return BatchSubmission(
        owner=who.owner,
        sources=[
            context.sources.resolve(one, who, f"/sources/{number}")
            for number, one in enumerate(requested.sources or [])
        ],
        prefix=_prefix(context, requested, who),
        outputs=chosen_outputs(settings, requested),
        metadata=requested.metadata,
        options=options,
        subscriptions=about("batch", requested.notify, who, settings, BATCH_ENDINGS),
        job_subscriptions=about("job", requested.notify, who, settings, []),
        idempotency=known_request(_ADDRESS, key and f"{_ADDRESS} {key}", document),
        jobs_at_once=who.allowance.jobs_at_once,
        key_id=who.key_id,
        jobs_per_day=who.allowance.jobs_per_day,
    )


def _prefix(
    context: JobsContext, requested: BatchRequest, who: Principal
) -> Prefix | None:
    if requested.prefix is None:
        return None
    place = requested.prefix.s3
    context.sources.check_place(place.bucket, place.prefix, who, "/prefix/s3")
    return Prefix(place.bucket, place.prefix, place.suffix)


def _check_destination(options: dict[str, Any]) -> None:
    target = options.get("destination")
    if target is not None and "{job_id}" not in target["prefix"]:
        raise Invalid.one(
            "/destination/s3/prefix",
            "the jobs of a batch would overwrite each other's results",
            "put {job_id} into the prefix",
        )


def _accepted(context: JobsContext, batch: BatchRecord) -> Response:
    applied, batch = wait_for(context, batch, context.runtime.store.wait_batch)
    ended = applied is not None and batch.status in JOB_ENDED
    response = _answer(context, batch, 200 if ended else 202, applied)
    response.headers["Location"] = context.links().batch(batch.id)
    return response


def _show(context: JobsContext, batch: BatchRecord) -> Response:
    applied, batch = wait_for(context, batch, context.runtime.store.wait_batch)
    requested = headers.wait_seconds(request) is not None
    open_end = requested and batch.status not in JOB_ENDED
    response = _answer(context, batch, 202 if open_end else 200, applied)
    response.add_etag()
    response.headers["Cache-Control"] = "private, no-cache"
    if not open_end:
        response.make_conditional(request)
    return response


def _answer(
    context: JobsContext, batch: BatchRecord, status: int, applied: int | None
) -> Response:
    response = _document(present(batch, context.links()).model_dump_json(), status)
    if batch.status not in JOB_ENDED:
        response.headers["Retry-After"] = str(POLL_SECONDS)
    if applied is not None:
        response.headers["Preference-Applied"] = f"wait={applied}"
    return response


def _document(text: str, status: int) -> Response:
    response = Response(text, status, mimetype=bodies.JSON_TYPE)
    response.headers["Cache-Control"] = "no-store"
    return response
