"""When a presigned URL stops working, as its query says. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlsplit


def expires_at(url: str) -> float | None:
    """Return when the signature in a URL expires (Unix s); None if there is none.

    The signatures of Amazon S3 and its like, CloudFront, Google and Azure are known.
    Raises ValueError for a text that is no URL.
    """
    query = {name.lower(): value for name, value in parse_qsl(urlsplit(url).query)}
    try:
        for vendor in ("amz", "goog"):
            if date := query.get(f"x-{vendor}-date"):
                begin = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
                return begin.timestamp() + float(query[f"x-{vendor}-expires"])
        if "sig" in query and "se" in query:
            end = datetime.fromisoformat(query["se"])
            # Azure takes a time without a zone, as a plain date, for one in UTC.
            return end.replace(tzinfo=end.tzinfo or UTC).timestamp()
        if "expires" in query:
            return float(query["expires"])
    except (KeyError, ValueError):
        # Signed in a way that cannot be read: it may expire at once.
        return 0.0
    return None
