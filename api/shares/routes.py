"""Links that show one job to whoever has them, until they expire.

The token is the job's id, the expiry and our signature over both, for this purpose
alone: it opens no other address, and no other signed link opens a shared job.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from flask import Blueprint, Response, request
from pydantic import TypeAdapter

from api.http import headers
from api.http import json_body as bodies
from api.http.headers import check_id
from api.http.links import Links
from api.http.services import Services
from api.http.validation import validate
from api.jobs.archive import send_archive
from api.jobs.schemas import ErrorView, OutputView
from api.jobs.views import present
from api.shares.schemas import (
    SharedJobView,
    SharedLinksView,
    ShareRequest,
    ShareView,
)
from common.errors import NotFound
from common.model import JobRecord
from common.storage.links import read_share, share_token
from common.timestamps import rfc3339

_REQUEST: TypeAdapter[ShareRequest] = TypeAdapter(ShareRequest)


@dataclass(frozen=True)
class Shared:
    """What a link opens; ``until`` is in Unix seconds."""

    job: JobRecord
    until: int
    source: bool


def blueprint(services: Services) -> Blueprint:
    """Return the routes."""
    routes = Blueprint("shares", __name__)

    @routes.post("/v1/jobs/<job_id>/share")
    def share(job_id: str) -> Response:
        headers.expect_no_query(request)
        owner = services.enter("submit").owner
        job = services.runtime.jobs.get(check_id(job_id), owner)
        return _share(services, job.id)

    @routes.get("/s/<token>")
    def show(token: str) -> Response:
        headers.expect_no_query(request)
        view = _view(services, token, open_share(services, token))
        return bodies.json_response(view)

    @routes.get("/s/<token>/archive")
    def archive(token: str) -> Response:
        headers.expect_no_query(request)
        return send_archive(services, open_share(services, token).job)

    return routes


def open_share(services: Services, token: str) -> Shared:
    """Return what a link opens.

    Raises NotFound for what is no link, and for a job that is gone; Forbidden for a
    link that is not ours or has expired.
    """
    job_id, until, source = read_share(services.runtime.settings, token)
    job = services.runtime.store.get(job_id)
    if job is None:
        raise NotFound(
            "the job that was shared by this link was deleted or has expired"
        )
    return Shared(job, until, source)


def _share(services: Services, job_id: str) -> Response:
    settings = services.runtime.settings
    limit = settings.limits.json_bytes
    document = bodies.read_json(request, limit) if request.mimetype else {}
    requested = validate(_REQUEST, document)
    until = int(time.time() + requested.hours * 3600)
    token = share_token(settings, job_id, until, source=requested.source)
    view = ShareView(
        url=f"{services.root()}/s/{token}",
        expires_at=_shown(until),
        source=requested.source,
    )
    return bodies.json_response(view, 201)


def _view(services: Services, token: str, shared: Shared) -> SharedJobView:
    """Return the job without what concerns its owner alone."""
    root = services.root()
    links = Links(root, services.runtime.settings, until=shared.until)
    job = present(shared.job, links)
    own = f"{root}/s/{token}"
    return SharedJobView(
        id=job.id,
        name=job.source.name,
        status=job.status,
        progress=job.progress,
        created_at=job.created_at,
        finished_at=job.finished_at,
        shared_until=_shown(shared.until),
        media=job.media,
        outputs=[_output(one) for one in job.outputs],
        error=_error(job.error),
        warnings=job.warnings,
        links=SharedLinksView(
            self=own,
            archive=job.links.archive and f"{own}/archive",
            media=job.links.media if shared.source else None,
            thumbnail=job.links.thumbnail,
            gif=job.links.gif,
        ),
    )


def _output(view: OutputView) -> OutputView:
    artifacts = [one.model_copy(update={"copy_at": None}) for one in view.artifacts]
    attempts = [
        one.model_copy(update={"error": _error(one.error)}) for one in view.attempts
    ]
    changed = {
        "artifacts": artifacts,
        "attempts": attempts,
        "error": _error(view.error),
    }
    return view.model_copy(update=changed)


def _error(view: ErrorView | None) -> ErrorView | None:
    # Its detail may name buckets, keys and addresses of the owner.
    if view is None:
        return None
    changed = {"detail": view.title, "pointer": None, "hint": None}
    return view.model_copy(update=changed)


def _shown(seconds: int) -> str:
    return rfc3339(seconds * 1000)
