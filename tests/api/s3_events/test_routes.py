"""Notifications over HTTP: a bearer token, or Amazon's signature."""

from __future__ import annotations

import base64
import datetime as dt
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from flask import Flask
from gunicorn.http.errors import InvalidChunkSize

from api.http import problems as errors
from api.s3_events import routes as s3_events
from api.s3_events import sns
from common.errors import Forbidden
from common.storage.port import BlobInfo
from tests.api.context import BrokenBody
from tests.worker.context import make_runtime

TOKEN = "a-long-random-token"
TOPIC = "arn:aws:sns:us-east-1:123456789012:videos"
CERTIFICATE = "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0a.pem"
CONFIRM = "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&Token=t"
EVENT = {
    "Records": [
        {
            "eventName": "s3:ObjectCreated:Put",
            "s3": {
                "bucket": {"name": "framemill"},
                "object": {"key": "clips/a.mp4", "eTag": "e1"},
            },
        }
    ]
}


@pytest.fixture(scope="module")
def key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def certify(key, days=1):
    now = dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sns")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=2))
        .not_valid_after(now + dt.timedelta(days=days))
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


class ApiContext:
    def __init__(self, folder, certificate, **events):
        rules = [{"bucket": "framemill", "prefix": "clips/", "preset": "web"}]
        self.runtime = make_runtime(
            folder, events={"rules": rules, "topics": [TOPIC]} | events
        )
        self.fetched = []

        def fetch(url):
            self.fetched.append(url)
            return certificate

        app = Flask(__name__)
        errors.register(app)
        app.register_blueprint(s3_events.blueprint(self.runtime, fetch))
        self.client = app.test_client()

    def post(self, document, **headers):
        return self.client.post(
            "/v1/events/s3",
            data=document if isinstance(document, str) else json.dumps(document),
            content_type="text/plain",
            headers=headers,
        )

    def jobs(self):
        return self.runtime.store.list("")[0]


@pytest.fixture
def make_api_context(tmp_path, key, monkeypatch):
    def make(**events):
        api_context = ApiContext(
            tmp_path, certify(key, events.pop("days", 1)), **events
        )
        info = BlobInfo("clips/a.mp4", 5, "e1")
        monkeypatch.setattr(api_context.runtime.blobs, "head", lambda *_, **__: info)
        return api_context

    return make


def signed(key, version="2", **changes):
    now = dt.datetime.now(dt.UTC)
    message = {
        "Type": "Notification",
        "MessageId": "m1",
        "TopicArn": TOPIC,
        "Message": json.dumps(EVENT),
        "Timestamp": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "SignatureVersion": version,
        "SigningCertURL": CERTIFICATE,
    } | changes
    algorithm = hashes.SHA256() if version == "2" else hashes.SHA1()  # noqa: S303
    text = sns.signed_text(message)
    signature = key.sign(text, padding.PKCS1v15(), algorithm)
    return message | {"Signature": base64.b64encode(signature).decode()}


def test_with_the_token_an_arrival_becomes_a_job_once(make_api_context):
    api_context = make_api_context(token=TOKEN)
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    first = api_context.post(EVENT, **bearer)
    again = api_context.post(EVENT, **bearer)
    assert first.status_code == 200, first.text
    (job,) = api_context.jobs()
    assert first.json == {"arrivals": [{"outcome": "created", "job_id": job.id}]}
    assert again.json == {"arrivals": [{"outcome": "known", "job_id": job.id}]}


@pytest.mark.parametrize("given", ["", "Bearer wrong", "Bearer ", "Basic x", "\u20ac"])
def test_without_the_token_nothing_is_taken(make_api_context, given):
    api_context = make_api_context(token=TOKEN)
    answer = api_context.post(
        EVENT, **({"Authorization": given.encode()} if given else {})
    )
    assert answer.status_code == 401
    assert api_context.jobs() == []


def test_until_it_is_set_up_it_is_not_there(make_api_context):
    api_context = make_api_context(topics=[])
    assert api_context.post(EVENT, Authorization="Bearer ").status_code == 404


@pytest.mark.parametrize("document", ["", "{", "{}", '{"Records": [1]}', "[" * 100_000])
def test_what_is_no_notification_is_a_bad_request(make_api_context, document):
    api_context = make_api_context(token=TOKEN)
    answer = api_context.post(document, Authorization=f"Bearer {TOKEN}")
    assert (answer.status_code, answer.json["code"]) == (400, "bad_request")


CHUNKS = "the chunked transfer coding of the body is broken: Invalid chunk size: b'zz'"


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (OSError("gone"), "the body ended before it was complete"),
        (InvalidChunkSize(b"zz"), CHUNKS),
    ],
)
def test_a_body_that_breaks_off_is_a_bad_request(make_api_context, error, detail):
    client = make_api_context(token=TOKEN).client
    broken = {"wsgi.input": BrokenBody(error), "wsgi.input_terminated": True}
    answer = client.post("/v1/events/s3", environ_overrides=broken)
    assert (answer.status_code, answer.json["code"]) == (400, "bad_request")
    assert answer.json["detail"] == detail


def test_a_body_over_the_limit_is_refused(make_api_context):
    api_context = make_api_context(token=TOKEN)
    answer = api_context.post("x" * 300_000, Authorization=f"Bearer {TOKEN}")
    assert answer.status_code == 413


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_message_that_amazon_signed_is_taken(make_api_context, key, version):
    api_context = make_api_context()
    assert api_context.post(signed(key, version)).status_code == 200
    assert api_context.post(signed(key, version, Subject="s")).status_code == 200
    assert len(api_context.jobs()) == 1
    assert api_context.fetched == [CERTIFICATE]


def test_a_subscription_of_our_topic_is_confirmed(make_api_context, key):
    api_context = make_api_context()
    message = signed(
        key, Type="SubscriptionConfirmation", Token="t", SubscribeURL=CONFIRM
    )
    assert api_context.post(message).status_code == 200
    assert api_context.fetched == [CERTIFICATE, CONFIRM]


@pytest.mark.parametrize(
    "changes",
    [
        {"TopicArn": "arn:aws:sns:us-east-1:666666666666:theirs"},
        {"SigningCertURL": "https://evil.test/SimpleNotificationService-0a.pem"},
        {"SigningCertURL": CERTIFICATE.replace("https", "http")},
        {"SigningCertURL": CERTIFICATE.replace("sns.", "sns.evil.test/sns.")},
        {"SigningCertURL": CERTIFICATE.replace("//sns", "//evil.test@sns")},
        {"SigningCertURL": "https://sns.us-east-1.amazonaws.com/bucket/x.pem"},
        {"SigningCertURL": CERTIFICATE + "?x=1"},
        {"Timestamp": "2020-01-01T00:00:00.000Z"},
        {"Timestamp": "yesterday"},
        {"SignatureVersion": "3"},
    ],
)
def test_a_message_that_is_not_as_amazon_sends_it_is_refused(
    make_api_context, key, changes
):
    api_context = make_api_context()
    answer = api_context.post(signed(key, **changes))
    assert answer.status_code == 403
    assert api_context.jobs() == []
    assert [url for url in api_context.fetched if url != CERTIFICATE] == []


def test_a_message_changed_on_its_way_is_refused(make_api_context, key):
    api_context = make_api_context()
    message = signed(key) | {"Message": json.dumps(EVENT) + " "}
    assert api_context.post(message).status_code == 403


def test_a_message_signed_by_another_key_is_refused(make_api_context):
    api_context = make_api_context()
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert api_context.post(signed(other)).status_code == 403


def test_a_certificate_that_has_run_out_is_refused(make_api_context, key):
    api_context = make_api_context(days=-1)
    assert api_context.post(signed(key)).status_code == 403


def test_a_confirmation_that_leads_elsewhere_is_not_followed(make_api_context, key):
    api_context = make_api_context()
    message = signed(
        key,
        Type="SubscriptionConfirmation",
        Token="t",
        SubscribeURL="http://169.254.169.254/",
    )
    assert api_context.post(message).status_code == 403
    assert api_context.fetched == [CERTIFICATE]


@pytest.mark.parametrize(
    "host",
    [
        *("sns.us-east-1.amazonaws.com", "sns.ap-southeast-5.amazonaws.com"),
        *("sns.us-gov-west-1.amazonaws.com", "sns.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_a_certificate_of_any_region_is_asked_for(make_api_context, key, host):
    api_context = make_api_context()
    url = f"https://{host}/SimpleNotificationService-0a.pem"
    assert api_context.post(signed(key, SigningCertURL=url)).status_code == 200
    assert api_context.fetched == [url]


@pytest.mark.parametrize(
    "url",
    [
        *("https://evil.test/", "http://sns.us-east-1.amazonaws.com/", "file:///x"),
        # Buckets of S3 that are called "sns", and what is no region.
        *("https://sns.s3-us-west-2.amazonaws.com/x", "https://sns.s3.amazonaws.com/x"),
        *("https://sns.s3-fips.us-east-1.amazonaws.com/x",),
        *("https://sns.s3-accelerate.amazonaws.com/x", "https://sns.x.amazonaws.com/"),
        *("https://sns.us-east-1.amazonaws.com:8443/", "https://sns.us-1@evil.test/"),
    ],
)
def test_nothing_but_amazons_hosts_is_ever_fetched(url):
    with pytest.raises(Forbidden):
        sns.fetch(url)
