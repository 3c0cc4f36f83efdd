"""The bytes of a request's body: one that breaks off, or is too large, is refused."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Protocol

from flask import Request, request
from werkzeug.exceptions import HTTPException

from api.http.context import current
from common.errors import BadRequest, BodyTooLarge

_READ_BYTES = 256 * 1024
_BROKEN_OFF = "the body ended before it was complete"


class Readable(Protocol):
    """A request body."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, none at the end."""


def read_chunk(body: Readable, size: int) -> bytes:
    """Return up to ``size`` bytes, none at the end.

    Raises BadRequest when the client is gone, and gunicorn's ParseException for broken
    chunks, which ``problems`` answers.
    """
    try:
        return body.read(size)
    # gunicorn raises OSError when the socket fails, werkzeug ClientDisconnected.
    except (OSError, HTTPException) as error:
        raise BadRequest(_BROKEN_OFF) from error


def body_chunks(size: int | None = None) -> Iterator[bytes]:
    """Yield the request's body: all of it, or exactly ``size`` bytes.

    Raises BadRequest when it breaks off, or ends before ``size``.
    """
    left = sys.maxsize if size is None else size
    while left and (chunk := read_chunk(request.stream, min(left, _READ_BYTES))):
        left -= len(chunk)
        yield chunk
    if size is not None and left:
        raise BadRequest(_BROKEN_OFF)


def read_body(request: Request, limit: int) -> bytes:
    """Read the whole body; it is read once a request and kept for the next reader.

    Raises BodyTooLarge over ``limit`` bytes, BadRequest when it ends early.
    """
    context = current()
    if context.body is None:
        context.body = _read_stream(request, limit)
    if len(context.body) > limit:
        raise _too_large(limit)
    return context.body


def _read_stream(request: Request, limit: int) -> bytes:
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    raw = read_chunk(request.stream, limit + 1)
    if len(raw) <= limit and len(raw) < (request.content_length or 0):
        raise BadRequest(_BROKEN_OFF)
    return raw


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"the body is over {limit} bytes",
        hint=f"at most {limit} bytes (FRAMEMILL_LIMITS_JSON_BYTES)",
    )
