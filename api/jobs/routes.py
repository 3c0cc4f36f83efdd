"""``/v1/jobs``: submit, read, list, cancel, retry, delete."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from flask import Blueprint, Response, request

from api.http import headers
from api.http import json_body as bodies
from api.http.headers import check_id
from api.http.long_poll import Answers, asks_for_change
from api.http.openapi import FORM, JSON
from api.http.services import Services
from api.jobs.schemas import JobListView
from api.jobs.submission import Submit, submit_file, submit_form, submit_json
from api.jobs.views import present, tag
from common.model import JobRecord, JobStatus
from common.runtime import Runtime

_BODIES: dict[str, Submit] = {JSON: submit_json, FORM: submit_form}
_FILES: dict[str, Submit] = {FORM: submit_file}
# Not "file", which is an address of its own with other methods.
_ONE = "/<string(minlength=5):job_id>"
_STATUSES: tuple[JobStatus, ...] = get_args(JobStatus)


def blueprint(services: Services) -> Blueprint:
    """Return the routes."""
    runtime = services.runtime
    routes = Blueprint("jobs", __name__, url_prefix="/v1/jobs")
    answers = Answers(
        services.long_polls,
        runtime.store.wait,
        lambda job: present(job, services.links()),
        lambda job_id, version: tag(job_id, version, services.links()),
    )

    @routes.post("")
    def create() -> Response:
        return answers.accepted(_create(services, _BODIES))

    @routes.post("/file")
    def create_of_file() -> Response:
        return answers.accepted(_create(services, _FILES))

    @routes.get("")
    def index() -> Response:
        return _list(services)

    @routes.get(_ONE)
    def show(job_id: str) -> Response:
        headers.expect_no_query(request)
        owner = services.enter("read").owner
        return _show(runtime, answers, check_id(job_id), owner)

    @routes.post("/<job_id>/cancel")
    def cancel(job_id: str) -> Response:
        headers.expect_no_query(request)
        owner = services.enter("submit").owner
        return answers.accepted(runtime.jobs.cancel(check_id(job_id), owner))

    @routes.post("/<job_id>/retry")
    def retry(job_id: str) -> Response:
        headers.expect_no_query(request)
        who = services.enter("submit")
        most = who.allowance.jobs_at_once
        return answers.accepted(runtime.jobs.retry(check_id(job_id), who.owner, most))

    @routes.delete(_ONE)
    def delete(job_id: str) -> Response:
        headers.expect_no_query(request)
        owner = services.enter("submit").owner
        runtime.jobs.delete(check_id(job_id), owner)
        return Response(status=204)

    return routes


def _create(services: Services, submits: dict[str, Submit]) -> JobRecord:
    """Submit a job by what the address offers for the type of the body."""
    headers.expect_no_query(request)
    who = services.enter("submit")
    key = headers.idempotency_key(request)
    submit = submits.get(request.mimetype)
    if submit is None:
        raise bodies.unsupported_type(request, " or ".join(submits))
    quota = services.authenticator.quota(who, repeat=key is not None)
    submitted = submit(services, who, key, quota)
    if submitted.created:
        services.authenticator.job_counted()
    return submitted.job


def _show(
    runtime: Runtime, answers: Answers[JobRecord], job_id: str, owner: str
) -> Response:
    if asks_for_change():
        unchanged = answers.unchanged(runtime.jobs.version(job_id, owner))
        if unchanged is not None:
            return unchanged
    return answers.shown(runtime.jobs.get(job_id, owner))


def _list(services: Services) -> Response:
    with headers.Query(request) as query:
        page_of: dict[str, Any] = {
            "status": query.choice("status", _STATUSES),
            "limit": query.page_size(),
            "cursor": query.text("cursor"),
        }
        batch = query.text("batch")
        search = query.words("search")
    owner = services.enter("read").owner
    runtime = services.runtime
    jobs: Sequence[JobRecord]
    if search is not None:
        if batch is not None:
            batch = runtime.batches.get(check_id(batch, "batch"), owner).id
        jobs, following = runtime.store.search(owner, search, batch=batch, **page_of)
    elif batch is not None:
        batch_id = check_id(batch, "batch")
        jobs, following = runtime.batches.jobs(batch_id, owner, **page_of)
    else:
        jobs, following = runtime.jobs.list(owner, **page_of)
    links = services.links()
    page = JobListView(jobs=[present(job, links) for job in jobs], next=following)
    return bodies.json_response(page)
