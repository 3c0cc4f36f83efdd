"""Resumable uploads: tus 1.0.

Extensions: creation, creation-with-upload, termination, expiration, checksum.
``POST /v1/tus`` announces, ``PATCH`` appends, ``HEAD`` returns the offset. The newest
request for an upload is its writer; an older one gets 409. With the
metadata key ``job`` (JSON: ``{}`` or ``{"outputs": ..., "metadata": ...}``) a job of
the upload's id starts by itself once all bytes are there.
"""

from __future__ import annotations

import binascii
import hashlib
from base64 import b64decode
from datetime import UTC, datetime
from email.utils import format_datetime
from hmac import compare_digest
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, request
from pydantic import TypeAdapter
from werkzeug.exceptions import MethodNotAllowed

from api.http import json_body as bodies
from api.http.body import body_chunks
from api.http.multipart import DEFAULT_TYPE, media_type
from api.http.problems import AWAY_SECONDS
from api.http.services import Services
from api.http.validation import validate
from api.jobs.schemas import FormRequest
from api.jobs.submission import check_terms
from api.uploads.service import close_upload, find_upload, open_upload
from common.access.principal import Principal
from common.errors import (
    BadRequest,
    BodyTooLarge,
    BodyTooSlow,
    ChecksumMismatch,
    Conflict,
    TooManyRequests,
    UploadLocked,
)
from common.storage.dispositions import repaired
from common.storage.names import display_name
from common.uploads import Appender, NewUpload, Upload

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,termination,expiration,checksum"
OFFSET_TYPE = "application/offset+octet-stream"
_ALGORITHMS = ("sha1", "sha256", "sha512", "md5")
_LABEL_BYTES = 16 * 1024
_FORM: TypeAdapter[FormRequest] = TypeAdapter(FormRequest)


def blueprint(services: Services) -> Blueprint:
    """Return the routes."""
    routes = Blueprint("tus", __name__, url_prefix="/v1/tus")

    @routes.after_request
    def stamp(response: Response) -> Response:
        if request.endpoint == "tus.one" and _is_temporary(response.status_code):
            response.status_code = HTTPStatus.LOCKED
            response.headers.setdefault("Retry-After", str(AWAY_SECONDS))
        response.headers["Tus-Resumable"] = VERSION
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    @routes.before_request
    def check() -> Response | None:
        version = request.headers.get("Tus-Resumable")
        if request.method == "OPTIONS" or version == VERSION:
            return None
        return Response(status=412, headers={"Tus-Version": VERSION})

    @routes.route("", methods=["OPTIONS"], provide_automatic_options=False)
    def options() -> Response:
        return _options(services.runtime.settings.limits.source_bytes)

    @routes.route("/<upload_id>", methods=["OPTIONS"], provide_automatic_options=False)
    def options_of_one(upload_id: str) -> Response:  # noqa: ARG001 - all are alike
        return _options(services.runtime.settings.limits.source_bytes)

    @routes.post("")
    def create() -> Response:
        return _create(services)

    @routes.route("/<upload_id>", methods=["HEAD", "PATCH", "DELETE", "POST"])
    def one(upload_id: str) -> Response:
        return _one(services, upload_id)

    return routes


def _one(services: Services, upload_id: str) -> Response:
    if (method := _method()) not in _VERBS:
        raise MethodNotAllowed(valid_methods=_VERBS)
    try:
        return _VERBS[method](services, find_upload(services, upload_id))
    except TooManyRequests as error:
        # tus-js-client gives up a PATCH at any 4xx except 409 and 423.
        raise UploadLocked.of(error) from error


def _is_temporary(status: int) -> bool:
    """Return whether a client would mistake this answer to HEAD for the upload's end.

    tus-js-client 4.3.1 answers a HEAD that is neither 2xx nor 423 by a new upload from
    byte 0. So 423 (locked, try again) replaces 5xx, 409 and 429.
    """
    temporary = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.CONFLICT}
    return _method() == "HEAD" and (status in temporary or status >= 500)


def _method() -> str:
    """Return the method; tus lets a header override it, for proxies that block some."""
    return request.headers.get("X-HTTP-Method-Override", request.method).upper()


def _options(limit: int) -> Response:
    offered = {
        "Tus-Version": VERSION,
        "Tus-Extension": EXTENSIONS,
        "Tus-Max-Size": str(limit),
        "Tus-Checksum-Algorithm": ",".join(_ALGORITHMS),
    }
    return Response(status=204, headers=offered)


def _create(services: Services) -> Response:
    who = services.enter("submit")
    new = _announced(services, who)
    chunked = request.content_length is None and "wsgi.input_terminated" in (
        request.environ
    )
    with_bytes = request.mimetype == OFFSET_TYPE and bool(
        request.content_length or chunked
    )
    upload = open_upload(services, who, new)
    if with_bytes:
        upload = _append(services, upload, 0)
    elif upload.size == 0:
        upload = close_upload(services, upload)
    response = _offset_response(services, upload, 201)
    response.headers["Location"] = f"{services.root()}/v1/tus/{upload.id}"
    return response


def _announced(services: Services, who: Principal) -> NewUpload:
    if "Upload-Defer-Length" in request.headers:
        raise BadRequest(
            "Upload-Defer-Length is not supported", hint="send Upload-Length"
        )
    size = _number("Upload-Length")
    limit = services.runtime.settings.limits.source_bytes
    if size > limit:
        raise BodyTooLarge(
            f"the file is too large: {size} bytes",
            hint=f"at most {limit} bytes (FRAMEMILL_LIMITS_SOURCE_BYTES)",
        )
    label = request.headers.get("Upload-Metadata", "")
    metadata = _metadata(label)
    kind = metadata.get("filetype") or metadata.get("content_type") or b""
    job = metadata.get("job")
    return NewUpload(
        owner=who.owner,
        mode="tus",
        size=size,
        content_type=media_type(kind.decode("utf-8", "replace")) or DEFAULT_TYPE,
        name=display_name(repaired(metadata.get("filename", b""))),
        job=None if job is None else _terms(services, job, who),
        label=label,
    )


def _terms(services: Services, raw: bytes, who: Principal) -> dict[str, Any]:
    document = bodies.parse_json(raw or b"{}", "the metadata 'job'")
    requested = validate(_FORM, document, ("job",))
    return check_terms(services.runtime, who, requested, "/job").dump()


def _metadata(header: str) -> dict[str, bytes]:
    if len(header) > _LABEL_BYTES or not header.isascii():
        raise BadRequest(
            f"Upload-Metadata must be ASCII of at most {_LABEL_BYTES} bytes"
        )
    found: dict[str, bytes] = {}
    for item in filter(None, (item.strip() for item in header.split(","))):
        key, _, value = item.partition(" ")
        if key in found:
            raise BadRequest(f"the Upload-Metadata key {key[:80]!r} is repeated")
        try:
            found[key] = b64decode(value.strip(), validate=True)
        except binascii.Error as error:
            raise BadRequest(f"Upload-Metadata {key[:80]!r} is not base64") from error
    return found


def _number(name: str) -> int:
    text = request.headers.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise BadRequest(
            f"{name} must be a number of bytes", hint=f"for example {name}: 12345"
        )
    return int(text)


def _head(services: Services, upload: Upload) -> Response:
    if upload.mode == "tus" and upload.offset == upload.size:
        upload = close_upload(services, upload)
    response = _offset_response(services, upload, 200)
    response.headers["Upload-Length"] = str(upload.size)
    if upload.label:
        response.headers["Upload-Metadata"] = upload.label
    return response


def _patch(services: Services, upload: Upload) -> Response:
    if request.mimetype != OFFSET_TYPE:
        raise bodies.unsupported_type(request, OFFSET_TYPE)
    offset = _number("Upload-Offset")
    if upload.mode != "tus":
        raise Conflict(
            "this upload is not resumable", hint=f"use /v1/uploads/{upload.id}"
        )
    if upload.state == "complete" and offset == upload.size:
        return _offset_response(services, close_upload(services, upload), 204)
    upload = _append(services, upload, offset)
    return _offset_response(services, upload, 204)


def _append(services: Services, upload: Upload, offset: int) -> Upload:
    length = request.content_length
    if length is not None and offset + length > upload.size:
        raise BodyTooLarge(
            f"the body goes beyond the {upload.size} bytes that were announced"
        )
    digest, expected = _checksum()
    upload = services.uploads.take(upload, offset)
    appender = Appender(services.uploads, upload, hold=digest is not None)
    try:
        for chunk in body_chunks():
            if digest is not None:
                digest.update(chunk)
            appender.write(chunk)
    except (BadRequest, BodyTooSlow):
        # The client disconnected, or was silent too long. The bytes that came are
        # kept, unless a checksum covers the rest too.
        if digest is None:
            appender.close()
        appender.discard()
        raise
    if digest is not None and not compare_digest(digest.digest(), expected):
        appender.discard()
        raise ChecksumMismatch("the bytes do not match Upload-Checksum")
    upload = appender.close()
    return close_upload(services, upload) if upload.offset == upload.size else upload


def _checksum() -> tuple[Any, bytes]:
    header = request.headers.get("Upload-Checksum")
    if header is None:
        return None, b""
    name, _, value = header.partition(" ")
    if name not in _ALGORITHMS:
        raise BadRequest(
            f"the checksum algorithm {name[:40]!r} is not supported",
            hint="one of " + ", ".join(_ALGORITHMS),
        )
    try:
        return hashlib.new(name, usedforsecurity=False), b64decode(value, validate=True)
    except binascii.Error as error:
        raise BadRequest("Upload-Checksum is not base64") from error


def _delete(services: Services, upload: Upload) -> Response:
    services.uploads.drop(upload)
    return Response(status=204)


def _offset_response(services: Services, upload: Upload, status: int) -> Response:
    response = Response(status=status)
    response.headers["Upload-Offset"] = str(upload.offset)
    if upload.state == "open":
        expires = datetime.fromtimestamp(upload.expires_at / 1000, UTC)
        response.headers["Upload-Expires"] = format_datetime(expires, usegmt=True)
    elif upload.job is not None:
        link = f'<{services.root()}/v1/jobs/{upload.id}>; rel="related"'
        response.headers["Link"] = link
    return response


_VERBS = {"HEAD": _head, "PATCH": _patch, "DELETE": _delete}
