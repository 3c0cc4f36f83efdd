"""The OpenAPI operations on images on request."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from api.http.openapi import TEXT, answer, parameter, problems, raw

_KINDS = ("image/jpeg", "image/png", "image/webp", "image/avif", "image/gif")
_MOVING = ("video/mp4", "video/webm")


def paths(always: Iterable[int]) -> dict[str, Any]:
    """Return the paths; ``always`` are the problems that every operation may have."""
    common = set(always)
    return {
        "/v1/render/signing-key": {
            "get": {
                "operationId": "getSigningKey",
                "tags": ["files"],
                "summary": "Read the secret that signs URLs of images on request",
                "responses": {"200": answer("The secret.", "SigningKeyView")}
                | problems(common),
            }
        },
        "/v1/render/{source}/{file}": {
            "parameters": _place(),
            "get": _show(common),
            "delete": {
                "operationId": "purgeImage",
                "tags": ["files"],
                "summary": "Delete a rendered image; the next request renders it anew",
                "responses": {"204": {"description": "It is gone."}}
                | problems(common | {404}),
            },
        },
    }


def _place() -> list[dict[str, Any]]:
    source = "A job's id, or s3://BUCKET/KEY or a URL, in base64url without padding."
    file = (
        "Fields of an output as NAME=VALUE, separated by commas, and the format: "
        "time=12.5,width=640.webp; default.jpg sets none."
    )
    return [
        parameter("source", "path", TEXT, source, required=True),
        parameter("file", "path", TEXT, file, required=True),
    ]


def _show(common: set[int]) -> dict[str, Any]:
    signed = {"key": "The id of the API key.", "sig": "The signature of the path."}
    query = [
        parameter(name, "query", TEXT, text, required=True)
        for name, text in signed.items()
    ]
    ends = {"type": "integer", "minimum": 0}
    query.append(parameter("expires", "query", ends, "When it ends, Unix seconds."))
    image = {
        "description": "The image.",
        "content": {kind: {"schema": raw(kind)} for kind in (*_KINDS, *_MOVING)},
    }
    return {
        "operationId": "renderImage",
        "tags": ["files"],
        "summary": "Fetch an image, which is made when it is first asked for",
        "security": [],
        "parameters": query,
        "responses": {
            "200": image,
            "206": image,
            "202": answer("It is not there yet.", "RenderingView", "Retry-After"),
            "302": {"description": "The image is large; it is fetched from there."},
            "304": {"description": "It has not changed."},
            "416": {"description": "The file has no such range."},
        }
        | problems((common | {404}) - {401}),
    }
