"""The part of the OpenAPI document on direct and resumable uploads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_JSON = "application/json"
_OFFSET = "application/offset+octet-stream"
_TEXT = {"type": "string"}
_NUMBER = "^[0-9]{1,15}$"
_EXAMPLES = {
    "UploadRequest": {
        "size": 671_746,
        "filename": "clip.mp4",
        "content_type": "video/mp4",
        "job": {"outputs": [{"kind": "thumbnail", "policy": "auto"}]},
    },
    "CompleteRequest": {
        "parts": [{"number": 1, "etag": "d41d8cd98f00b204e9800998ecf8427e"}]
    },
}


def _ref(kind: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/components/{kind}/{name}"}


def _problems(statuses: Iterable[int]) -> dict[str, Any]:
    return {str(one): _ref("responses", f"Problem{one}") for one in sorted(statuses)}


def _answer(text: str, schema: str) -> dict[str, Any]:
    return {
        "description": text,
        "headers": {"X-Request-Id": _ref("headers", "X-Request-Id")},
        "content": {_JSON: {"schema": _ref("schemas", schema)}},
    }


def _header(
    name: str, text: str, *, required: bool = True, **schema: Any
) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": required,
        "schema": _TEXT | schema,
        "description": text,
    }


def parameters() -> dict[str, Any]:
    """Give the parameters that only these operations have."""
    return {
        "UploadId": {
            "name": "upload_id",
            "in": "path",
            "required": True,
            "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
            "description": "The upload's id, and that of the job attached to it.",
        },
        "FromPart": {
            "name": "from",
            "in": "query",
            "required": False,
            "schema": {"type": "integer", "minimum": 1, "maximum": 10_000},
            "description": "The first part that is told.",
        },
        "TusResumable": _header("Tus-Resumable", "1.0.0", const="1.0.0"),
        "UploadOffset": _header(
            "Upload-Offset", "Where the bytes go.", pattern=_NUMBER, examples=["0"]
        ),
        "UploadLength": _header(
            "Upload-Length",
            "The whole size in bytes.",
            pattern=_NUMBER,
            examples=["671746"],
        ),
        "UploadMetadata": _header(
            "Upload-Metadata",
            "filename, filetype, and job (JSON as of a multipart request), in base64.",
            required=False,
            examples=["filename Y2xpcC5tcDQ=,filetype dmlkZW8vbXA0,job e30="],
        ),
        "UploadChecksum": _header(
            "Upload-Checksum", "Algorithm and base64 digest.", required=False
        ),
    }


def paths(always: Iterable[int]) -> dict[str, Any]:
    """Give the paths; ``always`` are the problems that every operation may have."""
    common = set(always)
    one = [_ref("parameters", "UploadId")]
    return {
        "/v1/uploads": {"post": _create(common)},
        "/v1/uploads/{upload_id}": {
            "parameters": one,
            "get": _told("getUpload", "Show an upload", "UploadView", common),
            "delete": _gone("abortUpload", "Forget an upload and its bytes", common),
        },
        "/v1/uploads/{upload_id}/parts": {
            "parameters": [*one, _ref("parameters", "FromPart")],
            "get": _told("listParts", "Get fresh part URLs", "PartsView", common, 409),
        },
        "/v1/uploads/{upload_id}/complete": {
            "parameters": one,
            "post": _complete(common),
        },
        "/v1/tus": {"post": _announce(common)},
        "/v1/tus/{upload_id}": {
            "parameters": [*one, _ref("parameters", "TusResumable")],
            "head": _offset(common),
            "patch": _append(common),
            "delete": _gone("endTus", "Forget a resumable upload", common),
        },
    }


def _operation(name: str, summary: str, answers: dict[str, Any]) -> dict[str, Any]:
    return {
        "operationId": name,
        "tags": ["uploads"],
        "summary": summary,
        "responses": answers,
    }


def _body(schema: str, *, required: bool) -> dict[str, Any]:
    content = {"schema": _ref("schemas", schema), "example": _EXAMPLES[schema]}
    return {"required": required, "content": {_JSON: content}}


def _create(common: set[int]) -> dict[str, Any]:
    answers = {"201": _answer("Where the bytes go.", "UploadView")}
    made = _operation(
        "createUpload",
        "Announce a direct upload",
        answers | _problems(common | {413, 415}),
    )
    return made | {"requestBody": _body("UploadRequest", required=True)}


def _complete(common: set[int]) -> dict[str, Any]:
    answers = {"200": _answer("All bytes are there.", "UploadView")}
    made = _operation(
        "completeUpload",
        "Verify an upload and start its job",
        answers | _problems(common | {404, 409, 413, 415}),
    )
    return made | {"requestBody": _body("CompleteRequest", required=False)}


def _told(
    name: str, summary: str, schema: str, common: set[int], *extra: int
) -> dict[str, Any]:
    answers = {"200": _answer("As it is.", schema)}
    return _operation(name, summary, answers | _problems(common | {404, *extra}))


def _gone(name: str, summary: str, common: set[int]) -> dict[str, Any]:
    answers = {"204": {"description": "It is gone."}, "412": _OTHER_VERSION}
    return _operation(name, summary, answers | _problems(common | {404}))


_OTHER_VERSION = {"description": "tus: only version 1.0.0 is spoken here."}
_OTHER_BYTES = {"description": "The bytes are not those of Upload-Checksum."}


def _announce(common: set[int]) -> dict[str, Any]:
    answers = {
        "201": {"description": "Location tells where the bytes go."},
        "412": _OTHER_VERSION,
        "460": _OTHER_BYTES,
    }
    made = _operation(
        "createTus",
        "Announce a resumable upload (tus 1.0)",
        answers | _problems(common | {409, 413}),
    )
    names = ("TusResumable", "UploadLength", "UploadMetadata", "UploadChecksum")
    schema = {_OFFSET: {"schema": _TEXT}}
    return made | {
        "parameters": [_ref("parameters", name) for name in names],
        "requestBody": {"required": False, "content": schema},
    }


def _offset(common: set[int]) -> dict[str, Any]:
    answers: dict[str, Any] = {
        "200": {"description": "Upload-Offset tells where to go on."},
        "412": _OTHER_VERSION,
    }
    # What passes is 423 here: tus clients take all else for the upload's end.
    kept = common - {429, 500, 503} | {404, 423}
    return _operation("headTus", "Ask for the offset", answers | _problems(kept))


def _append(common: set[int]) -> dict[str, Any]:
    answers = {
        "204": {"description": "Upload-Offset tells where to go on."},
        "412": _OTHER_VERSION,
        "460": _OTHER_BYTES,
    }
    made = _operation(
        "patchTus",
        "Append bytes",
        answers | _problems(common - {429} | {404, 409, 413, 415, 423}),
    )
    names = ("UploadOffset", "UploadChecksum")
    return made | {
        "parameters": [_ref("parameters", name) for name in names],
        "requestBody": {"required": True, "content": {_OFFSET: {"schema": _TEXT}}},
    }
