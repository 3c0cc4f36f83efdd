"""The log of deliveries over HTTP."""

from __future__ import annotations

import pytest
from standardwebhooks.webhooks import Webhook

from tests.api.context import make_app
from tests.worker.context import SECRET, accept_job, send
from tests.worker.receiver import Reply, receiving

DELIVERIES = "/v1/webhooks/deliveries"
HOOK = {
    "id": "s1",
    "type": "webhook",
    "url": "https://u.test/hook?token=s3cret",
    "secret": SECRET,
    "events": ["job.accepted"],
}


@pytest.fixture
def api_context(tmp_path):
    return make_app(tmp_path)


def test_deliveries_are_listed_newest_first_by_page(api_context):
    runtime, client = api_context
    jobs = [accept_job(runtime, HOOK, owner="") for _ in range(3)]
    first = client.get(f"{DELIVERIES}?limit=2").json
    rest = client.get(f"{DELIVERIES}?limit=2&cursor={first['next']}").json
    found = [one["job_id"] for one in first["deliveries"] + rest["deliveries"]]
    assert sorted(found) == sorted(jobs)
    assert rest["next"] is None


def test_those_of_one_job_are_listed_by_page(api_context):
    runtime, client = api_context
    hook = HOOK | {"events": ["job.*"]}
    job, _ = (accept_job(runtime, hook, owner="") for _ in range(2))
    client.post(f"/v1/jobs/{job}/cancel")
    first = client.get(f"{DELIVERIES}?job={job}&limit=1").json
    rest = client.get(f"{DELIVERIES}?job={job}&cursor={first['next']}").json
    found = first["deliveries"] + rest["deliveries"]
    assert [one["event"] for one in found] == ["job.cancelled", "job.accepted"]
    assert {one["job_id"] for one in found} == {job}
    assert rest["next"] is None


def test_those_of_anothers_job_are_not_listed(api_context):
    runtime, client = api_context
    job = accept_job(runtime, HOOK, owner="somebody")
    assert client.get(f"{DELIVERIES}?job={job}").json["deliveries"] == []
    assert client.get(f"{DELIVERIES}?job=none").status_code == 404


def test_no_answer_shows_a_secret(api_context):
    runtime, client = api_context
    job = accept_job(runtime, HOOK, owner="")
    for path in (DELIVERIES, f"{DELIVERIES}/{job}:n:1", f"/v1/jobs/{job}"):
        shown = client.get(path)
        assert shown.status_code == 200
        assert job in shown.text
        assert "s3cret" not in shown.text
        assert SECRET not in shown.text


def test_another_owners_delivery_is_not_there(api_context):
    runtime, client = api_context
    job = accept_job(runtime, HOOK, owner="somebody")
    assert client.get(DELIVERIES).json["deliveries"] == []
    assert client.get(f"{DELIVERIES}/{job}:n:1").status_code == 404
    assert client.post(f"{DELIVERIES}/{job}:n:1/replay").status_code == 404


@pytest.mark.parametrize(
    "name", ["x", "0" * 32, "0" * 32 + ":n:1", "0" * 32 + ":prepare"]
)
def test_an_unknown_delivery_is_not_there(api_context, name):
    _, client = api_context
    assert client.get(f"{DELIVERIES}/{name}").status_code == 404
    assert client.post(f"{DELIVERIES}/{name}/replay").status_code == 404


def test_a_delivery_that_has_not_ended_cannot_be_replayed(api_context):
    runtime, client = api_context
    job = accept_job(runtime, HOOK, owner="")
    answer = client.post(f"{DELIVERIES}/{job}:n:1/replay")
    assert (answer.status_code, answer.json["code"]) == (409, "conflict")


def test_a_replay_reaches_the_receiver_under_the_same_id(tmp_path):
    with receiving() as server:
        egress = {
            "http": True,
            "ports": [server.port],
            "private_networks": ["127.0.0.0/8"],
        }
        runtime, client = make_app(tmp_path, egress=egress)
        job = accept_job(runtime, HOOK | {"url": server.url}, owner="")
        task = f"{job}:n:1"
        send(runtime, task)
        answer = client.post(f"{DELIVERIES}/{task}/replay")
        assert (answer.status_code, answer.json["status"]) == (202, "queued")
        assert runtime.dispatcher.messages[-1].task == task
        send(runtime, task)
    ids = [request.headers["webhook-id"] for request in server.requests]
    assert ids == [client.get(f"{DELIVERIES}/{task}").json["message_id"]] * 2


def test_the_log_tells_each_attempt(tmp_path):
    with receiving(lambda _r: Reply(500)) as server:
        egress = {
            "http": True,
            "ports": [server.port],
            "private_networks": ["127.0.0.0/8"],
        }
        runtime, client = make_app(tmp_path, egress=egress)
        job = accept_job(runtime, HOOK | {"url": server.url}, owner="")
        send(runtime, f"{job}:n:1")
    (one,) = client.get(DELIVERIES).json["deliveries"]
    assert one["status"] == "queued"
    assert one["next_attempt_at"] is not None
    assert one["attempts"][0]["error"]["detail"] == "the receiver answered 500"


def submit(client, **more):
    body = {"source": {"s3": {"bucket": "framemill", "key": "in/clip.mp4"}}, **more}
    return client.post("/v1/jobs", json=body)


def test_a_job_may_say_who_is_told(tmp_path):
    with receiving() as server:
        egress = {
            "http": True,
            "ports": [server.port],
            "private_networks": ["127.0.0.0/8"],
        }
        runtime, client = make_app(tmp_path, egress=egress)
        one = {"type": "webhook", "url": server.url, "secret": SECRET}
        answer = submit(client, notify=[one | {"events": ["job.accepted"]}])
        assert answer.status_code == 202, answer.text
        send(runtime, f"{answer.json['id']}:n:1")
    (got,) = server.requests
    Webhook(SECRET).verify(got.body, got.headers)


@pytest.mark.parametrize(
    ("one", "pointer"),
    [
        ({"type": "webhook", "url": "ftp://a.test/"}, "/notify/0/url"),
        ({"type": "webhook", "url": "https://u:p@a.test/"}, "/notify/0/url"),
        (
            {"type": "webhook", "url": "https://a.test/", "secret": "x"},
            "/notify/0/secret",
        ),
        ({"type": "webhook"}, "/notify/0/url"),
        ({"type": "email", "to": "nobody"}, "/notify/0/to"),
        ({"type": "email", "to": "a@b.c", "events": ["x y"]}, "/notify/0/events/0"),
    ],
)
def test_a_bad_subscription_is_refused_with_its_place(api_context, one, pointer):
    _, client = api_context
    answer = submit(client, notify=[one])
    assert answer.status_code == 422
    assert answer.json["pointer"] == pointer


def test_a_webhook_that_nobody_could_sign_is_refused(tmp_path):
    _, client = make_app(tmp_path, webhooks={})
    one = {"type": "webhook", "url": "https://a.test/"}

    answer = submit(client, notify=[one])
    signed = submit(client, notify=[one | {"secret": SECRET}])

    assert answer.status_code == 422
    assert answer.json["pointer"] == "/notify/0/secret"
    assert "FRAMEMILL_WEBHOOKS_SECRET" in answer.text
    assert signed.status_code == 202


def test_a_preset_names_the_outputs(api_context):
    _, client = api_context
    names = [one["name"] for one in submit(client, preset="scrubber").json["outputs"]]
    assert names == ["poster", "storyboard"]


@pytest.mark.parametrize(
    "more",
    [{"preset": "none-such"}, {"preset": "web", "outputs": [{"kind": "thumbnail"}]}],
)
def test_a_preset_that_cannot_be_meant_is_refused(api_context, more):
    _, client = api_context
    answer = submit(client, **more)
    assert (answer.status_code, answer.json["pointer"]) == (422, "/preset")
