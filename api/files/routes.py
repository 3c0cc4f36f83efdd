"""Files over HTTP: stable links to artifacts, and the local store's signed URLs.

``/v1/files/...`` is a link of ours that needs no key: it carries its own signature,
stays the same for a UTC day, and answers 302 to a fresh grant. Index files (WebVTT,
HLS, JSON) name the files beside them, so they are served here: after a redirect to
a grant those names would lead nowhere. With ``s3.proxy_downloads`` all files are
served here. ``/blobs/...`` is where the grants of the local store lead; on S3 nothing
is served there.
"""

from __future__ import annotations

from http import HTTPStatus
from mimetypes import MimeTypes
from pathlib import PurePosixPath

from flask import Blueprint, Response, current_app, redirect, request, send_file
from werkzeug.exceptions import RequestedRangeNotSatisfiable

from api.files.stored import StoredFile
from api.http.body import body_chunks
from common.errors import BadRequest, BodyTooLarge, NotFound, SourceNotFound
from common.model import Artifact, JobRecord, MediaInfo, Source
from common.runtime import Runtime
from common.storage.links import edition
from common.storage.local import LocalStore, local_base
from common.storage.names import content_disposition
from common.storage.port import Grant
from common.storage.signing import check_seal, verify

blueprint = Blueprint("files", __name__)

# A stored file must not run scripts, be framed or have its type guessed.
_SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Referrer-Policy": "no-referrer",
}
# Pages of other sites may show a file: whoever has the link has the permission.
_SHARED = {
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Referrer-Policy": "no-referrer",
}
# Keyed by the probe's container name; the first type serves unknown suffixes.
_SOURCE_TYPES = {
    "mov": ("video/mp4", "video/quicktime", "video/3gpp", "image/avif", "image/heic"),
    "matroska": ("video/x-matroska", "video/webm"),
    "mpegts": ("video/mp2t",),
    "mpeg": ("video/mpeg",),
    "mpegvideo": ("video/mpeg",),
    "avi": ("video/x-msvideo",),
    "flv": ("video/x-flv",),
    "ogg": ("video/ogg",),
    "asf": ("video/x-ms-wmv", "video/x-ms-asf"),
    "mxf": ("application/mxf",),
    "gif": ("image/gif",),
    "apng": ("image/apng", "image/png"),
    "webp_pipe": ("image/webp",),
}
# Our own list, not the machine's, so that the answer is the same everywhere.
_TYPES = MimeTypes()
for _ending, _kind in {
    ".mkv": "video/x-matroska",
    ".heic": "image/heic",
    ".avif": "image/avif",
    ".3gp": "video/3gpp",
}.items():
    _TYPES.add_type(_kind, _ending)
_INDEX_CACHE = "private, max-age=300"
_INDEXES = frozenset(
    {
        "text/vtt",
        "application/vnd.apple.mpegurl",
        "application/json",
        "application/dash+xml",
    }
)


def _runtime() -> Runtime:
    runtime: Runtime = current_app.extensions["framemill"]
    return runtime


def _local() -> LocalStore:
    blobs = _runtime().blobs
    if not isinstance(blobs, LocalStore):
        raise NotFound(
            "this service keeps its files in S3 and serves none here",
            hint="use the url of the artifact in the job's document",
        )
    return blobs


def _job(job_id: str) -> JobRecord:
    job = _runtime().store.get(job_id)
    if job is None:
        raise NotFound("the job that this file belongs to was deleted or has expired")
    return job


@blueprint.get("/v1/files/<job_id>/<output>/<int:fence>/<key>/<file>")
def redirect_to_artifact(
    job_id: str, output: str, fence: int, key: str, file: str
) -> Response:
    """Answer 302 to a fresh grant for an artifact, or an index; 404 when it is gone."""
    path = f"/v1/files/{job_id}/{output}/{fence}"
    check_seal(_runtime().settings.api.secret, "file", path, key)
    job = _job(job_id)
    for record in job.outputs:
        if record.name != output or edition(record) != fence:
            continue
        for artifact in record.artifacts:
            if artifact.name == file:
                name = download_name(job.source, artifact)
                if artifact.content_type in _INDEXES:
                    return send_whole(artifact, name, _INDEX_CACHE)
                return send_redirect(artifact.key, artifact.content_type, name)
    raise NotFound(
        "this file was replaced or removed",
        hint="GET the job again: its document has the current url",
    )


@blueprint.get("/v1/files/<job_id>/source")
def redirect_to_source(job_id: str) -> Response:
    """Answer 302 to a fresh grant for the source; 404 when it is not kept."""
    verify(_runtime().settings.api.secret, "file", request.path, request.args)
    source = (job := _job(job_id)).source
    if source.key is None or not job.source_kept:
        raise NotFound("the source of this job is no longer kept")
    name = source.name or PurePosixPath(source.key).name
    return send_redirect(
        source.key,
        source_type(job.media, name),
        name,
        attachment=True,
        bucket=source.bucket,
    )


def source_type(media: MediaInfo | None, name: str) -> str:
    """Return the media type under which a source is served.

    The probe found the container, and the file's name chooses among its types. What no
    probe has seen, or is not listed, is ``application/octet-stream``: the type that a
    caller claims is never repeated.
    """
    families = {} if media is None else _SOURCE_TYPES
    container = "" if media is None else media.container.split(",")[0]
    possible = families.get(container, ("application/octet-stream",))
    guess = _TYPES.guess_type(name.lower())[0]
    return guess if guess in possible else possible[0]


def download_name(source: Source, artifact: Artifact) -> str:
    """Return a name for people: the source's name, then the artifact's."""
    stem = PurePosixPath(source.name or "").stem
    return f"{stem[:100]}-{artifact.name}" if stem else artifact.name


def send_whole(artifact: Artifact, filename: str, cache: str) -> Response:
    """Answer with a whole artifact, a range of it, or 304; NotFound when it is gone.

    ``cache`` is the Cache-Control of the answer. A 304 costs no read.
    """
    known = request.if_none_match.contains_weak(artifact.sha256)
    try:
        body = b"" if known else b"".join(_runtime().blobs.read(artifact.key))
    except SourceNotFound as error:
        raise NotFound("this file was removed") from error
    answer = Response(body, mimetype=artifact.content_type)
    answer.headers.update(_SECURITY_HEADERS | _SHARED)
    answer.headers["Content-Disposition"] = content_disposition(
        filename, attachment=False
    )
    answer.headers["Cache-Control"] = cache
    answer.set_etag(artifact.sha256)
    answer.make_conditional(request, accept_ranges=True, complete_length=len(body))
    return answer


def send_redirect(
    key: str,
    content_type: str,
    filename: str,
    *,
    attachment: bool = False,
    bucket: str | None = None,
) -> Response:
    """Answer 302 to a fresh grant for a blob, or with the blob, as settings say."""
    runtime = _runtime()
    if runtime.settings.s3.proxy_downloads and not isinstance(
        runtime.blobs, LocalStore
    ):
        disposition = content_disposition(filename, attachment=attachment)
        return _send_stored(
            StoredFile(runtime.blobs, key, bucket), content_type, disposition
        )
    seconds = runtime.settings.blobs.grant_seconds
    grant = runtime.blobs.grant_get(
        key,
        content_type=content_type,
        filename=filename,
        seconds=seconds,
        attachment=attachment,
        bucket=bucket,
        head=request.method == "HEAD",
    )
    answer = redirect(reachable(grant), HTTPStatus.FOUND)
    answer.headers["Cache-Control"] = f"private, max-age={min(300, seconds // 2)}"
    answer.headers.update(_SHARED)
    return Response(answer.get_data(), answer.status_code, answer.headers)


def _send_stored(file: StoredFile, content_type: str, disposition: str) -> Response:
    """Answer with a blob of a storage, a range of it, or 304."""
    try:
        answer = Response(file, mimetype=content_type, direct_passthrough=True)
        answer.content_length = file.size
        answer.set_etag(file.etag)
        answer.make_conditional(request, accept_ranges=True, complete_length=file.size)
    except SourceNotFound as error:
        raise NotFound("this file was removed") from error
    except RequestedRangeNotSatisfiable as error:
        answer = Response(status=416, headers=error.get_headers())
    answer.headers.update(_SECURITY_HEADERS | _SHARED)
    answer.headers["Content-Disposition"] = disposition
    answer.headers["Cache-Control"] = "private, max-age=300"
    return answer


def reachable(grant: Grant) -> str:
    """Return a grant's URL, under the host name by which the caller reached us.

    Without ``api.public_url`` the local store can only guess our address.
    """
    settings = _runtime().settings
    guess = local_base(settings) + "/blobs/"
    if settings.api.public_url is None and grant.url.startswith(guess):
        return request.url_root.rstrip("/") + "/blobs/" + grant.url[len(guess) :]
    return grant.url


@blueprint.get("/blobs/<path:key>")
def serve_blob(key: str) -> Response:
    """Serve a granted blob: ranges, validators, and a fixed type and name."""
    store = _local()
    secret = _runtime().settings.api.secret
    terms = verify(secret, "get", request.path, request.args)
    try:
        info = store.head(key)
        answer = send_file(
            store.path(key), mimetype=terms["t"], conditional=True, etag=info.etag
        )
    except (SourceNotFound, FileNotFoundError) as error:
        raise NotFound("this file was removed") from error
    except RequestedRangeNotSatisfiable as error:
        return Response(status=416, headers=error.get_headers())
    answer.headers.update(_SECURITY_HEADERS)
    answer.headers["Content-Disposition"] = terms["d"]
    answer.headers["Cache-Control"] = "private, max-age=3600"
    return answer


@blueprint.put("/blobs/<path:key>")
def take_blob(key: str) -> Response:
    """Store a granted upload, whole or one part; the signature fixes its size."""
    store = _local()
    settings = _runtime().settings
    if "r" in request.args:
        terms = verify(settings.api.secret, "part", request.path, request.args)
        size = _declared(int(terms["b"]), exact=True)
        data = b"".join(body_chunks(size))
        part = store.put_part(key, terms["r"], int(terms["n"]), data)
        return _stored(part.etag)
    terms = verify(settings.api.secret, "put", request.path, request.args)
    exact = "b" in terms
    size = _declared(int(terms.get("b", settings.limits.source_bytes)), exact=exact)
    if request.mimetype != terms["t"]:
        raise BadRequest(
            f"the upload was announced as {terms['t']}, not {request.mimetype!r}"[:200],
            hint=f"send Content-Type: {terms['t']}",
        )
    with store.writer(key, content_type=terms["t"]) as writer:
        for chunk in body_chunks(size):
            writer.write(chunk)
        return _stored(writer.commit().etag)


def _stored(etag: str) -> Response:
    answer = Response(status=HTTPStatus.OK)
    answer.set_etag(etag)
    return answer


def _declared(limit: int, *, exact: bool) -> int:
    size = request.content_length
    if size is None:
        raise BadRequest("Content-Length is required", hint="send the size in bytes")
    if size > limit:
        raise BodyTooLarge(f"this URL takes at most {limit} bytes; the body has {size}")
    if exact and size != limit:
        raise BadRequest(f"this URL takes exactly {limit} bytes; the body has {size}")
    return size
