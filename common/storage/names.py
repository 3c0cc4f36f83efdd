"""Names of files: keys that are safe to store, and names for people to read.

The service makes the keys. A display name comes from the caller; it is only shown, in
records and in ``Content-Disposition``.
"""

from __future__ import annotations

import re
import unicodedata
from posixpath import normpath
from urllib.parse import quote

from common.errors import SourceNotFound

DISPLAY_CHARS = 200
KEY_BYTES = 1024
_SEGMENT_BYTES = 255
# Marks that turn the reading direction can make "gpj.exe" of "exe.jpg".
_BIDI = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)
_OWN = re.compile(r"(in|out)/[0-9a-f]{32}/|(batches|jobs|keys)/[0-9a-z]{1,32}\.json$")
_CONTROL = frozenset({"Cc", "Cs", "Zl", "Zp"})
# RFC 5987 attr-char beyond letters and digits; quote() itself keeps "_.-~".
_ATTR_CHARS = "!#$&+^`|"


def check_key(key: str) -> str:
    """Return ``key`` if it can name a blob, else raise SourceNotFound.

    Absolute keys, empty or dotted segments (``..``, ``.tmp``), backslashes, control
    characters, and names too long for a file system are refused.
    """
    segments = key.split("/")
    fits = len(key.encode("utf-8", "surrogatepass")) <= KEY_BYTES and all(
        0 < len(part.encode("utf-8", "surrogatepass")) <= _SEGMENT_BYTES
        for part in segments
    )
    clean = not any(c == "\\" or unicodedata.category(c) in _CONTROL for c in key)
    if not fits or not clean or any(part.startswith(".") for part in segments):
        raise SourceNotFound(
            f"{key[:80]!r} is not a key of this store",
            hint="use segments separated by /, none empty, none beginning with a dot",
        )
    return key


def is_plain(key: str) -> bool:
    """Return whether every storage keeps this key exactly as written.

    Empty and dotted segments (``a//b``, ``./x``) are part of the name on AWS, but not
    on storage over a file system.
    """
    return as_path(key) == key


def is_own(key: str) -> bool:
    """Return whether a key of our own bucket is a source, a result or a manifest."""
    return _OWN.match(as_path(key)) is not None


def as_path(key: str) -> str:
    """Return a key as storage over a file system reads it: ``./a//b`` is ``a/b``."""
    end = "/" if key.endswith("/") else ""
    return normpath(f"/{key}").lstrip("/") + end


def display_name(raw: str | None) -> str | None:
    """Return a caller's file name fit to be shown: NFC, no controls, 200 characters.

    The result is text, never a path or a key; None if nothing is left.
    """
    if raw is None:
        return None
    if raw.isascii() and raw.isprintable():
        return raw.strip()[:DISPLAY_CHARS].strip() or None
    kept = "".join(
        c
        for c in unicodedata.normalize("NFC", raw)
        if c not in _BIDI and unicodedata.category(c) not in _CONTROL
    )
    return kept.strip()[:DISPLAY_CHARS].strip() or None


def content_disposition(filename: str, *, attachment: bool) -> str:
    """Return the header that offers ``filename`` (RFC 6266, RFC 8187).

    Slashes and backslashes become underscores, and no quote or line break can end the
    parameter. Names beyond ASCII stand in ``filename*``, beside an ASCII fallback.
    """
    name = display_name(filename) or "file"
    name = name.replace("/", "_").replace("\\", "_").lstrip(".") or "file"
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = "".join("_" if c in '"%;' else c for c in plain).strip()
    kind = "attachment" if attachment else "inline"
    header = f'{kind}; filename="{plain or "file"}"'
    if plain != name:
        encoded = quote(name.encode("utf-8", "replace"), safe=_ATTR_CHARS)
        header += f"; filename*=UTF-8''{encoded}"
    return header
