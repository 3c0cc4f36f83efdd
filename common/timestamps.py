"""Times of day, as the API and the webhooks write them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import overload


@overload
def rfc3339(milliseconds: float) -> str: ...
@overload
def rfc3339(milliseconds: float | None) -> str | None: ...
def rfc3339(milliseconds: float | None) -> str | None:
    """Return Unix milliseconds as RFC 3339 in UTC: ``2026-11-23T09:48:23.120Z``.

    None stays None.
    """
    if milliseconds is None:
        return None
    at = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
