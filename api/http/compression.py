"""Compress the texts of pages: HTML, scripts, styles, and the OpenAPI document.

Only answers that are the same for everybody, or hold nothing secret, are compressed. An
answer of the API may have a signed link beside what a caller wrote, and the length of
such an answer, compressed, would tell of the link (BREACH). Pictures and videos are
compressed already, and event streams must not wait for a block to fill.
"""

from __future__ import annotations

import functools
import gzip

from flask import Response, request

_TYPES = {
    "text/html",
    "text/css",
    "text/javascript",
    "application/javascript",
    "application/json",
    "image/svg+xml",
}
_TEXTS = {"static", "pages.specification"}
_PAGES = {"site", "pages", "shares"}  # Blueprints; what they answer as HTML.
_SMALLEST = 1000  # Bytes; a network packet holds less than twice as much.


def compress(response: Response) -> None:
    """Compress an answer by gzip, if it is one of those texts and the client takes it.

    The compressed form has an ETag of its own. A request that knows this form gets 304.
    """
    if not _is_text_of_pages(response):
        return
    response.vary.add("Accept-Encoding")
    if response.status_code != 200 or request.accept_encodings.quality("gzip") <= 0:
        return
    # A file is passed to the server as it is, unless it is read here.
    response.direct_passthrough = False
    data = response.get_data()
    if len(data) < _SMALLEST:
        return
    response.set_data(_gzipped(data))
    response.headers["Content-Encoding"] = "gzip"
    response.headers.pop("Accept-Ranges", None)
    etag, weak = response.get_etag()
    if etag is None:
        return
    response.set_etag(f"{etag}-gzip", bool(weak))
    if request.if_none_match.contains_weak(f"{etag}-gzip"):
        response.status_code = 304
        response.set_data(b"")
        for name in ("Content-Length", "Content-Encoding", "Content-Type"):
            response.headers.pop(name, None)


def _is_text_of_pages(response: Response) -> bool:
    if response.mimetype == "text/html":
        return request.blueprint in _PAGES
    # An answer of 304 has no type any more.
    known = response.mimetype in _TYPES or response.status_code == 304
    return request.endpoint in _TEXTS and known


# The same few texts are asked for again and again.
@functools.lru_cache(maxsize=64)
def _gzipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)
