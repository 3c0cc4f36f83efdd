"""Request headers and query parameters, read with the same strictness as bodies."""

from __future__ import annotations

import re
from typing import Self, TypeVar

from flask import Request
from werkzeug.http import parse_list_header, unquote_header_value

from api.http.validation import pointer
from common.errors import Fault, Invalid, NotFound

MAX_WAIT_SECONDS = 60
MAX_PAGE = 200
DEFAULT_PAGE = 50
MAX_SEARCH_CHARS = 200
T = TypeVar("T", bound=str)
_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_WAIT = re.compile(r"wait\s*=\s*(.+)", re.IGNORECASE)
_ID = re.compile(r"[0-9a-f]{32}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
# Version; ids of the trace and of the parent, not all zeros, and flags; the rest.
_TRACEPARENT = re.compile(
    r"(?!ff)([0-9a-f]{2})-((?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2})(-.*)?"
)
_TRACESTATE = re.compile(r"[ -~]{1,512}")


def check_id(given: str, kind: str = "job") -> str:
    """Return the id; raises NotFound unless it can be the id of a ``kind``."""
    if not _ID.fullmatch(given):
        raise NotFound(
            f"{given[:80]!r} is not the id of a {kind}", hint="ids have 32 hex digits"
        )
    return given


def idempotency_key(request: Request) -> str | None:
    """Return the Idempotency-Key; raises Invalid unless it is 1-255 printable ASCII."""
    # A server joins what is sent twice by a comma.
    value = request.headers.get("Idempotency-Key")
    if value is None:
        return None
    if not _KEY.fullmatch(value):
        raise Invalid.one(
            "/Idempotency-Key",
            "the header Idempotency-Key is not valid",
            "send it once, with 1 to 255 printable ASCII characters",
        )
    return value


def wait_seconds(request: Request) -> int | None:
    """Return N of ``Prefer: wait=N`` (RFC 7240), at most 60 seconds; None without one.

    A preference that cannot be understood is ignored, as that RFC asks.
    """
    for item in parse_list_header(request.headers.get("Prefer", "")):
        match = _WAIT.match(item.split(";")[0].strip())
        text = unquote_header_value(match[1].strip()) if match else ""
        if text.isascii() and text.isdigit() and len(text) < 10:
            return min(int(text), MAX_WAIT_SECONDS)
    return None


def request_id(request: Request) -> str | None:
    """Return the caller's X-Request-Id if it is safe in logs and headers, or None."""
    value = request.headers.get("X-Request-Id", "")
    return value if _REQUEST_ID.fullmatch(value) else None


def trace_context(request: Request) -> tuple[str | None, str | None]:
    """Return the caller's ``traceparent`` and ``tracestate``; None where not valid.

    W3C Trace Context: what a version after 00 has added at the end is left out.
    """
    match = _TRACEPARENT.fullmatch(request.headers.get("traceparent", "").strip())
    if match is None or (match[1] == "00" and match[3]):
        return None, None
    state = request.headers.get("tracestate", "").strip()
    return f"00-{match[2]}", state if _TRACESTATE.fullmatch(state) else None


class Query:
    """The query parameters of a request; its block ends with every fault in one error.

    The names that are read within the block are those that the address takes::

        with Query(request) as query:
            limit = query.page_size()
            cursor = query.text("cursor")

    Raises Invalid at the end of the block for values that are not valid, parameters
    that are repeated, and all that were not read.
    """

    def __init__(self, request: Request) -> None:
        self._given = dict(request.args.lists())
        self._known: list[str] = []
        self._faults: dict[str, tuple[str, str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            return
        known = "it takes " + (", ".join(self._known) or "no parameters")
        for name in self._given.keys() - self._known:
            detail = f"{name[:80]!r} is not a parameter of this address"
            self._faults[name] = detail, known
        if self._faults:
            # In the order in which they were sent.
            missing = [one for one in self._faults if one not in self._given]
            raise Invalid(
                [
                    self._fault(one)
                    for one in [*self._given, *missing]
                    if one in self._faults
                ]
            )

    def text(self, name: str) -> str | None:
        """Read a parameter as it is, or None when absent."""
        self._known.append(name)
        values = self._given.get(name, [None])
        if len(values) > 1:
            self._faults[name] = f"the parameter {name!r} is repeated", "send it once"
        return values[0]

    def whole_number(self, name: str, default: int, top: int) -> int:
        """Read a whole number from 1 to ``top``."""
        text = self.text(name)
        if text is None:
            return default
        number = (
            int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
        )
        if 1 <= number <= top:
            return number
        self._refuse(name, text, f"a whole number from 1 to {top}")
        return default

    def page_size(self) -> int:
        """Read ``limit``, the records on a page."""
        return self.whole_number("limit", DEFAULT_PAGE, MAX_PAGE)

    def choice(self, name: str, among: tuple[T, ...]) -> T | None:
        """Read one of several words, or None when absent."""
        text = self.text(name)
        for word in among:
            if word == text:
                return word
        if text is not None:
            self._refuse(name, text, "one of " + ", ".join(among))
        return None

    def ids(self, name: str, most: int) -> list[str]:
        """Read different ids of jobs, separated by commas, which must be there."""
        text = self.text(name)
        found = list(dict.fromkeys((text or "").split(",")))
        if len(found) > most or not all(_ID.fullmatch(one) for one in found):
            right = f"1 to {most} ids of jobs, separated by commas"
            self._faults.setdefault(name, (f"{name} is missing or not valid", right))
        return found

    def words(self, name: str) -> str | None:
        """Read the words of a search, or None when absent."""
        text = self.text(name)
        if text is None:
            return None
        if not text.strip() or len(text) > MAX_SEARCH_CHARS:
            self._refuse(name, text, f"words of {MAX_SEARCH_CHARS} characters at most")
        return text

    def _refuse(self, name: str, text: str, right: str) -> None:
        self._faults.setdefault(name, (f"{name}={text[:80]!r} is not valid", right))

    def _fault(self, name: str) -> Fault:
        detail, hint = self._faults[name]
        return {"pointer": pointer([name])[:200], "detail": detail, "hint": hint}


def expect_no_query(request: Request) -> None:
    """Raise Invalid for any query parameter: the address takes none."""
    with Query(request):
        pass
