"""Images on request: signatures, the one job of many requests, caches, purges."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import redis

from api.app import create_app
from api.cli.render_url import render_url, sign_render
from api.render import routes
from api.render.signature import OPEN, signing_secret
from common.access.keys import Keys
from tests.api.conftest import Context
from tests.api.http.test_auth import a_key
from tests.conftest import ROOT

Make = Callable[..., Context]
FILM = "s3://framemill/films/clip.mp4"
IMMEDIATELY = {"auth": True, "render_wait_seconds": 0}
OPTIONS = {"time": 12.5, "width": 640}


@pytest.fixture
def guarded(make_context: Make) -> Context:
    return make_context(api=IMMEDIATELY)


def signing_key(context: Context, headers: dict[str, str]) -> Any:
    answer = context.client.get("/v1/render/signing-key", headers=headers)
    assert answer.status_code == 200, answer.json
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.json


def signed(
    context: Context,
    headers: dict[str, str],
    options: dict[str, Any] | None = None,
    *,
    source: str = FILM,
    extension: str = "jpg",
    expires: int | None = None,
) -> str:
    key = signing_key(context, headers)
    options = OPTIONS if options is None else options
    return render_url("", key, source, options, extension, expires)


def jobs(context: Context) -> list[Any]:
    return context.runtime.store.list(None, limit=100)[0]


def test_given_many_first_requests_then_one_job_makes_the_image(
    guarded: Context,
) -> None:
    url = signed(guarded, a_key(guarded))
    # Two applications, as two processes of the API have them.
    apps = [guarded.client.application, create_app(guarded.runtime)]
    start = threading.Barrier(50)

    def ask(number: int) -> tuple[int, Any]:
        client = apps[number % 2].test_client()
        start.wait()
        answer = client.get(url)
        return answer.status_code, answer.json

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(ask, range(50)))

    assert answers == [(202, {"status": "accepted"})] * 50
    [job] = jobs(guarded)
    assert job.owner == "anna"
    assert job.source.key == "films/clip.mp4"
    [output] = job.outputs
    assert output.spec == {
        "kind": "thumbnail",
        "format": "jpeg",
        "time": 12.5,
        "width": 640,
    }


def test_given_a_rendered_image_then_it_is_served_to_keep(
    guarded: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = signed(guarded, a_key(guarded))
    first = guarded.client.get(url)
    assert (first.status_code, first.headers["Retry-After"]) == (202, "1")
    assert first.headers["Cache-Control"] == "no-store"
    guarded.make(jobs(guarded)[0].id)

    answer = guarded.client.get(url)
    assert (answer.status_code, answer.data) == (200, b"GIF")
    assert answer.headers["Cache-Control"] == "public, max-age=604800"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "clip" not in answer.headers["Content-Disposition"]

    etag = answer.headers["ETag"]
    reads: list[str] = []
    read = guarded.runtime.blobs.read

    def counted(key: str) -> Any:
        reads.append(key)
        return read(key)

    monkeypatch.setattr(guarded.runtime.blobs, "read", counted)
    # A proxy that compresses makes the ETag a weak one.
    for known in (etag, f"W/{etag}"):
        again = guarded.client.get(url, headers={"If-None-Match": known})
        assert (again.status_code, again.data) == (304, b"")
    assert reads == []
    part = guarded.client.get(url, headers={"Range": "bytes=1-1"})
    assert (part.status_code, part.data) == (206, b"I")
    assert len(reads) == 1
    assert len(jobs(guarded)) == 1


def test_given_options_in_another_order_then_it_is_the_same_image(
    guarded: Context,
) -> None:
    header = a_key(guarded)
    for options in ({"time": 1, "width": 64}, {"width": 64, "time": 1, "quality": 80}):
        assert guarded.client.get(signed(guarded, header, options)).status_code == 202
    assert len(jobs(guarded)) == 1


def test_given_the_owner_s_image_then_another_owner_has_one_of_his_own(
    guarded: Context,
) -> None:
    for owner in ("anna", "bert"):
        url = signed(guarded, a_key(guarded, owner=owner))
        assert guarded.client.get(url).status_code == 202
    assert sorted(job.owner for job in jobs(guarded)) == ["anna", "bert"]


@pytest.mark.parametrize(
    "change",
    [
        lambda url: url.replace("time=12.5", "time=13"),
        lambda url: url.replace(".jpg", ".png"),
        lambda url: url + "A",
        lambda url: url.partition("&sig=")[0],
        lambda url: url.partition("?")[0],
        lambda url: url.replace("key=", "key=x"),
        lambda url: url.replace("&sig=", "&sig=%F0%9F"),
        lambda url: url + "&expires=99999999999",
        lambda url: url.replace("/v1/render/c", "/v1/render/d"),
    ],
)
def test_given_a_changed_url_then_403_and_nothing_is_looked_up(
    guarded: Context, change: Callable[[str], str]
) -> None:
    url = change(signed(guarded, a_key(guarded)))
    store = redis.Redis.from_url(guarded.runtime.settings.store.url)
    before = store.info("commandstats")
    answer = guarded.client.get(url)
    assert (answer.status_code, answer.json["code"]) == (403, "forbidden")
    assert answer.headers["Cache-Control"] == "no-store"
    after = store.info("commandstats")
    calls = [
        {name: one["calls"] for name, one in stats.items() if name != "cmdstat_info"}
        for stats in (before, after)
    ]
    assert calls[0] == calls[1]


def test_given_a_url_that_ends_then_caches_end_with_it(guarded: Context) -> None:
    header = a_key(guarded)
    url = signed(guarded, header, expires=int(time.time()) + 100)
    guarded.client.get(url)
    guarded.make(jobs(guarded)[0].id)
    answer = guarded.client.get(url)
    seconds = int(answer.headers["Cache-Control"].rpartition("=")[2])
    assert 60 < seconds <= 100
    over = guarded.client.get(signed(guarded, header, expires=int(time.time()) - 1))
    assert (over.status_code, over.json["detail"]) == (403, "this URL has expired")
    longer = url.replace("expires=", "expires=1")
    assert guarded.client.get(longer).status_code == 403


def test_given_a_revoked_key_then_its_urls_are_refused(make_context: Make) -> None:
    context = make_context(api=IMMEDIATELY)
    header = a_key(context, id="abc")
    url = signed(context, header)
    keys = Keys.connect(context.runtime.settings)
    keys.rotate("abc")
    assert context.client.get(url).status_code == 202
    keys.revoke("abc")
    answer = context.client.get(url)
    assert answer.status_code == 403
    assert "revoked" in answer.json["detail"]


def test_given_a_new_api_secret_then_urls_by_the_earlier_one_still_open(
    make_context: Make,
) -> None:
    old = make_context(api=IMMEDIATELY)
    url = signed(old, a_key(old))
    earlier = old.runtime.settings.api.secret
    api = old.runtime.settings.api.model_copy(
        update={"secret": "n" * 40, "previous_secrets": [earlier]}
    )
    changed = old.runtime.settings.model_copy(update={"api": api})
    client = create_app(replace(old.runtime, settings=changed)).test_client()
    assert client.get(url).status_code == 202


def signed_as(context: Context, key_id: str) -> str:
    """Return a URL by the secret of a key, whether the service has that key or not."""
    secret = signing_secret(context.runtime.settings.api.secret, key_id)
    key = {"key": key_id, "secret": secret}
    return render_url("", key, FILM, OPTIONS, "jpg")


@pytest.mark.parametrize(("auth", "key_id"), [(True, OPEN), (False, "abc")])
def test_given_urls_of_before_keys_were_asked_for_or_no_longer_then_403(
    make_context: Make, auth: bool, key_id: str
) -> None:
    context = make_context(api={**IMMEDIATELY, "auth": auth})
    answer = context.client.get(signed_as(context, key_id))
    assert (answer.status_code, answer.json["code"]) == (403, "forbidden")
    assert "unknown or was revoked" in answer.json["detail"]
    assert jobs(context) == []


def test_given_a_key_that_may_no_longer_submit_then_403_and_no_job(
    guarded: Context,
) -> None:
    a_key(guarded, id="abc", scopes=["read"])
    answer = guarded.client.get(signed_as(guarded, "abc"))
    assert answer.status_code == 403
    assert "may submit no jobs" in answer.json["detail"]
    assert jobs(guarded) == []


def test_given_the_quota_is_used_up_then_429(guarded: Context) -> None:
    header = a_key(guarded, jobs_per_day=1)
    assert guarded.client.get(signed(guarded, header)).status_code == 202
    answer = guarded.client.get(signed(guarded, header, {"time": 3}))
    assert (answer.status_code, answer.json["code"]) == (429, "too_many_requests")
    assert int(answer.headers["Retry-After"]) >= 1
    # What is there is no new job.
    assert guarded.client.get(signed(guarded, header)).status_code == 202


def test_given_the_key_s_buckets_then_no_url_leads_beyond_them(
    guarded: Context,
) -> None:
    header = a_key(guarded, buckets=["framemill"], prefixes=["mine/"])
    answer = guarded.client.get(signed(guarded, header))
    assert (answer.status_code, answer.json["code"]) == (403, "forbidden")
    assert jobs(guarded) == []


def test_given_a_key_that_only_reads_then_it_signs_nothing(guarded: Context) -> None:
    header = a_key(guarded, scopes=["read"])
    answer = guarded.client.get("/v1/render/signing-key", headers=header)
    assert answer.status_code == 403


def test_given_a_purge_then_the_image_is_made_anew(guarded: Context) -> None:
    header = a_key(guarded)
    url = signed(guarded, header)
    place = urlsplit(url).path
    guarded.client.get(url)
    first = jobs(guarded)[0].id
    guarded.make(first)

    assert guarded.client.delete(place).status_code == 401
    assert guarded.client.delete(place, headers=a_key(guarded, owner="b")).json[
        "code"
    ] == ("not_found")
    assert guarded.client.delete(place, headers=header).status_code == 204
    assert guarded.client.delete(place, headers=header).status_code == 404
    assert list(guarded.runtime.blobs.list("out/")) == []

    assert guarded.client.get(url).status_code == 202
    assert [job.id == first for job in jobs(guarded)] == [False]


def test_given_a_film_that_cannot_be_read_then_422_and_later_another_try(
    guarded: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = signed(guarded, a_key(guarded))
    guarded.client.get(url)
    job = jobs(guarded)[0]
    guarded.runtime.jobs.cancel(job.id, job.owner)

    answer = guarded.client.get(url)
    assert (answer.status_code, answer.json["code"]) == (422, "render_failed")
    assert answer.headers["Cache-Control"] == "no-store"

    monkeypatch.setattr(routes, "AGAIN_SECONDS", -1)
    assert guarded.client.get(url).status_code == 202
    assert [one.id for one in jobs(guarded)] == [job.id]


def test_given_a_large_file_then_it_comes_from_the_storage(
    guarded: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "WHOLE_BYTES", 2)
    url = signed(guarded, a_key(guarded), {"start": 1}, extension="gif")
    guarded.client.get(url)
    guarded.make(jobs(guarded)[0].id)
    answer = guarded.client.get(url)
    assert answer.status_code == 302
    place = urlsplit(answer.location)
    file = guarded.client.get(f"{place.path}?{place.query}", buffered=True)
    assert file.data == b"GIF"


@pytest.mark.parametrize(
    ("options", "extension", "pointer", "detail"),
    [
        ({"width": 0}, "jpg", "/spec/width", None),
        ({"widht": 10}, "jpg", "/spec/widht", None),
        ({"count": 3}, "jpg", "/spec/count", "this field cannot be set here"),
        ({"time": "soon"}, "jpg", "/spec/time", None),
        ({"kind": "storyboard"}, "jpg", "/spec/kind", None),
        ({"time": 1}, "bmp", "/spec/format", None),
        ({"name": "x"}, "jpg", "/spec/name", "this field cannot be set here"),
    ],
)
def test_given_a_wrong_option_then_422_names_it(
    guarded: Context,
    options: dict[str, Any],
    extension: str,
    pointer: str,
    detail: str | None,
) -> None:
    url = signed(guarded, a_key(guarded), options, extension=extension)
    answer = guarded.client.get(url)
    assert answer.status_code == 422, answer.json
    assert answer.json["pointer"] == pointer
    assert detail in {None, answer.json["detail"]}
    assert jobs(guarded) == []


@pytest.mark.parametrize("path", ["/v1/render/!!/default.jpg", "/v1/render/_w/x.jpg"])
def test_given_a_path_that_says_nothing_then_422(guarded: Context, path: str) -> None:
    key = signing_key(guarded, a_key(guarded))
    query = {"key": key["key"], "sig": sign_render(key["secret"], path)}
    answer = guarded.client.get(path, query_string=query)
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_request")


def test_given_a_service_without_keys_then_it_signs_for_anybody(
    make_context: Make,
) -> None:
    context = make_context(api={"render_wait_seconds": 0})
    url = signed(context, {}, {"time": "50%"}, source="s3://framemill/a b/ü.mp4")
    assert context.client.get(url).status_code == 202
    [job] = jobs(context)
    assert (job.source.key, job.outputs[0].spec["time"]) == ("a b/ü.mp4", "50%")
    assert context.client.get(url.replace("key=no-key", "key=x")).status_code == 403


def test_given_an_image_that_is_made_meanwhile_then_the_first_request_gets_it(
    make_context: Make,
) -> None:
    context = make_context(api={"auth": True, "render_wait_seconds": 60})
    url = signed(context, a_key(context))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(context.client.get, url)
        deadline = time.monotonic() + 60
        while not jobs(context):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        context.make(jobs(context)[0].id)
        assert first.result(60).data == b"GIF"


@pytest.mark.needs("node")
@pytest.mark.parametrize(
    "case",
    [
        {"source": FILM, "options": OPTIONS, "extension": "webp"},
        {"source": "0" * 32, "options": {}, "extension": "jpg"},
        {
            "source": "https://example.org/ü b.mp4?x=1",
            "options": {"time": "50%", "boomerang": True, "kind": "animation"},
            "extension": "gif",
            "expires": 1_900_000_000,
        },
        {
            "source": "s3://b/k",
            "options": {"kind": "contact_sheet", "background": "#ffe'0(!*~)"},
            "extension": "png",
        },
    ],
)
def test_given_the_same_words_then_javascript_and_python_sign_the_same_url(
    case: dict[str, Any],
) -> None:
    key = {"key": "abc", "secret": hashlib.sha256(b"x").hexdigest()}
    root = "https://media.example.org/"
    script = (
        "const { renderUrl } = await import(process.argv[1]);"
        "const c = JSON.parse(process.argv[2]);"
        "console.log(await renderUrl(c.root, c.key, c.source, c.options, c.extension,"
        " c.expires));"
    )
    told = json.dumps({**case, "root": root, "key": key})
    library = ROOT / "api/web/static/js/render-url.js"
    done = subprocess.run(
        [
            shutil.which("node") or "node",
            "--input-type=module",
            "-e",
            script,
            f"file://{library}",
            told,
        ],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    own = render_url(root, key, **case)
    assert done.stdout.strip() == own
    assert parse_qs(urlsplit(own).query)["sig"]
