"""``/v1/batches``: one request, many jobs; their parent is read, cancelled, deleted."""

from __future__ import annotations

from flask import Blueprint, Response, request

from api.batches.schemas import BATCH, BatchListView, BatchRequest, present
from api.http import headers
from api.http import json_body as bodies
from api.http.headers import check_id
from api.http.idempotency import accept_key
from api.http.long_poll import Answers
from api.http.services import Services
from api.http.validation import validate
from api.jobs.sources import check_place, resolve_source
from api.jobs.submission import check_terms
from api.jobs.subscriptions import BATCH_ENDINGS, about
from common.access.principal import Principal
from common.errors import Invalid
from common.jobs.batches import BatchSubmission, Prefix
from common.model import JobOptions

_ADDRESS = "POST /v1/batches"


def blueprint(services: Services) -> Blueprint:
    """Return the routes."""
    routes = Blueprint("batches", __name__, url_prefix="/v1/batches")
    batches = services.runtime.batches
    answers = Answers(
        services.long_polls,
        services.runtime.store.wait_batch,
        lambda batch: present(batch, services.links()),
    )

    @routes.post("")
    def create() -> Response:
        headers.expect_no_query(request)
        submitted = batches.submit(_read(services, services.enter("submit")))
        return answers.accepted(submitted.batch)

    @routes.get("")
    def index() -> Response:
        with headers.Query(request) as query:
            limit, cursor = query.page_size(), query.text("cursor")
        found, following = batches.list(
            services.enter("read").owner, limit=limit, cursor=cursor
        )
        links = services.links()
        page = BatchListView(
            batches=[present(one, links) for one in found], next=following
        )
        return bodies.json_response(page)

    @routes.get("/<batch_id>")
    def show(batch_id: str) -> Response:
        headers.expect_no_query(request)
        owner = services.enter("read").owner
        return answers.shown(batches.get(check_id(batch_id, "batch"), owner))

    @routes.post("/<batch_id>/cancel")
    def cancel(batch_id: str) -> Response:
        headers.expect_no_query(request)
        owner = services.enter("submit").owner
        batch = batches.cancel(check_id(batch_id, "batch"), owner)
        return answers.accepted(batch)

    @routes.delete("/<batch_id>")
    def delete(batch_id: str) -> Response:
        headers.expect_no_query(request)
        owner = services.enter("submit").owner
        batches.delete(check_id(batch_id, "batch"), owner)
        return Response(status=204)

    return routes


def _read(services: Services, who: Principal) -> BatchSubmission:
    settings = services.runtime.settings
    key = headers.idempotency_key(request)
    document = bodies.read_json(request, settings.limits.json_bytes)
    requested = validate(BATCH, document)
    terms = check_terms(services.runtime, who, requested)
    notify, told = requested.notify, terms.subscriptions
    _check_destination(terms.options)
    return BatchSubmission(
        owner=who.owner,
        sources=[
            resolve_source(services, one, who, f"/sources/{number}")
            for number, one in enumerate(requested.sources or [])
        ],
        prefix=_prefix(requested, who),
        outputs=terms.outputs,
        metadata=terms.metadata,
        options=terms.options,
        subscriptions=about("batch", notify, told, BATCH_ENDINGS),
        job_subscriptions=about("job", notify, told, []),
        idempotency=accept_key(_ADDRESS, key, document),
        jobs_at_once=terms.jobs_at_once,
        key_id=who.key_id,
        jobs_per_day=who.allowance.jobs_per_day,
    )


def _prefix(requested: BatchRequest, who: Principal) -> Prefix | None:
    if requested.prefix is None:
        return None
    place = requested.prefix.s3
    check_place(place.bucket, place.prefix, who, "/prefix/s3")
    return Prefix(place.bucket, place.prefix, place.suffix)


def _check_destination(options: JobOptions) -> None:
    target = options.destination
    if target is not None and "{job_id}" not in target.prefix:
        raise Invalid.one(
            "/destination/s3/prefix",
            "all jobs of the batch would write their results to the same keys",
            "put {job_id} into the prefix, for example films/{job_id}",
        )
