"""Notifications of S3 in all their forms."""

from __future__ import annotations

import json

import pytest

from common.arrivals import Arrival, match, read_notification
from common.errors import BadRequest
from common.sections import EventRule


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
    assert got == Arrival("videos", "in/a.mp4", 5, "e1", "v1", "0A")


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
    once = Arrival("b", "k", 5, "e1", None, "0A")
    again = Arrival("b", "k", 5, "e1", None, "0B")
    assert once.identity == again.identity
    others = {
        once.identity,
        Arrival("b", "k", 5, "e2").identity,
        Arrival("b", "k", 5, "e1", "v1").identity,
        Arrival("b", "k2", 5, "e1").identity,
        Arrival("b2", "k", 5, "e1").identity,
    }
    assert len(others) == 5


def test_the_first_rule_that_matches_counts():
    rules = [
        EventRule(bucket="b", prefix="in/", suffix=".mp4", preset="web"),
        EventRule(bucket="b", prefix="in/", preset="social"),
    ]
    found = [
        match(rules, Arrival(bucket, key))
        for bucket, key in [("b", "in/a.mp4"), ("b", "in/a.mov"), ("c", "in/a.mp4")]
    ]
    assert [one and one.preset for one in found] == ["web", "social", None]
