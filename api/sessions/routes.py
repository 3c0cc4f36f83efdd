"""``/session``: a browser signs in with an API key, and out.

The answer to a sign-in sets a cookie that scripts cannot read. With it, requests are
answered as with the key; see ``api/http/cookies.py`` for those that change something.
"""

from __future__ import annotations

from typing import get_args
from urllib.parse import parse_qsl, quote

from flask import Blueprint, Response, request
from pydantic import TypeAdapter

from api.http import headers
from api.http import json_body as bodies
from api.http.body import read_body
from api.http.context import current
from api.http.cookies import drop_session, is_own_origin, session_of, set_session
from api.http.services import Services
from api.http.validation import validate
from api.sessions.schemas import SessionView, SignInRequest
from common.access.keys import KeyRecord, Scope
from common.errors import BadRequest, Forbidden, Unauthorized
from common.timestamps import rfc3339

_FORM = "application/x-www-form-urlencoded"
_BODY_BYTES = 4096
_SIGN_IN: TypeAdapter[SignInRequest] = TypeAdapter(SignInRequest)


def blueprint(services: Services) -> Blueprint:
    """Return the routes."""
    routes = Blueprint("sessions", __name__, url_prefix="/session")

    @routes.get("")
    def show() -> Response:
        headers.expect_no_query(request)
        return _show(services)

    @routes.post("")
    def sign_in() -> Response:
        headers.expect_no_query(request)
        return _sign_in(services)

    @routes.delete("")
    def sign_out() -> Response:
        headers.expect_no_query(request)
        _refuse_other_origins(services)
        response = Response(status=204)
        if session := session_of(request):
            if services.keys is not None:
                services.keys.sign_out(session)
            drop_session(response, services.root())
        return response

    return routes


def _show(services: Services) -> Response:
    """Answer 200 to everybody: a page asks this before it knows whether to sign in."""
    signed_in = services.is_signed_in()
    admission = current().admission
    if admission is None:
        response = bodies.json_response(_view(services, None))
    else:
        view = _view(services, admission.key, admission.session_ends)
        response = bodies.json_response(view)
    if not signed_in and session_of(request):
        drop_session(response, services.root())
    return response


def _sign_in(services: Services) -> Response:
    """Answer JSON with the session; a form is redirected to its ``next``."""
    _refuse_other_origins(services)
    requested, after = _read()
    key = services.authenticator.sign_in(requested.key)
    if after is None:
        response = bodies.json_response(_view(services, key))
    else:
        path = quote(after, safe="/?#&=%") if after.startswith("/") else "/"
        response = Response(status=303, headers={"Location": services.root() + path})
    if services.keys is None:
        return response
    hours = services.runtime.settings.api.session_hours
    session = services.keys.sign_in(requested.key, hours)
    if session is None:
        raise Unauthorized("this API key was revoked")
    if old := session_of(request):
        services.keys.sign_out(old)
    set_session(response, services.root(), session, hours)
    return response


def _refuse_other_origins(services: Services) -> None:
    # Another site could sign a browser in with a key of its own, and see what is sent.
    if not is_own_origin(request, services.runtime.settings.api.public_url):
        raise Forbidden(
            "pages of other origins may not sign in or out",
            hint="behind a proxy, set FRAMEMILL_API_PUBLIC_URL to the page's origin",
        )


def _read() -> tuple[SignInRequest, str | None]:
    """Return the key, and where a form leads; raises as for every JSON body."""
    if request.mimetype != _FORM:
        document = bodies.read_json(request, _BODY_BYTES)
        return validate(_SIGN_IN, document), None
    try:
        fields = dict(
            parse_qsl(read_body(request, _BODY_BYTES).decode(), max_num_fields=8)
        )
    except ValueError as error:
        raise BadRequest(
            "the form cannot be read", hint="send key=KEY as UTF-8, percent-encoded"
        ) from error
    after = fields.pop("next", "/")
    return validate(_SIGN_IN, fields), after


def _view(
    services: Services, key: KeyRecord | None, ends: int | None = None
) -> SessionView:
    required = services.keys is not None
    scopes = key.scopes if key else [] if required else [*get_args(Scope)]
    return SessionView(
        signed_in=key is not None or not required,
        required=required,
        name=key and key.name,
        key_id=key and key.id,
        scopes=scopes,
        expires_at=rfc3339(ends),
    )
