"""Notifications of S3 in all their forms."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from common.access.keys import KeyRecord
from common.errors import BadRequest
from common.ingest.s3_notifications import (
    S3Notification,
    S3Notifications,
    job_options,
    match,
    read_notification,
)
from common.settings.sections import EventRule
from tests.worker.context import keys_of, make_runtime


def record(key="in/a.mp4", name="ObjectCreated:Put", **thing):
    return {
        "eventSource": "aws:s3",
        "eventName": name,
        "s3": {
            "bucket": {"name": "videos"},
            "object": {"key": key, "size": 5, "eTag": "e1", "sequencer": "0A", **thing},
        },
    }


def read(document):
    return read_notification(json.dumps(document))


def test_s3s_own_form():
    (got,) = read({"Records": [record(versionId="v1")]})
    assert got == S3Notification("videos", "in/a.mp4", 5, "e1", "v1", "0A")


def test_minios_form_has_its_own_event_name():
    document = {
        "EventName": "s3:ObjectCreated:Put",
        "Key": "videos/in/a.mp4",
        "Records": [record(name="s3:ObjectCreated:Put")],
    }
    assert [one.key for one in read(document)] == ["in/a.mp4"]


def test_inside_an_sns_message():
    inner = json.dumps({"Records": [record()]})
    assert read({"Type": "Notification", "Message": inner})[0].key == "in/a.mp4"


def test_eventbridges_form_has_plain_keys():
    document = {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": {
            "bucket": {"name": "videos"},
            "object": {"key": "a+b%20c.mp4", "size": 5, "etag": "e1"},
        },
    }
    assert read(document)[0].key == "a+b%20c.mp4"


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("red+flower.mp4", "red flower.mp4"),
        ("a%2Bb.mp4", "a+b.mp4"),
        ("%E2%82%AC/%2525.mp4", "\u20ac/%25.mp4"),
    ],
)
def test_s3_writes_keys_as_forms_do(written, key):
    assert read({"Records": [record(written)]})[0].key == key


@pytest.mark.parametrize(
    "document",
    [
        {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "videos"},
        {"Type": "Notification", "Message": '{"Event": "s3:TestEvent"}'},
        {"Records": [record(name="ObjectRemoved:Delete")]},
        {"Records": []},
        {"source": "aws.s3", "detail-type": "Object Deleted", "detail": {}},
    ],
)
def test_what_creates_nothing_is_no_arrival(document):
    assert read(document) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        "[]",
        "null",
        "{}",
        '{"Records": [{}]}',
        '{"Records": ["x"]}',
        '{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {}}}]}',
        '{"Type": "Notification", "Message": "hello"}',
        '{"Type": "Notification"}',
        '{"source": "aws.ec2", "detail-type": "x"}',
        json.dumps({"Records": [record(key=7)]}),
        json.dumps({"Records": [record(key="%FF")]}),
        b"\xff\xfe",
        "[" * 100_000,
    ],
)
def test_what_is_no_notification_is_refused(text):
    with pytest.raises(BadRequest):
        read_notification(text)


def test_repetitions_have_one_identity_and_versions_have_their_own():
    once = S3Notification("b", "k", 5, "e1", None, "0A")
    again = S3Notification("b", "k", 5, "e1", None, "0B")
    assert once.identity == again.identity
    others = {
        once.identity,
        S3Notification("b", "k", 5, "e2").identity,
        S3Notification("b", "k", 5, "e1", "v1").identity,
        S3Notification("b", "k2", 5, "e1").identity,
        S3Notification("b2", "k", 5, "e1").identity,
    }
    assert len(others) == 5


def test_the_first_rule_that_matches_counts():
    rules = [
        EventRule(bucket="b", prefix="in/", suffix=".mp4", preset="web"),
        EventRule(bucket="b", prefix="in/", preset="social"),
    ]
    found = [
        match(rules, S3Notification(bucket, key))
        for bucket, key in [("b", "in/a.mp4"), ("b", "in/a.mov"), ("c", "in/a.mp4")]
    ]
    assert [one and one.preset for one in found] == ["web", "social", None]


def rule(**more):
    return EventRule.model_validate({"bucket": "videos", "preset": "default", **more})


def context(tmp_path, one, **events):
    return make_runtime(
        tmp_path,
        blobs={"path": tmp_path / "blobs", "bucket": "videos"},
        events={"rules": [one], **events},
    )


def arrive(runtime, key):
    with runtime.blobs.writer(key, content_type="video/mp4") as writer:
        writer.write(b"film")
        writer.commit()
    notifications = S3Notifications(
        runtime.settings, runtime.jobs, runtime.blobs, keys_of(runtime)
    )
    return notifications.admit(S3Notification("videos", key))


def admit(tmp_path, key, **destination):
    """Have an object arrive; gives what came of it and the job's options."""
    one = rule(destination={"bucket": "videos", **destination})
    runtime = context(tmp_path, one)
    admission = arrive(runtime, key)
    job = admission.job_id and runtime.store.get(admission.job_id)
    return admission.outcome, job and job.options


CASE = {
    "id": "w1",
    "type": "webhook",
    "url": "https://case.test/",
    "secret": "",
    "events": ["job.accepted"],
}


def told(tmp_path, one, *, owner="case"):
    """Have an object arrive where the key case has a webhook; gives who is told."""
    runtime = context(tmp_path, one, owner=owner)
    keys_of(runtime).create(
        KeyRecord(id="case", name="case", owner="case", webhooks=[CASE])
    )
    assert arrive(runtime, "in/a.mp4").outcome == "created"
    found, _ = runtime.store.deliveries(owner, limit=10)
    return [delivery.subscription.url for delivery in found]


def test_the_webhooks_of_the_owners_key_are_told(tmp_path):
    assert told(tmp_path, rule()) == ["https://case.test/"]


def test_a_rule_names_the_key_whose_webhooks_are_told(tmp_path):
    assert told(tmp_path, rule(webhooks_of="case"), owner="") == ["https://case.test/"]


@pytest.mark.parametrize("named", ["", "nobody"])
def test_a_rule_may_tell_no_keys_webhooks(tmp_path, named):
    assert told(tmp_path, rule(webhooks_of=named)) == []


def test_an_owner_that_is_no_keys_id_tells_nobody(tmp_path):
    assert told(tmp_path, rule(), owner="team") == []


def test_a_rules_destination_is_named_after_the_object(tmp_path):
    outcome, options = admit(tmp_path, "in/a.mp4", prefix="thumbs/{key}/")
    assert outcome == "created"
    target = options.destination
    assert (target.bucket, target.prefix) == ("videos", "thumbs/in/a.mp4")


def test_what_lies_at_a_rules_destination_starts_no_job(tmp_path):
    outcome, _ = admit(tmp_path, "thumbs/in/a.mp4/p/p.mp4", prefix="thumbs/{key}")
    assert outcome == "own"


def test_a_key_cannot_lead_out_of_the_prefix(tmp_path):
    notification = S3Notification("videos", "in/../../etc//x")
    given = rule(destination={"bucket": "b", "prefix": "t/{key}"})
    assert job_options(given, notification).destination.prefix == "t/in/etc/x"


@pytest.mark.parametrize("prefix", ["", "thumbs", "/thumbs/{key}"])
def test_a_rules_destination_keeps_jobs_apart(prefix):
    with pytest.raises(ValidationError, match="prefix"):
        rule(destination={"bucket": "b", "prefix": prefix})
