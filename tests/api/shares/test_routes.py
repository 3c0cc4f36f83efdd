"""A shared job: what its link shows, what it does not, and when it ends."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from common.errors import SourceNotFound
from common.model import ErrorInfo
from common.storage.links import share_token
from common.storage.signing import seal
from tests.api.conftest import Context
from tests.api.http.test_auth import a_key

Make = Callable[..., Context]


@pytest.fixture
def guarded(make_context: Make) -> Context:
    return make_context(api={"auth": True})


def made(context: Context, anna: dict[str, str], **body: Any) -> str:
    """Make a job of Anna's; returns its id."""
    source = {"s3": {"bucket": "framemill", "key": "secret-folder/clip.mp4"}}
    document = {"source": source, "metadata": {"secret": "note"}, **body}
    job: str = context.client.post("/v1/jobs", json=document, headers=anna).json["id"]
    context.make(job)
    return job


def share(context: Context, job: str, headers: dict[str, str], **terms: Any) -> Any:
    return context.client.post(f"/v1/jobs/{job}/share", json=terms, headers=headers)


def test_a_link_shows_the_job_and_its_files_to_anybody(guarded: Context) -> None:
    anna = a_key(guarded)
    job = made(guarded, anna)
    answer = share(guarded, job, anna)
    assert answer.status_code == 201
    shown = guarded.client.get(answer.json["url"])
    assert shown.headers["Cache-Control"] == "no-store"
    assert (shown.json["id"], shown.json["name"]) == (job, "clip.mp4")
    assert shown.json["status"] == "completed"
    assert shown.json["shared_until"] == answer.json["expires_at"]
    for output in shown.json["outputs"]:
        (artifact,) = output["artifacts"]
        file = guarded.client.get(artifact["url"], follow_redirects=True, buffered=True)
        assert (file.status_code, file.data) == (200, b"GIF")
    zipped = guarded.client.get(shown.json["links"]["archive"])
    with zipfile.ZipFile(io.BytesIO(zipped.data)) as found:
        assert len(found.namelist()) == 2


def test_it_shows_nothing_that_concerns_the_owner_alone(guarded: Context) -> None:
    anna = a_key(guarded)
    url = share(guarded, made(guarded, anna), anna).json["url"]
    shown = guarded.client.get(url).json
    text = json.dumps(shown)
    assert "secret" not in text
    assert "bucket" not in text
    assert "/v1/jobs/" not in text
    assert shown["links"]["media"] is None


def test_an_error_is_shown_without_the_owners_names(guarded: Context) -> None:
    anna = a_key(guarded)
    source = {"s3": {"bucket": "framemill", "key": "secret-folder/clip.mp4"}}
    job = guarded.client.post("/v1/jobs", json={"source": source}, headers=anna).json
    job = job["id"]
    error = SourceNotFound("there is no secret-folder/clip.mp4 in the bucket framemill")
    claim = guarded.claim(f"{job}:prepare")
    info = ErrorInfo.model_validate(error.as_dict())
    guarded.runtime.store.release(claim, "fatal", error=info)
    url = share(guarded, job, anna).json["url"]
    shown = guarded.client.get(url).json
    assert shown["status"] == "failed"
    assert shown["error"]["code"] == "source_not_found"
    assert shown["error"]["detail"] == shown["error"]["title"]
    assert "secret" not in json.dumps(shown)


def test_it_shows_the_video_only_where_that_was_asked_for(guarded: Context) -> None:
    anna = a_key(guarded)
    url = share(guarded, made(guarded, anna), anna, source=True).json["url"]
    assert "/source?" in guarded.client.get(url).json["links"]["media"]


def test_the_links_in_it_end_with_it(guarded: Context) -> None:
    anna = a_key(guarded)
    job = made(guarded, anna)
    url = share(guarded, job, anna, hours=1, source=True).json["url"]
    links = guarded.client.get(url).json["links"]
    in_an_hour = time.time() + 3600
    ends = [
        int(links["thumbnail"].split("/")[-2].partition("-")[0]),
        int(links["media"].partition("?e=")[2].partition("&")[0]),
    ]
    assert all(end <= in_an_hour for end in ends)
    week = share(guarded, job, anna, hours=720).json["url"]
    later = guarded.client.get(week).json["links"]["thumbnail"]
    assert int(later.split("/")[-2].partition("-")[0]) > in_an_hour


def test_it_opens_nothing_else(guarded: Context) -> None:
    anna = a_key(guarded)
    job = made(guarded, anna)
    token = share(guarded, job, anna).json["url"].rpartition("/")[2]
    client = guarded.client
    paths = [f"/v1/jobs/{job}", f"/v1/jobs/{job}/archive", "/v1/jobs", "/metrics"]
    for headers in ({"Authorization": f"Bearer {token}"}, {"X-Api-Key": token}):
        assert [client.get(one, headers=headers).status_code for one in paths] == [
            401
        ] * 4
    client.set_cookie("framemill_session", token)
    assert [client.get(one).status_code for one in paths] == [401] * 4
    opens = token[33:]
    assert client.get(f"/v1/files/{job}/thumbnail/1/{opens}/x").status_code == 403
    assert client.post(f"/s/{token}").status_code == 405
    assert client.delete(f"/s/{token}").status_code == 405


def test_a_token_is_for_one_job_one_time_and_one_purpose(guarded: Context) -> None:
    anna = a_key(guarded)
    job, other = made(guarded, anna), made(guarded, anna)
    settings = guarded.runtime.settings
    token = share(guarded, job, anna).json["url"].rpartition("/")[2]
    expiry, _, signature = token[33:].partition("-")
    forged = [
        other + token[32:],
        f"{job}v{token[33:]}",
        f"{job}p{int(expiry) + 1}-{signature}",
        f"{token[:-1]}{'A' if token[-1] != 'A' else 'B'}",
        f"{job}p" + seal(settings.api.secret, "file", f"/s/{job}p", int(expiry)),
        f"{job}p" + seal(settings.api.secret, "share", f"/s/{other}p", int(expiry)),
        f"{job}p" + seal("y" * 40, "share", f"/s/{job}p", int(expiry)),
    ]
    statuses = {guarded.client.get(f"/s/{one}").status_code for one in forged}
    assert statuses == {403}


@pytest.mark.parametrize("token", ["x", "0" * 32, "0" * 32 + "p1-x", "é", "p" * 5000])
def test_what_is_no_token_is_404(guarded: Context, token: str) -> None:
    assert guarded.client.get(f"/s/{token}").status_code == 404
    assert guarded.client.get(f"/s/{token}/archive").status_code == 404


def test_it_expires(guarded: Context) -> None:
    anna = a_key(guarded)
    job = made(guarded, anna)
    settings = guarded.runtime.settings
    token = share_token(settings, job, int(time.time()) - 1, source=False)
    for path in (f"/s/{token}", f"/s/{token}/archive"):
        answer = guarded.client.get(path)
        assert (answer.status_code, answer.json["code"]) == (403, "forbidden")
        assert "expired" in answer.json["detail"]


def test_it_ends_with_the_job(guarded: Context) -> None:
    anna = a_key(guarded)
    job = made(guarded, anna)
    url = share(guarded, job, anna).json["url"]
    guarded.client.delete(f"/v1/jobs/{job}", headers=anna)
    assert guarded.client.get(url).status_code == 404


def test_only_the_owner_shares_a_job(guarded: Context) -> None:
    anna = a_key(guarded)
    job = made(guarded, anna)
    reader = a_key(guarded, scopes=["read"])
    assert share(guarded, job, a_key(guarded, owner="ben")).status_code == 404
    assert share(guarded, job, reader).status_code == 403
    assert share(guarded, job, {}).status_code == 401


@pytest.mark.parametrize(
    ("terms", "pointer"),
    [
        ({"hours": 0}, "/hours"),
        ({"hours": 721}, "/hours"),
        ({"hours": "1"}, "/hours"),
        ({"source": 1}, "/source"),
        ({"more": 1}, "/more"),
    ],
)
def test_terms_beyond_their_bounds_are_refused(
    guarded: Context, terms: dict[str, Any], pointer: str
) -> None:
    anna = a_key(guarded)
    answer = share(guarded, made(guarded, anna), anna, **terms)
    assert (answer.status_code, answer.json["pointer"]) == (422, pointer)


def test_no_body_is_as_good_as_the_defaults(guarded: Context) -> None:
    anna = a_key(guarded)
    path = f"/v1/jobs/{made(guarded, anna)}/share"
    answer = guarded.client.post(path, headers=anna)
    assert (answer.status_code, answer.json["source"]) == (201, False)
