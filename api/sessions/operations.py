"""The OpenAPI operations on the session of a browser."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from api.http.openapi import JSON, answer, problems, ref


def paths(always: Iterable[int]) -> dict[str, Any]:
    """Return the paths; ``always`` are the problems that every operation may have."""
    common = set(always)
    return {
        "/session": {
            "get": _operation(
                "getSession",
                "Show who is signed in",
                {"200": answer("The session, or that there is none.", "SessionView")},
                common - {401},
            ),
            "post": _operation(
                "signIn",
                "Sign a browser in",
                _signed_in(),
                common | {413, 415},
                requestBody=_body(),
            ),
            "delete": _operation(
                "signOut",
                "Sign a browser out",
                {"204": {"description": "The session has ended."}},
                common - {401, 429},
            ),
        }
    }


def _operation(
    name: str, summary: str, answers: dict[str, Any], refusals: set[int], **rest: Any
) -> dict[str, Any]:
    return {
        "operationId": name,
        "tags": ["operation"],
        "summary": summary,
        "description": "For pages of this service: the session is a cookie that "
        "scripts cannot read. With it, a request other than GET also needs the header "
        "X-Framemill-Page: 1.",
        "security": [],
        "responses": answers | problems(refusals),
        **rest,
    }


def _signed_in() -> dict[str, Any]:
    cookie = {"description": "The session.", "schema": {"type": "string"}}
    shown = answer("Signed in.", "SessionView")
    return {
        "200": shown | {"headers": shown["headers"] | {"Set-Cookie": cookie}},
        "303": {
            "description": "Signed in by a form, which leads to its next.",
            "headers": {"Set-Cookie": cookie},
        },
    }


def _body() -> dict[str, Any]:
    request = ref("schemas", "SignInRequest")
    return {
        "required": True,
        "content": {
            JSON: {"schema": request},
            "application/x-www-form-urlencoded": {
                "schema": ref("schemas", "SignInForm")
            },
        },
    }
