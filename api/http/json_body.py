"""JSON bodies, read strictly.

UTF-8 only, no NaN or Infinity, bounded size, bounded depth, no lone surrogates: what
passes here can be stored and returned as it was sent. If a key is there twice, its
last value counts, as in every browser.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn, Protocol

from flask import Request, Response

from api.http.body import read_body
from api.http.validation import pointer
from common.errors import BadRequest, Invalid, UnsupportedMediaType


class Document(Protocol):
    """The document of an answer; every pydantic model is one."""

    def model_dump_json(self) -> str:
        """Return it as JSON."""


MAX_DEPTH = 32
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_LONE = re.compile("[\ud800-\udfff]")
JSON_TYPE = "application/json"


def _refuse_constant(name: str) -> NoReturn:
    raise BadRequest(
        f"{name} is not a JSON value",
        hint="leave the field out, or send null",
    )


def _read_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise BadRequest(
            f"the number {text[:40]} is too large",
            hint="numbers go up to about 1.8e308",
        )
    return value


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_read_float)


def parse_json(raw: bytes, what: str = "the body") -> Any:
    """Read one JSON document.

    Raises BadRequest when it is not strict JSON and Invalid when it nests deeper than
    32 levels or holds half a surrogate pair.
    """
    try:
        document = _DECODER.decode(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise BadRequest(
            f"{what} is not UTF-8: byte {error.start} is wrong",
            hint="send JSON as UTF-8",
        ) from error
    except json.JSONDecodeError as error:
        problem = error.msg.removesuffix(" at")  # "Unterminated string starting at"
        raise BadRequest(
            f"{what} is not JSON: {problem} at line {error.lineno}, "
            f"column {error.colno}"
        ) from error
    except RecursionError as error:
        raise _too_deep(what) from error
    except ValueError as error:  # an integer of more than 4300 digits
        raise BadRequest(f"{what} holds a number with too many digits") from error
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH:
        _check_depth(document, what)
    if _SURROGATE.search(raw):
        _check_text(document)
    return document


def _too_deep(what: str) -> Invalid:
    return Invalid.one(
        "",
        f"{what} is nested too deeply",
        f"at most {MAX_DEPTH} levels of lists and objects",
    )


def _check_depth(document: Any, what: str) -> None:
    level = [document]
    for _ in range(MAX_DEPTH + 1):
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
        if not level:
            return
    raise _too_deep(what)


def _check_text(document: Any) -> None:
    stack: list[tuple[list[int | str], Any]] = [([], document)]
    while stack:
        where, node = stack.pop()
        if isinstance(node, str) and _LONE.search(node):
            raise Invalid.one(
                pointer(where),
                "the string holds half of a surrogate pair",
                "send both halves, or neither",
            )
        if isinstance(node, list):
            stack += [([*where, number], child) for number, child in enumerate(node)]
        elif isinstance(node, dict):
            for key, child in node.items():
                if _LONE.search(key):
                    raise Invalid.one(
                        pointer(where),
                        "a key holds half of a surrogate pair",
                        "send both halves, or neither",
                    )
                stack.append(([*where, key], child))


def unsupported_type(request: Request, supported: str) -> UnsupportedMediaType:
    """Return the error for a body that is not of a ``supported`` type."""
    declared = request.content_type
    body = f"of type {declared[:100]!r}" if declared else "without a Content-Type"
    return UnsupportedMediaType(
        f"a body {body} is not supported", hint=f"send {supported}"
    )


def require_json(request: Request) -> None:
    """Raise UnsupportedMediaType unless the body says that it is UTF-8 JSON."""
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if request.mimetype != JSON_TYPE or charset not in {"utf-8", "utf8", "us-ascii"}:
        raise unsupported_type(request, f"{JSON_TYPE} in UTF-8")


def read_json(request: Request, limit: int) -> Any:
    """Read the request's body as JSON of at most ``limit`` bytes.

    Raises UnsupportedMediaType, BodyTooLarge, BadRequest or Invalid.
    """
    require_json(request)
    return parse_json(read_body(request, limit))


def json_response(view: Document, status: int = 200) -> Response:
    """Return a document as the answer; caches must not store it."""
    response = Response(view.model_dump_json(), status, mimetype=JSON_TYPE)
    response.headers["Cache-Control"] = "no-store"
    return response


def canonical(document: Any) -> bytes:
    """Write a document as JSON; equal documents become equal bytes."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
