"""The pages on which people make pictures and look at them.

The server renders a page's frame, its texts and what its scripts need to know. The
scripts (``static/js``) do the rest through the HTTP API, like any other client.
"""

from __future__ import annotations

from functools import cache
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Response, render_template, request

from api.http.context import current
from api.http.headers import check_id
from api.http.services import Services
from api.web.languages import catalogues, language_of
from common.errors import Forbidden, Unauthorized
from common.jobs import presets
from common.runtime import Runtime
from common.storage.local import LocalStore


def blueprint(services: Services) -> Blueprint:
    """Return the pages."""
    routes = Blueprint("site", __name__)
    runtime = services.runtime

    @cache
    def policy() -> str:
        return _policy(runtime)

    def page(name: str, **values: Any) -> Response:
        language = language_of(request)
        name = name if _may_enter(services) else "signin"
        admission = current().admission
        html = render_template(
            f"{name}.html",
            page=name,
            path=request.path,
            signed_in=admission and admission.key.name,
            language=language,
            languages=list(catalogues()),
            t=catalogues()[language],
            facts=_facts(runtime, language) | values,
        )
        response = Response(html, mimetype="text/html")
        response.headers["Content-Security-Policy"] = policy()
        response.headers["Cache-Control"] = "no-store"
        response.headers["Vary"] = "Accept-Language, Cookie"
        return response

    @routes.get("/")
    def home() -> Response:
        return page("home")

    @routes.get("/jobs")
    def gallery() -> Response:
        return page("gallery")

    @routes.get("/jobs/<job_id>")
    def job(job_id: str) -> Response:
        return page("job", job=check_id(job_id))

    return routes


def _may_enter(services: Services) -> bool:
    """Return whether the browser is signed in, or need not be."""
    try:
        services.enter("read")
    except Unauthorized:
        return False
    except Forbidden:
        # A key without the scope "read" is signed in; the API says what it may not do.
        if current().admission is None:
            raise
    return True


def _facts(runtime: Runtime, language: str) -> dict[str, Any]:
    """Return what the scripts of a page need to know."""
    settings = runtime.settings
    return {
        "language": language,
        "texts": catalogues()[language],
        "presets": {
            name: [
                spec.model_dump(mode="json", exclude_defaults=True)
                | {"kind": spec.kind}
                for spec in presets.outputs_of(settings, name, "/preset")
            ]
            for name in presets.names(settings)
        },
        "sourceBytes": settings.limits.source_bytes,
        "urls": settings.source.urls,
    }


def _policy(runtime: Runtime) -> str:
    """Return the pages' content security policy: ourselves, and the storage's files."""
    files = " ".join(filter(None, ("'self'", _storage_origin(runtime))))
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; "
        f"img-src {files}; media-src {files}; connect-src {files}; font-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )


def _storage_origin(runtime: Runtime) -> str:
    """Return where links to files lead beyond this service; empty for a local store."""
    if isinstance(runtime.blobs, LocalStore):
        return ""
    grant = runtime.blobs.grant_get(
        "file", content_type="image/jpeg", filename="file", seconds=1
    )
    address = urlsplit(grant.url)
    return f"{address.scheme}://{address.netloc}"
