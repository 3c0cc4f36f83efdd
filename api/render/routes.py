"""``/v1/render``: images on request.

The path of a signed URL names a source and a picture. The first request submits an
ordinary job, under an Idempotency-Key that follows from both: whatever number of API
processes are asked at once, the store accepts one. Requests wait for its end for a
while. Later ones find the job by that key, and are answered from the storage.
"""

from __future__ import annotations

import time
from contextlib import suppress

from flask import Blueprint, Response, request

from api.files.routes import send_redirect, send_whole
from api.http import headers
from api.http import json_body as bodies
from api.http.long_poll import POLL_SECONDS
from api.http.services import Services
from api.jobs.schemas import FormRequest
from api.jobs.sources import resolve_source
from api.jobs.submission import check_terms
from api.render.requested import Requested, read_path
from api.render.schemas import RenderingView, SigningKeyView
from api.render.signature import OPEN, check_signature, signing_secret
from common.access.principal import Principal
from common.access.quota import DailyQuota
from common.errors import Conflict, Forbidden, NotFound, RenderFailed
from common.model import JOB_ENDED, Artifact, JobRecord

# A larger file is fetched from the storage itself, after a redirect.
WHOLE_BYTES = 4 * 1024 * 1024
# A picture that could not be made is tried again by a request that comes later.
AGAIN_SECONDS = 600
# A job may wait for a part of the service for a day before it runs.
_EXTRA_HOURS = 7 * 24


def blueprint(services: Services) -> Blueprint:
    """Return the routes."""
    routes = Blueprint("render", __name__, url_prefix="/v1/render")
    settings = services.runtime.settings.api

    @routes.get("/signing-key")
    def signing_key() -> Response:
        headers.expect_no_query(request)
        key = services.enter("submit").key_id or OPEN
        view = SigningKeyView(key=key, secret=signing_secret(settings.secret, key))
        return bodies.json_response(view)

    @routes.get("/<source>/<file>")
    def show(source: str, file: str) -> Response:
        key, expires = request.args.get("key", ""), request.args.get("expires")
        signature = request.args.get("sig", "")
        until = check_signature(settings, key, request.path, expires, signature)
        with headers.Query(request) as query:
            for name in ("key", "expires", "sig"):
                query.text(name)
        who = services.authenticator.holder(None if key == OPEN else key)
        return _answer(services, who, read_path(source, file), until)

    @routes.delete("/<source>/<file>")
    def purge(source: str, file: str) -> Response:
        headers.expect_no_query(request)
        owner = services.enter("submit").owner
        jobs = services.runtime.jobs
        found = jobs.recall(owner, read_path(source, file).known(0))
        if found is None:
            raise NotFound("this image was not rendered, or was purged already")
        jobs.delete(found.job.id, owner)
        return Response(status=204)

    return routes


def _answer(
    services: Services, who: Principal, requested: Requested, until: int | None
) -> Response:
    job = _await_end(services, _find_or_submit(services, who, requested))
    if job.status not in JOB_ENDED:
        return _not_yet(job)
    artifact = _artifact(job)
    if artifact.bytes > WHOLE_BYTES:
        return send_redirect(artifact.key, artifact.content_type, artifact.name)
    seconds = services.runtime.settings.api.render_cache_seconds
    if until is not None:
        seconds = min(seconds, max(0, until - int(time.time())))
    return send_whole(artifact, artifact.name, f"public, max-age={seconds}")


def _find_or_submit(
    services: Services, who: Principal, requested: Requested
) -> JobRecord:
    runtime = services.runtime
    known = requested.known(runtime.settings.retention.job_hours + _EXTRA_HOURS)
    earlier = runtime.jobs.recall(who.owner, known)
    if earlier is not None:
        return _again(services, who, earlier.job)
    if not who.may("submit"):
        raise Forbidden("the API key of this URL may submit no jobs")
    form = FormRequest(outputs=[requested.spec], dedupe=True)
    terms = check_terms(runtime, who, form)
    source = resolve_source(services, requested.source, who)
    most = who.allowance.jobs_per_day
    quota = None
    if most is not None and who.key_id is not None:
        quota = DailyQuota(who.key_id, most)
    return runtime.jobs.submit(terms.over(source, idempotency=known, quota=quota)).job


def _again(services: Services, who: Principal, job: JobRecord) -> JobRecord:
    """Return the job; run it again where it failed some time ago."""
    failed = job.status in {"failed", "cancelled"}
    if not failed or job.updated_at / 1000 > time.time() - AGAIN_SECONDS:
        return job
    jobs = services.runtime.jobs
    # Another request may have done it just now.
    with suppress(Conflict):
        jobs.retry(job.id, who.owner, who.allowance.jobs_at_once)
    return jobs.get(job.id, who.owner)


def _await_end(services: Services, job: JobRecord) -> JobRecord:
    """Return the job as it is at its end, or after the wait that the settings allow."""
    if job.status in JOB_ENDED:
        return job
    with services.long_polls.place() as got:
        if not got:
            return job
        seconds = services.runtime.settings.api.render_wait_seconds
        ended = services.runtime.store.wait(job.id, seconds)
    if ended is None:
        raise NotFound("this image was purged while it was rendered")
    return ended


def _not_yet(job: JobRecord) -> Response:
    response = bodies.json_response(RenderingView(status=job.status), 202)
    response.headers["Retry-After"] = str(POLL_SECONDS)
    return response


def _artifact(job: JobRecord) -> Artifact:
    for output in job.outputs:
        if output.artifacts:
            return output.artifacts[0]
        if output.error is not None:
            raise _failed(output.error.title)
    raise _failed(job.error.title if job.error else job.status)


def _failed(why: str) -> RenderFailed:
    # The detail may name buckets, keys and addresses of the owner.
    return RenderFailed(
        f"this image could not be made: {why}",
        hint="the owner's list of jobs has the details; it is tried again after "
        f"{AGAIN_SECONDS // 60} minutes",
    )
