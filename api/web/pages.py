"""Pages for people: the API's reference and the list of error codes."""

from __future__ import annotations

from flask import Blueprint, Response, render_template

from api.openapi import document as openapi
from common.errors import catalogue

# Swagger UI sets styles from script and draws its icons from data: addresses.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; font-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


def blueprint() -> Blueprint:
    """Return the pages."""
    routes = Blueprint("pages", __name__)
    document = openapi.text()

    @routes.get("/openapi.json")
    def specification() -> Response:
        return Response(document, mimetype="application/json")

    @routes.get("/docs")
    def reference() -> Response:
        return _page(render_template("docs.html"))

    @routes.get("/docs/errors")
    def errors() -> Response:
        kinds = sorted(catalogue().values(), key=lambda kind: (kind.status, kind.code))
        return _page(render_template("errors.html", kinds=kinds))

    return routes


def _page(html: str) -> Response:
    response = Response(html, mimetype="text/html")
    response.headers["Content-Security-Policy"] = _POLICY
    return response
