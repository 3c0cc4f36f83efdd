"""Request headers and query parameters, read with the same strictness as bodies."""

from __future__ import annotations

import re
from typing import Any, TypeVar

from flask import Request
from werkzeug.http import parse_list_header, unquote_header_value

from common.errors import Fault, Invalid, NotFound

MAX_WAIT_SECONDS = 60
MAX_PAGE = 200
DEFAULT_PAGE = 50
T = TypeVar("T", bound=str)
_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_WAIT = re.compile(r"wait\s*=\s*(.+)", re.IGNORECASE)
_ID = re.compile(r"[0-9a-f]{32}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def check_id(given: str, kind: str = "job") -> str:
    """Return the id; raises NotFound unless it can be the id of a ``kind``."""
    if not _ID.fullmatch(given):
        raise NotFound(f"there is no such {kind}", hint="an id is 32 hex digits")
    return given


def idempotency_key(request: Request) -> str | None:
    """Give the Idempotency-Key; raises Invalid unless it is 1-255 printable ASCII."""
    values = request.headers.getlist("Idempotency-Key")
    if not values:
        return None
    if len(values) > 1 or not _KEY.fullmatch(values[0]):
        raise Invalid.one(
            "/Idempotency-Key",
            "the Idempotency-Key is not valid",
            "give it once, with 1 to 255 printable ASCII characters",
        )
    return values[0]


def wait_seconds(request: Request) -> int | None:
    """Give N of ``Prefer: wait=N`` (RFC 7240), at most 60; None without one.

    A preference that cannot be understood is ignored, as that RFC asks.
    """
    for header in request.headers.getlist("Prefer"):
        for item in parse_list_header(header):
            match = _WAIT.match(item.split(";")[0].strip())
            text = unquote_header_value(match[1].strip()) if match else ""
            if text.isascii() and text.isdigit() and len(text) < 10:
                return min(int(text), MAX_WAIT_SECONDS)
    return None


def request_id(request: Request) -> str | None:
    """Give the caller's X-Request-Id when it is fit for logs and headers."""
    value = request.headers.get("X-Request-Id", "")
    return value if _REQUEST_ID.fullmatch(value) else None


def query(request: Request, *allowed: str) -> dict[str, str]:
    """Give the query parameters; raises Invalid for unknown or repeated ones."""
    faults: list[Fault] = []
    found: dict[str, str] = {}
    for name, values in request.args.lists():
        where = f"/{name.replace('~', '~0').replace('/', '~1')}"[:200]
        if name not in allowed:
            known = ", ".join(allowed) or "none here"
            faults.append(_fault(where, "unknown query parameter", f"known: {known}"))
        elif len(values) > 1:
            faults.append(_fault(where, "the parameter is repeated", "give it once"))
        else:
            found[name] = values[0]
    if faults:
        raise Invalid(faults)
    return found


def whole_number(values: dict[str, str], name: str, default: int, top: int) -> int:
    """Read a whole number from 1 to ``top``; raises Invalid."""
    text: Any = values.get(name)
    if text is None:
        return default
    if text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= top:
        return int(text)
    raise Invalid.one(
        f"/{name}", f"{name} is not valid", f"a whole number from 1 to {top}"
    )


def page_size(values: dict[str, str]) -> int:
    """Read ``limit``, the records on a page; raises Invalid."""
    return whole_number(values, "limit", DEFAULT_PAGE, MAX_PAGE)


def choice(values: dict[str, str], name: str, among: tuple[T, ...]) -> T | None:
    """Read one of several words, or None when absent; raises Invalid."""
    text = values.get(name)
    if text is None:
        return None
    for word in among:
        if word == text:
            return word
    raise Invalid.one(f"/{name}", f"{name} is not valid", "one of " + ", ".join(among))


def _fault(where: str, detail: str, hint: str) -> Fault:
    return {"pointer": where, "detail": detail, "hint": hint}
