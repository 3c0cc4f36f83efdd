"""Notices: what a receiver gets, when it is asked again, what the log keeps."""

from __future__ import annotations

import email
import email.policy
import json
import socket
import time
from email.message import EmailMessage

import pytest
from aiosmtpd.controller import Controller
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from structlog.testing import capture_logs

from common.jobs.store import Claim, Opening
from common.model import Artifact, Event, MediaInfo
from common.sealing import seal
from tests.worker.context import SECRET, accept_job, make_runtime, send
from tests.worker.receiver import Reply, receiving
from worker.delivery.mail import Letter, compose
from worker.delivery.webhook import MAX_BODY_BYTES
from worker.retry import RetryPolicy

OTHER_SECRET = "whsec_ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="


def egress(port):
    return {"http": True, "ports": [port], "private_networks": ["127.0.0.0/8"]}


def hook(server, **more):
    return {
        "id": "s1",
        "type": "webhook",
        "url": f"{server.url}/hook",
        "events": ["job.accepted"],
        **more,
    }


def wait_until_due(runtime, task):
    due = runtime.store.delivery(task).not_before
    while due is not None and time.time() * 1000 <= due:
        time.sleep(0.005)


def test_a_webhook_is_verified_by_the_standards_own_library(tmp_path):
    with receiving() as server:
        runtime = make_runtime(tmp_path, egress=egress(server.port))
        job = accept_job(runtime, hook(server), metadata={"mine": 1})
        send(runtime, f"{job}:n:1")
    (got,) = server.requests
    document = Webhook(SECRET).verify(got.body, got.headers)
    assert document["type"] == "job.accepted"
    assert document["data"]["job_id"] == job
    assert document["data"]["job"]["metadata"] == {"mine": 1}
    assert document["data"]["link"] == f"https://frames.test/v1/jobs/{job}"
    assert got.headers["webhook-id"].startswith(f"{job}.")
    assert runtime.store.delivery(f"{job}:n:1").state == "succeeded"


def test_a_subscriptions_own_secret_signs(tmp_path):
    with receiving() as server:
        runtime = make_runtime(tmp_path, egress=egress(server.port))
        job = accept_job(runtime, hook(server, secret=OTHER_SECRET))
        send(runtime, f"{job}:n:1")
    (got,) = server.requests
    Webhook(OTHER_SECRET).verify(got.body, got.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(got.body, got.headers)


def test_a_sealed_secret_signs(tmp_path):
    with receiving() as server:
        runtime = make_runtime(tmp_path, egress=egress(server.port))
        sealed = seal(OTHER_SECRET, runtime.settings.api.secret)
        job = accept_job(runtime, hook(server, secret=sealed))
        send(runtime, f"{job}:n:1")
    (got,) = server.requests
    Webhook(OTHER_SECRET).verify(got.body, got.headers)


@pytest.mark.parametrize("now", ["y" * 32, ""])
def test_a_secret_sealed_by_another_api_secret_is_said_and_tried_again(tmp_path, now):
    with receiving() as server, capture_logs() as logs:
        api = {"secret": now, "public_url": "https://frames.test"}
        runtime = make_runtime(tmp_path, egress=egress(server.port), api=api)
        job = accept_job(runtime, hook(server, secret=seal(OTHER_SECRET, "x" * 32)))
        send(runtime, f"{job}:n:1")
        assert server.touched == 0
    delivery = runtime.store.delivery(f"{job}:n:1")
    assert delivery.state == "queued"
    (attempt,) = delivery.attempts
    assert attempt["error"]["code"] == "secret_unreadable"
    assert "FRAMEMILL_API_SECRET" in attempt["error"]["detail"]
    (said,) = [one for one in logs if one["log_level"] == "error"]
    assert "FRAMEMILL_API_SECRET" in said["error"]
    assert OTHER_SECRET not in json.dumps(logs, default=str)


def test_a_receiver_that_fails_for_a_while_gets_it_later_under_the_same_id(tmp_path):
    answers = iter([500, 302, 429, 204])
    with receiving(lambda _r: Reply(next(answers), {"Location": "/x"}, b"")) as server:
        runtime = make_runtime(
            tmp_path,
            egress=egress(server.port),
            webhooks={"secret": SECRET, "retry_seconds": [0.02, 0.02, 0.02, 0.02]},
        )
        job = accept_job(runtime, hook(server))
        task = f"{job}:n:1"
        for _ in range(4):
            wait_until_due(runtime, task)
            send(runtime, task)
        send(runtime, task)
    assert len({request.headers["webhook-id"] for request in server.requests}) == 1
    assert [request.path for request in server.requests] == ["/hook"] * 4
    delivery = runtime.store.delivery(task)
    assert delivery.state == "succeeded"
    assert delivery.result == {"status": 204}
    failed = [one["error"] and one["error"]["code"] for one in delivery.attempts]
    assert failed == ["receiver_error", "receiver_error", "receiver_error", None]


def test_a_message_that_comes_too_early_sends_nothing(tmp_path):
    with receiving(lambda _r: Reply(500)) as server:
        runtime = make_runtime(
            tmp_path,
            egress=egress(server.port),
            webhooks={"secret": SECRET, "retry_seconds": [600]},
        )
        job = accept_job(runtime, hook(server))
        send(runtime, f"{job}:n:1")
        send(runtime, f"{job}:n:1")
        assert len(server.requests) == 1


def test_a_receiver_that_never_accepts_ends_the_delivery_as_failed(tmp_path):
    with receiving(lambda _r: Reply(500)) as server:
        runtime = make_runtime(tmp_path, egress=egress(server.port))
        job = accept_job(runtime, hook(server))
        task = f"{job}:n:1"
        for _ in range(3):
            wait_until_due(runtime, task)
            send(runtime, task)
        assert len(server.requests) == 2
    assert runtime.store.delivery(task).state == "failed"
    assert runtime.store.get(job).status == "accepted"


def test_a_receiver_that_is_gone_is_not_asked_again(tmp_path):
    with receiving(lambda _r: Reply(410)) as server:
        runtime = make_runtime(tmp_path, egress=egress(server.port))
        job = accept_job(runtime, hook(server))
        send(runtime, f"{job}:n:1")
    delivery = runtime.store.delivery(f"{job}:n:1")
    assert (delivery.state, delivery.error.code) == ("failed", "receiver_gone")


def test_a_receiver_at_a_private_address_is_never_reached(tmp_path):
    with receiving() as canary:
        runtime = make_runtime(tmp_path, egress={"http": True, "ports": [canary.port]})
        job = accept_job(runtime, hook(canary))
        send(runtime, f"{job}:n:1")
        assert canary.touched == 0
    assert runtime.store.delivery(f"{job}:n:1").error.code == "address_refused"


def test_a_receiver_that_is_down_is_tried_again(tmp_path):
    with receiving() as server:
        pass
    runtime = make_runtime(tmp_path, egress=egress(server.port))
    job = accept_job(runtime, hook(server))
    send(runtime, f"{job}:n:1")
    delivery = runtime.store.delivery(f"{job}:n:1")
    assert delivery.state == "queued"
    assert delivery.attempts[0]["error"]["code"] == "unreachable"


def test_a_replay_sends_the_same_id_again(tmp_path):
    with receiving() as server:
        runtime = make_runtime(tmp_path, egress=egress(server.port))
        job = accept_job(runtime, hook(server))
        task = f"{job}:n:1"
        send(runtime, task)
        assert runtime.store.replay_delivery(task).applied
        send(runtime, task)
    first, second = server.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]


def test_a_delivery_outlives_its_job(tmp_path):
    with receiving() as server:
        runtime = make_runtime(tmp_path, egress=egress(server.port))
        job = accept_job(runtime, hook(server))
        runtime.store.delete(job)
        send(runtime, f"{job}:n:1")
    assert json.loads(server.requests[0].body)["data"]["job"] is None


def test_a_payload_stays_under_twenty_kilobytes(tmp_path):
    with receiving() as server:
        runtime = make_runtime(tmp_path, egress=egress(server.port))
        job = accept_job(runtime, hook(server), metadata="\u20ac" * 8000)
        send(runtime, f"{job}:n:1")
    body = server.requests[0].body
    assert len(body) < MAX_BODY_BYTES
    assert json.loads(body)["data"]["job"]["metadata"] is None


def test_a_worker_that_is_told_to_go_gives_the_attempt_back(tmp_path):
    class Leaving:
        def post(self, url, body, headers, *, seconds):
            raise SystemExit

    with receiving() as server:
        runtime = make_runtime(tmp_path, egress=egress(server.port))
        job = accept_job(runtime, hook(server))
        with pytest.raises(SystemExit):
            send(runtime, f"{job}:n:1", egress=Leaving())
        send(runtime, f"{job}:n:1")
    assert runtime.store.delivery(f"{job}:n:1").attempts[0]["attempt"] == 1
    assert len(server.requests) == 1


def test_a_defect_is_logged_as_one_and_tried_again(tmp_path):
    class Broken:
        def post(self, url, body, headers, *, seconds):
            raise KeyError(url)

    with receiving() as server:
        runtime = make_runtime(tmp_path)
        job = accept_job(runtime, hook(server))
        send(runtime, f"{job}:n:1", egress=Broken())
    delivery = runtime.store.delivery(f"{job}:n:1")
    assert delivery.state == "queued"
    assert delivery.attempts[0]["error"]["code"] == "internal_error"
    assert server.url not in json.dumps(delivery.attempts)


def test_without_any_secret_nothing_is_sent(tmp_path):
    with receiving() as server:
        runtime = make_runtime(tmp_path, egress=egress(server.port), webhooks={})
        job = accept_job(runtime, hook(server))
        send(runtime, f"{job}:n:1")
        assert server.touched == 0
    assert runtime.store.delivery(f"{job}:n:1").error.code == "receiver_gone"


def test_the_schedule_lasts_about_a_day_with_jitter(tmp_path):
    settings = make_runtime(tmp_path, webhooks={}).settings
    attempts = range(1, len(settings.webhooks.retry_seconds) + 1)
    policy = RetryPolicy.of("notice", settings)
    shortest = sum(policy.delay(n, 0.0) for n in attempts)
    longest = sum(policy.delay(n, 1.0) for n in attempts)
    assert 18 * 3600 < shortest < 24 * 3600 < longest < 36 * 3600


def test_a_receiver_may_ask_for_a_longer_pause(tmp_path):
    policy = RetryPolicy.of("notice", make_runtime(tmp_path).settings)
    assert policy.delay(1, 0.5, requested=90) == 90
    assert policy.delay(1, 0.5, requested=1e6) == 86_400


class Mailbox:
    def __init__(self, refusal=None):
        self.mails: list[EmailMessage] = []
        self.refusal = refusal

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server, session, envelope, address, options
    ):
        if self.refusal:
            return self.refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - likewise
        self.mails.append(
            email.message_from_bytes(envelope.content, policy=email.policy.default)
        )
        return "250 OK"


@pytest.fixture
def mail_server():
    started = []

    def start(refusal=None):
        box = Mailbox(refusal)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        controller = Controller(box, hostname="127.0.0.1", port=port)
        controller.start()
        started.append(controller)
        return box, {"host": "127.0.0.1", "port": port, "security": "none"}

    yield start
    for controller in started:
        controller.stop()


def mail_to(address="you@example.org", events=("job.completed",)):
    return {"id": "s1", "type": "email", "to": address, "events": list(events)}


def complete(runtime, job, picture):
    path = runtime.settings.blobs.path.parent / "picture"
    path.write_bytes(picture)
    key = f"out/{job}/thumbnail/1/thumbnail.jpg"
    runtime.blobs.put(key, path, content_type="image/jpeg")
    artifact = Artifact(
        name="thumbnail.jpg",
        key=key,
        content_type="image/jpeg",
        bytes=len(picture),
        sha256="0" * 64,
    )
    client = runtime.store
    prepare = client.claim(f"{job}:prepare", "p", "tester")
    assert isinstance(prepare, Claim)

    client.open(
        prepare, MediaInfo(container="mov"), prepare.source, {"thumbnail": Opening()}
    )
    claim = client.claim(f"{job}:o:thumbnail", "o", "tester")
    assert isinstance(claim, Claim)
    client.finish(claim, [artifact])


def test_a_mail_shows_the_thumbnail_inline(tmp_path, mail_server):
    box, smtp = mail_server()
    runtime = make_runtime(tmp_path, smtp=smtp)
    job = accept_job(runtime, mail_to())
    complete(runtime, job, b"\xff\xd8picture")
    send(runtime, f"{job}:n:1")

    (mail,) = box.mails
    assert mail["To"] == "you@example.org"
    assert mail["Subject"] == "Your video is ready: holiday.mp4"
    assert mail.get_content_type() == "multipart/alternative"
    text, page = mail.iter_parts()
    assert text.get_content_type() == "text/plain"
    assert job in text.get_content()
    html, picture = page.iter_parts()
    assert picture.get_content_type() == "image/jpeg"
    assert picture.get_content() == b"\xff\xd8picture"
    assert f"cid:{picture['Content-ID'].strip('<>')}" in html.get_content()
    shared = f"https://frames.test/s/{job}"
    assert shared in html.get_content()
    assert shared in text.get_content()
    assert runtime.store.delivery(f"{job}:n:1").state == "succeeded"


def test_a_mail_without_a_picture_is_sent_all_the_same(tmp_path, mail_server):
    box, smtp = mail_server()
    runtime = make_runtime(tmp_path, smtp=smtp)
    job = accept_job(runtime, mail_to(events=["job.accepted"]))
    send(runtime, f"{job}:n:1")
    assert "cid:" not in box.mails[0].as_string()


def test_a_file_name_cannot_put_html_or_headers_into_a_mail(tmp_path, mail_server):

    runtime = make_runtime(tmp_path)
    job = accept_job(runtime)
    record = runtime.store.get(job)
    name = "<i>x</i>\r\nBcc: a@b.c"
    record = record.model_copy(
        update={"source": record.source.model_copy(update={"name": name})}
    )
    event = Event(id="1-0", type="job.completed", at=0)
    mail = compose(Letter("a@b.c", "m", event, job, record, "/v1"), "f@b.c")
    assert mail["Bcc"] is None
    assert "<i>" not in mail.get_body(("html",)).get_content()


@pytest.mark.parametrize(
    ("refusal", "state", "code"),
    [
        ("550 no such user", "failed", "receiver_gone"),
        ("451 later", "queued", "receiver_error"),
    ],
)
def test_a_refused_recipient(tmp_path, mail_server, refusal, state, code):
    _, smtp = mail_server(refusal)
    runtime = make_runtime(tmp_path, smtp=smtp)
    job = accept_job(runtime, mail_to(events=["job.accepted"]))
    send(runtime, f"{job}:n:1")
    delivery = runtime.store.delivery(f"{job}:n:1")
    assert (delivery.state, delivery.attempts[0]["error"]["code"]) == (state, code)


@pytest.mark.parametrize("address", ["", "x", "a@b\r\nBcc: c@d", "a@b, c@d", "a b@c"])
def test_what_is_no_address_is_not_mailed(tmp_path, mail_server, address):
    box, smtp = mail_server()
    runtime = make_runtime(tmp_path, smtp=smtp)
    job = accept_job(runtime, mail_to(address, events=["job.accepted"]))
    send(runtime, f"{job}:n:1")
    assert box.mails == []
    assert runtime.store.delivery(f"{job}:n:1").error.code == "receiver_gone"
