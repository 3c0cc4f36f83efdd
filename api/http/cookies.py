"""The cookie of a signed-in browser, and the proof that a request is from our own page.

A browser sends a cookie with every request to this service, even with one that another
site makes it send. ``SameSite=Strict`` stops those of other sites, but not those of
other ports and subdomains, and old browsers ignore it. So a request by cookie that may
change something must carry a header that no form can send, and come from our origin.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Request, Response

from common.errors import Forbidden

COOKIE = "framemill_session"
PAGE_HEADER = "X-Framemill-Page"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def session_of(request: Request) -> str | None:
    """Return the secret of the session that a request names, or None."""
    return request.cookies.get(COOKIE) or None


def set_session(response: Response, root: str, session: str, hours: float) -> None:
    """Add the cookie to an answer; ``root`` is the address of this API."""
    parts = urlsplit(root)
    response.set_cookie(
        COOKIE,
        session,
        max_age=int(hours * 3600),
        path=parts.path or "/",
        secure=parts.scheme == "https",
        httponly=True,
        samesite="Strict",
    )


def drop_session(response: Response, root: str) -> None:
    """Have the browser forget the cookie."""
    parts = urlsplit(root)
    response.delete_cookie(
        COOKIE,
        path=parts.path or "/",
        secure=parts.scheme == "https",
        httponly=True,
        samesite="Strict",
    )


def is_own_origin(request: Request, public_url: str | None = None) -> bool:
    """Return whether the request names no other origin than ours as its sender.

    Browsers state in ``Sec-Fetch-Site`` how the origins compare, which is right behind
    any proxy. Without TLS, and in old browsers, there is only ``Origin``. Programs send
    neither.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = request.headers.get("Origin")
    ours = {f"{request.scheme}://{request.host}"}
    if public_url:
        parts = urlsplit(public_url)
        ours.add(f"{parts.scheme}://{parts.netloc}")
    return origin is None or origin in ours


def require_own_page(request: Request, public_url: str | None) -> None:
    """Raise Forbidden for an unsafe request by cookie that our page did not send."""
    if request.method in SAFE:
        return
    if not is_own_origin(request, public_url):
        raise Forbidden(
            "pages of other origins may not use the session of this one",
            hint="behind a proxy, set FRAMEMILL_API_PUBLIC_URL to the page's origin",
        )
    if request.headers.get(PAGE_HEADER) != "1":
        raise Forbidden(
            f"a request by cookie needs the header {PAGE_HEADER}: 1",
            hint="programs send an API key: Authorization: Bearer KEY",
        )
