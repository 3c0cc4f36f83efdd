"""Every failure of a request becomes application/problem+json (RFC 9457).

Besides the standard members there are ``code`` (stable, see ``/docs/errors``),
``pointer`` and ``hint`` of the first fault, ``faults`` with all of them, and the
``request_id`` of the log. A pointer is a JSON pointer into the body; query parameters,
headers and multipart parts count as members of it.
"""

from __future__ import annotations

import json
from typing import Any

import structlog
from flask import Flask, Response, request
from gunicorn.http.errors import ParseException
from werkzeug import exceptions
from werkzeug.exceptions import HTTPException

from api.http.context import current
from common.errors import (
    BadRequest,
    BodyTooLarge,
    Fault,
    Forbidden,
    FramemillError,
    InternalError,
    Invalid,
    MethodNotAllowed,
    NotFound,
    RequestError,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
)

PROBLEM = "application/problem+json"
AWAY_SECONDS = 5

log = structlog.get_logger(__name__)

_BY_STATUS: dict[int, tuple[type[FramemillError], str, str | None]] = {
    400: (BadRequest, "the request could not be parsed", None),
    401: (Unauthorized, "the request carries no valid API key", None),
    403: (Forbidden, "this is not allowed", None),
    404: (NotFound, "there is nothing at this address", "see /docs for all addresses"),
    413: (BodyTooLarge, "the body is over the size limit", None),
    415: (UnsupportedMediaType, "the type of the body is not supported", None),
}


def describe(error: FramemillError, request_id: str | None) -> dict[str, Any]:
    """Return the problem document of an error."""
    faults: list[Fault] = error.faults if isinstance(error, Invalid) else []
    public = error.as_dict()
    return {
        "type": f"/docs/errors#{public['code']}",
        "code": public["code"],
        "title": public["title"],
        "status": error.status,
        "detail": public["detail"],
        "pointer": public["pointer"],
        "hint": public["hint"],
        "faults": faults,
        "request_id": request_id,
    }


def answer(error: FramemillError) -> Response:
    """Return the HTTP answer to an error."""
    document = describe(error, current().request_id)
    response = Response(
        json.dumps(document, separators=(",", ":")), error.status, mimetype=PROBLEM
    )
    response.headers["Cache-Control"] = "no-store"
    if isinstance(error, TooManyRequests):
        response.headers["Retry-After"] = str(max(1, error.retry_after))
        current().exceeded = error.quota
    elif isinstance(error, Unavailable):
        response.headers["Retry-After"] = str(AWAY_SECONDS)
    elif isinstance(error, Unauthorized):
        response.headers["WWW-Authenticate"] = 'Bearer realm="framemill"'
    return response


def register(app: Flask) -> None:
    """Answer every exception of a view with a problem document."""
    app.register_error_handler(FramemillError, _answer_ours)
    app.register_error_handler(HTTPException, _answer_http)
    # gunicorn parses chunks while the view reads the body, so it raises there.
    app.register_error_handler(ParseException, _answer_broken)
    app.register_error_handler(Exception, _answer_defect)


def _answer_ours(error: FramemillError) -> Response:
    if error.status >= 500:
        log.warning("http.unavailable", code=error.code, detail=error.detail)
    return answer(error)


def _answer_http(error: HTTPException) -> Response:
    status = error.code or 500
    if status < 400:
        return Response(error.get_response().get_data(), status, error.get_headers())
    if status >= 500 and status not in _BY_STATUS:
        return _answer_defect(error)
    if isinstance(error, exceptions.MethodNotAllowed):
        return _answer_method(error)
    kind, detail, hint = _BY_STATUS.get(status, _BY_STATUS[400])
    response = answer(kind(detail, hint=hint))
    for name, value in error.get_headers():
        if name in {"Allow", "Retry-After", "WWW-Authenticate"}:
            response.headers[name] = value
    return response


def _answer_method(error: exceptions.MethodNotAllowed) -> Response:
    allowed = ", ".join(sorted(error.valid_methods or ()))
    response = answer(
        MethodNotAllowed(
            f"{request.method[:40]} is not allowed at this address",
            hint=f"allowed: {allowed}",
        )
    )
    response.headers["Allow"] = allowed
    return response


def _answer_broken(error: ParseException) -> Response:
    return answer(
        BadRequest(f"the chunked transfer coding of the body is broken: {error}")
    )


def _answer_defect(error: Exception) -> Response:
    log.error("http.defect", exc_info=error)
    return answer(
        InternalError(
            "the service failed; its log has the cause under this request's id"
        )
    )


def answerable() -> list[type[FramemillError]]:
    """Return the errors that may answer a request, for OpenAPI and the docs."""
    kinds: list[type[FramemillError]] = []
    stack: list[type[FramemillError]] = [RequestError, Unavailable]
    while stack:
        kind = stack.pop()
        kinds.append(kind)
        stack.extend(kind.__subclasses__())
    return [*kinds, InternalError]
