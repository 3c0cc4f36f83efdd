"""Signed URLs of images that the service renders when they are first asked for."""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from urllib.parse import quote, urlencode

# What encodeURIComponent leaves as it is, and what separates options.
_PLAIN = "!~*'()/=,"
_JOB = re.compile(r"[0-9a-f]{32}")


def sign_render(secret: str, path: str, expires: int | None = None) -> str:
    """Return the signature of a path, as the service reads it without its quoting."""
    text = path if expires is None else f"{path}?expires={expires}"
    return _base64(hmac.digest(secret.encode(), text.encode(), "sha256"))


def render_url(
    root: str,
    signing_key: Mapping[str, str],
    source: str,
    options: Mapping[str, object],
    extension: str,
    expires: int | None = None,
) -> str:
    """Return the signed URL of an image of ``source``; nothing is sent.

    ``signing_key`` has the members ``key`` and ``secret`` of
    ``GET /v1/render/signing-key``. ``source`` is ``s3://BUCKET/KEY``, an ``https://``
    URL or the id of a job whose source is kept, ``options`` are fields of an output,
    and ``extension`` is its format. The URL ends at ``expires``, in Unix seconds.
    """
    segment = source if _JOB.fullmatch(source) else _base64(source.encode())
    words = [f"{name}={_word(value)}" for name, value in options.items()]
    path = f"/v1/render/{segment}/{','.join(words) or 'default'}.{extension}"
    signature = sign_render(signing_key["secret"], path, expires)
    ends = {} if expires is None else {"expires": expires}
    query = urlencode({"key": signing_key["key"], **ends, "sig": signature})
    return f"{root.rstrip('/')}{quote(path, safe=_PLAIN)}?{query}"


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _base64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
