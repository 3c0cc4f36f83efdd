"""The pages on which people make pictures and look at them.

The server renders a page's frame, its texts and what its scripts need to know. The
scripts (``static/js``) do the rest through the HTTP API, like any other client.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Request, Response, render_template, request

from api.http.context import current
from api.http.headers import check_id
from api.http.services import Services
from api.shares.routes import open_share
from api.web.languages import catalogues, language_of
from common.errors import Forbidden, NotFound
from common.jobs import presets
from common.runtime import Runtime
from common.storage.local import LocalStore


def blueprint(services: Services) -> Blueprint:
    """Return the pages."""
    routes = Blueprint("site", __name__)
    pages = _Pages(services)

    @routes.before_app_request
    def shared() -> Response | None:
        # Programs get the job's JSON from the same link.
        if request.endpoint != "shares.show" or not _wants_a_page(request):
            return None
        return pages.shared((request.view_args or {})["token"])

    @routes.get("/")
    def home() -> Response:
        return pages.own("home")

    @routes.get("/jobs")
    def gallery() -> Response:
        return pages.own("gallery")

    @routes.get("/operations")
    def operations() -> Response:
        return pages.operations()

    @routes.get("/jobs/<job_id>")
    def job(job_id: str) -> Response:
        return pages.own("job", job=check_id(job_id))

    return routes


class _Pages:
    """Renders the pages, each with what its scripts need to know."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def own(self, name: str, **facts: Any) -> Response:
        """Return a page of the caller's, or the sign-in in its place."""
        name = name if self._services.is_signed_in() else "signin"
        return self._render(name, _facts(self._services.runtime) | facts)

    def operations(self) -> Response:
        """Return the page of operators; for other keys 403 and what it needs."""
        if not self._services.is_signed_in() or _operates():
            return self.own("operations")
        response = self._render("operations", _texts(), problem=True)
        response.status_code = Forbidden.status
        return response

    def shared(self, token: str) -> Response:
        """Return the page of a shared job, or why its link shows nothing."""
        try:
            open_share(self._services, token)
        except (Forbidden, NotFound) as error:
            response = self._render("shared", _texts(), problem=error.detail)
            response.status_code = error.status
            return response
        return self._render("shared", _texts())

    @cached_property
    def _policy(self) -> str:
        return _policy(self._services.runtime)

    def _render(self, name: str, facts: dict[str, Any], **values: Any) -> Response:
        admission = current().admission
        html = render_template(
            f"{name}.html",
            page=name,
            path=request.path,
            signed_in=admission and admission.key.name,
            operates=_operates(),
            language=facts["language"],
            languages=list(catalogues()),
            t=facts["texts"],
            facts=facts,
            **values,
        )
        response = Response(html, mimetype="text/html")
        response.headers["Content-Security-Policy"] = self._policy
        response.headers["Cache-Control"] = "no-store"
        response.headers["Vary"] = "Accept, Accept-Language, Cookie"
        return response


def _wants_a_page(wanted_by: Request) -> bool:
    accepted = wanted_by.accept_mimetypes
    return accepted["text/html"] > accepted["application/json"]


def _operates() -> bool:
    """Return whether the page of operators is for this caller."""
    who = current().principal
    return who is not None and who.may("admin")


def _texts() -> dict[str, Any]:
    language = language_of(request)
    return {"language": language, "texts": catalogues()[language]}


def _facts(runtime: Runtime) -> dict[str, Any]:
    """Return what the scripts of a page need to know."""
    settings = runtime.settings
    return _texts() | {
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
