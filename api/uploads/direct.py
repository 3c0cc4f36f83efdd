"""Direct uploads: the caller's bytes go to storage by grants, not through the API.

``POST /v1/uploads`` answers with one PUT, or with the first hundred part URLs;
``complete`` verifies size and ETags. With ``job`` in the request a job of the
upload's id starts by itself on completion. Grants of the local store lead to
``PUT /blobs/...`` here.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request
from pydantic import TypeAdapter

from api.files.routes import reachable
from api.http import headers
from api.http import json_body as bodies
from api.http.multipart import DEFAULT_TYPE, media_type
from api.http.services import Services
from api.http.validation import validate
from api.jobs.submission import check_terms
from api.uploads.schemas import (
    MAX_NUMBER,
    CompleteRequest,
    GrantView,
    PartGrantView,
    PartsView,
    UploadLinks,
    UploadRequest,
    UploadView,
)
from api.uploads.service import close_upload, find_upload, open_upload
from common.errors import Conflict, Invalid
from common.storage.names import display_name
from common.storage.port import Grant
from common.timestamps import rfc3339
from common.uploads import MIN_SPLIT_BYTES, NewUpload, Upload

PAGE = 100


_NEW: TypeAdapter[UploadRequest] = TypeAdapter(UploadRequest)
_COMPLETE: TypeAdapter[CompleteRequest] = TypeAdapter(CompleteRequest)


def blueprint(services: Services) -> Blueprint:
    """Return the routes."""
    routes = Blueprint("uploads", __name__, url_prefix="/v1/uploads")

    @routes.post("")
    def create() -> Response:
        headers.expect_no_query(request)
        return _create(services)

    @routes.get("/<upload_id>")
    def show(upload_id: str) -> Response:
        headers.expect_no_query(request)
        return _answer(services, find_upload(services, upload_id), 200)

    @routes.get("/<upload_id>/parts")
    def parts(upload_id: str) -> Response:
        with headers.Query(request) as query:
            first = query.whole_number("from", 1, MAX_NUMBER)
        upload = _direct(find_upload(services, upload_id))
        return bodies.json_response(_parts(services, upload, first))

    @routes.post("/<upload_id>/complete")
    def complete(upload_id: str) -> Response:
        headers.expect_no_query(request)
        return _complete(services, _direct(find_upload(services, upload_id)))

    @routes.delete("/<upload_id>")
    def abort(upload_id: str) -> Response:
        headers.expect_no_query(request)
        services.uploads.drop(find_upload(services, upload_id))
        return Response(status=204)

    return routes


def _create(services: Services) -> Response:
    who = services.enter("submit")
    limits = services.runtime.settings.limits
    requested = validate(_NEW, bodies.read_json(request, limits.json_bytes))
    job = None
    if requested.job is not None:
        job = check_terms(services.runtime, who, requested.job, "/job").dump()
    mode = requested.mode or ("parts" if requested.size >= MIN_SPLIT_BYTES else "put")
    upload = open_upload(
        services,
        who,
        NewUpload(
            owner=who.owner,
            mode=mode,
            size=requested.size,
            content_type=media_type(requested.content_type or DEFAULT_TYPE),
            name=display_name(requested.filename),
            job=job,
        ),
    )
    response = _answer(services, upload, 201)
    response.headers["Location"] = f"{services.root()}/v1/uploads/{upload.id}"
    return response


def _direct(upload: Upload) -> Upload:
    if upload.mode == "tus":
        raise Conflict("this upload is resumable", hint=f"use /v1/tus/{upload.id}")
    return upload


def _complete(services: Services, upload: Upload) -> Response:
    limits = services.runtime.settings.limits
    document: Any = {}
    if request.content_length or request.mimetype == bodies.JSON_TYPE:
        most = max(limits.json_bytes, MAX_NUMBER * 256)
        document = bodies.read_json(request, most)
    requested = validate(_COMPLETE, document)
    etags = {part.number: part.etag for part in requested.parts or ()}
    if requested.etag is not None:
        if upload.mode != "put":
            raise Invalid.one(
                "/etag", "each part has its own ETag", "send them in parts"
            )
        etags[1] = requested.etag
    return _answer(services, close_upload(services, upload, etags), 200)


def _answer(services: Services, upload: Upload, status: int) -> Response:
    root = services.root()
    here = f"{root}/v1/uploads/{upload.id}"
    is_open = upload.state == "open"
    view = UploadView(
        id=upload.id,
        status=upload.state,
        mode=upload.mode,
        filename=upload.name,
        content_type=upload.content_type,
        size=upload.size,
        etag=upload.etag or None,
        expires_at=rfc3339(upload.expires_at),
        put=_put(services, upload) if is_open and upload.mode == "put" else None,
        parts=_parts(services, upload, 1)
        if is_open and upload.mode == "parts"
        else None,
        links=UploadLinks(
            self=here,
            complete=f"{here}/complete" if is_open else None,
            job=f"{root}/v1/jobs/{upload.id}" if upload.job and not is_open else None,
        ),
    )
    return bodies.json_response(view, status)


def _put(services: Services, upload: Upload) -> GrantView:
    runtime = services.runtime
    grant = runtime.blobs.grant_put(
        upload.key,
        content_type=upload.content_type,
        seconds=runtime.settings.blobs.grant_seconds,
        size=upload.size,
    )
    return GrantView(**_permission(grant))


def _parts(services: Services, upload: Upload, first: int) -> PartsView:
    if upload.ref is None or upload.state != "open":
        raise Conflict(
            "this upload has no parts", hint="PUT the whole file to its put.url"
        )
    runtime = services.runtime
    after = min(first + PAGE, upload.count + 1)
    items = []
    for number in range(first, after):
        size = upload.part_size(number)
        grant = runtime.blobs.grant_part(
            upload.key,
            upload.ref,
            number,
            size=size,
            seconds=runtime.settings.blobs.grant_seconds,
        )
        items.append(PartGrantView(number=number, size=size, **_permission(grant)))
    more = f"{services.root()}/v1/uploads/{upload.id}/parts?from={after}"
    return PartsView(
        part_bytes=upload.part_bytes,
        count=upload.count,
        items=items,
        next=more if after <= upload.count else None,
    )


def _permission(grant: Grant) -> dict[str, Any]:
    return {
        "method": grant.method,
        "url": reachable(grant),
        "headers": dict(grant.headers),
        "expires_at": rfc3339(grant.expires_at * 1000),
    }
