"""The frames of the pages, their texts, and what a browser may load for them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from api.web.languages import catalogues
from common.access.keys import KeyRecord, Keys, new_key_id
from common.storage.links import share_token
from tests.api.conftest import Context
from tests.api.http.test_auth import a_key
from tests.conftest import ROOT

WEB = ROOT / "api" / "web"
PAGES = ["/", "/jobs", "/jobs/" + "0" * 32, "/operations"]
FACTS = re.compile(r'id="facts">(.*?)</script>', re.DOTALL)


def facts(html: str) -> dict[str, Any]:
    found = FACTS.search(html)
    assert found is not None
    document: dict[str, Any] = json.loads(found[1])
    return document


def keys_used() -> set[str]:
    """Return the keys that scripts and templates name in full."""
    scripts = "".join(path.read_text() for path in (WEB / "static/js").glob("*.js"))
    frames = "".join(path.read_text() for path in (WEB / "templates").glob("*.html"))
    quoted = r"""["']([a-z_]+(?:\.[a-z_A-Z0-9]+)+)["']"""
    return {
        *re.findall(rf"\bt\({quoted}", scripts),
        *re.findall(rf"\bt\[{quoted}\]", frames),
    }


def test_every_language_has_the_same_texts_with_the_same_values():
    named = {
        language: {
            key: set(re.findall(r"{(\w+)}", text)) for key, text in texts.items()
        }
        for language, texts in catalogues().items()
    }

    assert set(named) >= {"en", "de"}
    for language, texts in named.items():
        assert texts == named["en"], language


def test_every_text_that_a_page_names_exists():
    known = catalogues()["en"]
    missing = {
        key for key in keys_used() if key not in known and f"{key}.other" not in known
    }

    assert len(keys_used()) > 50
    assert missing == set()


@pytest.mark.parametrize("path", PAGES)
def test_a_page_runs_only_scripts_and_styles_of_ours(context: Context, path: str):
    answer = context.client.get(path)

    assert answer.status_code == 200
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self';" in policy
    assert "unsafe" not in policy
    assert "connect-src 'self';" in policy
    assert re.findall(r"\son\w+=|\sstyle=|<style", answer.text) == []


def test_the_policy_names_the_storage_to_which_links_lead(
    make_context: Callable[..., Context],
):
    context = make_context(
        blobs={"backend": "s3", "bucket": "framemill"},
        s3={
            "endpoint_url": "http://storage.internal:9000",
            "public_endpoint_url": "https://files.example.org",
            "access_key_id": "key",
            "secret_access_key": "secret",
        },
    )

    policy = context.client.get("/").headers["Content-Security-Policy"]

    assert "img-src 'self' https://files.example.org;" in policy
    assert "media-src 'self' https://files.example.org;" in policy
    assert "internal" not in policy


@pytest.mark.parametrize(
    ("wanted", "chosen", "language"),
    [
        ("de-AT,de;q=0.9,en;q=0.5", None, "de"),
        ("fr", None, "en"),
        ("de", "en", "en"),
        ("en", "xx", "en"),
    ],
)
def test_the_language_is_the_chosen_one_or_the_browsers(
    context: Context, wanted: str, chosen: str | None, language: str
):
    if chosen:
        context.client.set_cookie("language", chosen)

    answer = context.client.get("/", headers={"Accept-Language": wanted})

    assert f'<html lang="{language}">' in answer.text
    assert facts(answer.text)["texts"] == catalogues()[language]


def test_the_page_offers_the_presets_of_the_service(
    make_context: Callable[..., Context],
):
    context = make_context(presets={"mine": [{"kind": "storyboard", "interval": 2}]})

    offered = facts(context.client.get("/").text)["presets"]

    assert offered["mine"] == [{"kind": "storyboard", "interval": 2}]
    assert {"default", "web", "social", "scrubber", "archive"} < set(offered)


def test_the_page_of_an_impossible_id_is_refused(context: Context):
    assert context.client.get("/jobs/none").status_code == 404


def test_a_browser_signs_in_before_it_sees_the_page(
    make_context: Callable[..., Context],
):
    context = make_context(api={"auth": True})
    keys = Keys.connect(context.runtime.settings)
    given = {"id": new_key_id(), "name": "anna's laptop", "owner": "anna"}
    token = keys.create(KeyRecord.model_validate(given))

    before = context.client.get("/jobs").text
    sent = {"key": token, "next": "/jobs"}
    answer = context.client.post("/session", data=sent, follow_redirects=True)

    assert 'action="/session"' in before
    assert 'name="next" value="/jobs"' in before
    assert answer.request.path == "/jobs"
    assert 'id="filter"' in answer.text
    assert "anna&#39;s laptop" in answer.text


LINK = 'href="/operations"'


@pytest.mark.parametrize(
    ("scopes", "status"), [(["admin"], 200), (["read", "submit"], 403), (["read"], 403)]
)
def test_only_operators_see_the_page_of_operators(
    make_context: Callable[..., Context], scopes: list[str], status: int
):
    context = make_context(api={"auth": True})
    headers = a_key(context, scopes=scopes)

    answer = context.client.get("/operations", headers=headers)
    home = context.client.get("/", headers=headers)

    assert answer.status_code == status
    assert ('id="ops"' in answer.text) == (status == 200)
    assert ("<h1>For operators</h1>" in answer.text) == (status == 403)
    assert (LINK in home.text) == (status == 200)


def test_operators_sign_in_first_where_keys_are_needed(
    make_context: Callable[..., Context],
):
    context = make_context(api={"auth": True})
    answer = context.client.get("/operations")
    assert answer.status_code == 200
    assert 'name="next" value="/operations"' in answer.text
    assert LINK not in answer.text


def test_a_service_without_keys_shows_everybody_the_page(context: Context):
    assert LINK in context.client.get("/").text


BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


def test_a_shared_link_is_a_page_to_browsers_and_json_to_programs(
    make_context: Callable[..., Context],
):
    context = make_context(presets={"secret": [{"kind": "thumbnail"}]})
    job = context.submit()["id"]
    link = context.client.post(f"/v1/jobs/{job}/share").json["url"]

    program = context.client.get(link)
    browser = context.client.get(link, headers=BROWSER)

    assert program.json["id"] == job
    assert '<div id="job"' in browser.text
    assert "script-src 'self';" in browser.headers["Content-Security-Policy"]
    assert "secret" not in browser.text, "the link shows this job alone"


def test_an_expired_link_is_explained_in_the_browsers_language(context: Context):
    job = context.submit()["id"]
    token = share_token(context.runtime.settings, job, 1_000_000_000, source=False)

    answer = context.client.get(
        f"/s/{token}", headers=BROWSER | {"Accept-Language": "de"}
    )

    assert answer.status_code == 403
    assert "Dieser Link gilt nicht mehr" in answer.text
    assert ">The link has expired" in answer.text
    assert job not in answer.text.replace(token, "")
