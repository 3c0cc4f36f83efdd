"""The OpenAPI operations on direct and resumable uploads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from api.http.openapi import JOB_ID, JSON, TEXT, answer, parameter, problems, raw, ref
from api.http.openapi import parameters as references
from api.uploads.schemas import MAX_NUMBER

_OFFSET = "application/offset+octet-stream"
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


def _header(
    name: str, text: str, *, required: bool = True, **schema: Any
) -> dict[str, Any]:
    return parameter(name, "header", TEXT | schema, text, required=required)


def parameters() -> dict[str, Any]:
    """Return the parameters that only these operations have."""
    return {
        "UploadId": parameter(
            "upload_id",
            "path",
            JOB_ID,
            "The upload's id, and that of the job attached to it.",
            required=True,
        ),
        "FromPart": parameter(
            "from",
            "query",
            {"type": "integer", "minimum": 1, "maximum": MAX_NUMBER},
            "The number of the first part to list.",
        ),
        "TusResumable": _header("Tus-Resumable", "The version.", enum=["1.0.0"]),
        "UploadOffset": _header(
            "Upload-Offset",
            "The position of the first byte of the body.",
            pattern=_NUMBER,
            examples=["0"],
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
    """Return the paths; ``always`` are the problems that every operation may have."""
    common = set(always)
    one = references("UploadId")
    return {
        "/v1/uploads": {"post": _create(common)},
        "/v1/uploads/{upload_id}": {
            "parameters": one,
            "get": _shown("getUpload", "Show an upload", "UploadView", common),
            "delete": _gone("abortUpload", "Delete an upload and its bytes", common),
        },
        "/v1/uploads/{upload_id}/parts": {
            "parameters": references("UploadId", "FromPart"),
            "get": _shown("listParts", "Get fresh part URLs", "PartsView", common, 409),
        },
        "/v1/uploads/{upload_id}/complete": {
            "parameters": one,
            "post": _complete(common),
        },
        "/v1/tus": {"post": _announce(common)},
        "/v1/tus/{upload_id}": {
            "parameters": references("UploadId", "TusResumable"),
            "head": _offset(common),
            "patch": _append(common),
            "delete": _gone("endTus", "Delete a resumable upload", common),
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
    content = {"schema": ref("schemas", schema), "example": _EXAMPLES[schema]}
    return {"required": required, "content": {JSON: content}}


def _create(common: set[int]) -> dict[str, Any]:
    answers = {
        "201": answer("The upload, with the URLs that take its bytes.", "UploadView")
    }
    made = _operation(
        "createUpload",
        "Announce a direct upload",
        answers | problems(common | {413, 415}),
    )
    return made | {"requestBody": _body("UploadRequest", required=True)}


def _complete(common: set[int]) -> dict[str, Any]:
    answers = {"200": answer("The upload is complete.", "UploadView")}
    made = _operation(
        "completeUpload",
        "Verify an upload and start its job",
        answers | problems(common | {404, 409, 413, 415}),
    )
    return made | {"requestBody": _body("CompleteRequest", required=False)}


def _shown(
    name: str, summary: str, schema: str, common: set[int], *extra: int
) -> dict[str, Any]:
    answers = {"200": answer("The current state.", schema)}
    return _operation(name, summary, answers | problems(common | {404, *extra}))


def _gone(name: str, summary: str, common: set[int]) -> dict[str, Any]:
    answers = {"204": {"description": "The upload was deleted."}, "412": _OTHER_VERSION}
    return _operation(name, summary, answers | problems(common | {404}))


_OTHER_VERSION = {"description": "tus: only version 1.0.0 is supported."}
_OTHER_BYTES = {"description": "The bytes do not match Upload-Checksum."}


def _announce(common: set[int]) -> dict[str, Any]:
    answers = {
        "201": {"description": "The upload is created; its address is in Location."},
        "412": _OTHER_VERSION,
        "460": _OTHER_BYTES,
    }
    made = _operation(
        "createTus",
        "Announce a resumable upload (tus 1.0)",
        answers | problems(common | {409, 413}),
    )
    names = ("TusResumable", "UploadLength", "UploadMetadata", "UploadChecksum")
    schema = {_OFFSET: {"schema": raw(_OFFSET)}}
    return made | {
        "parameters": references(*names),
        "requestBody": {"required": False, "content": schema},
    }


def _offset(common: set[int]) -> dict[str, Any]:
    answers: dict[str, Any] = {
        "200": {"description": "Upload-Offset is where the next bytes belong."},
        "412": _OTHER_VERSION,
    }
    # Temporary failures are 423: tus clients mistake the others for the upload's end.
    kept = common - {429, 500, 503} | {404, 423}
    return _operation("headTus", "Ask for the offset", answers | problems(kept))


def _append(common: set[int]) -> dict[str, Any]:
    answers = {
        "204": {"description": "Upload-Offset is where the next bytes belong."},
        "412": _OTHER_VERSION,
        "460": _OTHER_BYTES,
    }
    made = _operation(
        "patchTus",
        "Append bytes",
        answers | problems(common - {429} | {404, 409, 413, 415, 423}),
    )
    names = ("UploadOffset", "UploadChecksum")
    return made | {
        "parameters": references(*names),
        "requestBody": {
            "required": True,
            "content": {_OFFSET: {"schema": raw(_OFFSET)}},
        },
    }
