"""S3 to SQS to jobs, against moto's servers."""

from __future__ import annotations

import json
import threading
import time

import boto3
import pytest
from moto.server import ThreadedMotoServer

from common.errors import StoreUnavailable
from common.ingest.s3_notifications import S3Notifications
from common.jobs.store import Claim
from common.model import ErrorInfo
from tests.worker.context import keys_of, make_runtime, send
from tests.worker.receiver import receiving
from worker.s3_poller import Poller, open_queue

KEYS = {"access_key_id": "test", "secret_access_key": "test", "region": "us-east-1"}


@pytest.fixture(scope="module")
def endpoint():
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


class Cloud:
    """A fresh bucket, its queue and a dead-letter queue."""

    def __init__(self, endpoint, name):
        given = {
            "endpoint_url": endpoint,
            "region_name": "us-east-1",
            "aws_access_key_id": "test",
            "aws_secret_access_key": "test",
        }
        self.s3 = boto3.client("s3", **given)
        self.sqs = boto3.client("sqs", **given)
        self.bucket = name
        self.s3.create_bucket(Bucket=name)
        self.url = self.sqs.create_queue(
            QueueName=name, Attributes={"VisibilityTimeout": "0"}
        )["QueueUrl"]
        self.dead = self.sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]

    def notify(self):
        arn = self.sqs.get_queue_attributes(
            QueueUrl=self.url, AttributeNames=["QueueArn"]
        )["Attributes"]["QueueArn"]
        self.s3.put_bucket_notification_configuration(
            Bucket=self.bucket,
            NotificationConfiguration={
                "QueueConfigurations": [
                    {"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}
                ]
            },
        )

    def put(self, key, body=b"video"):
        return self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)["ETag"].strip(
            '"'
        )

    def send(self, body):
        self.sqs.send_message(QueueUrl=self.url, MessageBody=body)

    def left(self, url=None):
        answer = self.sqs.get_queue_attributes(
            QueueUrl=url or self.url, AttributeNames=["ApproximateNumberOfMessages"]
        )
        return int(answer["Attributes"]["ApproximateNumberOfMessages"])

    def event(self, key, etag):
        return json.dumps(
            {
                "Records": [
                    {
                        "eventName": "ObjectCreated:Put",
                        "s3": {
                            "bucket": {"name": self.bucket},
                            "object": {"key": key, "eTag": etag},
                        },
                    }
                ]
            }
        )


@pytest.fixture
def cloud(endpoint, request):
    name = f"b{abs(hash(request.node.name)) % 10**12}"
    return Cloud(endpoint, name)


@pytest.fixture
def make(cloud, endpoint, tmp_path):
    def make_poller(rule=None, **more):
        events = {
            "rules": [
                {"bucket": cloud.bucket, "suffix": ".mp4", "preset": "web"}
                | (rule or {})
            ],
            "owner": "bucket",
            "queue_url": cloud.url,
            "dead_letter_url": cloud.dead,
            "endpoint_url": endpoint,
            "wait_seconds": 0,
        }
        runtime = make_runtime(
            tmp_path,
            blobs={"backend": "s3", "bucket": "framemill"},
            s3={"endpoint_url": endpoint, **KEYS},
            source={"buckets": [cloud.bucket, "framemill"]},
            events=events | more.pop("events", {}),
            **more,
        )
        keys = keys_of(runtime)
        notifications = S3Notifications(
            runtime.settings, runtime.jobs, runtime.blobs, keys
        )
        poller = Poller(runtime.settings, notifications, open_queue(runtime.settings))
        return runtime, poller

    return make_poller


def drain(poller):
    while poller.poll():
        pass


def jobs(runtime):
    return runtime.store.list("bucket")[0]


def test_an_object_that_arrives_becomes_a_job_and_its_end_a_webhook(cloud, make):
    with receiving() as server:
        runtime, poller = make(
            {"webhook": f"{server.url}/hook"},
            egress={
                "http": True,
                "ports": [server.port],
                "private_networks": ["127.0.0.0/8"],
            },
        )
        cloud.notify()
        etag = cloud.put("in/red flower+1.mp4")
        drain(poller)

        (job,) = jobs(runtime)
        assert (job.source.key, job.source.etag) == ("in/red flower+1.mp4", etag)
        assert job.outputs[0].name == "poster"
        assert runtime.dispatcher.messages[0].task == f"{job.id}:prepare"
        assert cloud.left() == 0

        claim = runtime.store.claim(f"{job.id}:prepare", "t", "tester")
        assert isinstance(claim, Claim)
        error = ErrorInfo(code="decode_error", title="", detail="")
        ended = runtime.store.release(claim, "fatal", error=error)
        messages = [message for message in ended.messages if message.kind == "notice"]
        assert len(messages) == 1
        send(runtime, messages[0].task)
    (got,) = server.requests
    assert json.loads(got.body)["type"] == "job.failed"


def test_the_same_event_five_times_makes_one_job(cloud, make):
    runtime, poller = make()
    etag = cloud.put("a.mp4")
    for _ in range(5):
        cloud.send(cloud.event("a.mp4", etag))
    drain(poller)
    assert len(jobs(runtime)) == 1
    assert cloud.left() == 0


def test_events_in_the_wrong_order_make_a_job_for_the_latest_object_alone(cloud, make):
    runtime, poller = make()
    first = cloud.put("a.mp4", b"old")
    second = cloud.put("a.mp4", b"new")
    cloud.send(cloud.event("a.mp4", second))
    cloud.send(cloud.event("a.mp4", first))
    drain(poller)
    assert [job.source.etag for job in jobs(runtime)] == [second]


def test_an_object_that_is_gone_makes_no_job_and_no_dead_letter(cloud, make):
    runtime, poller = make()
    cloud.send(cloud.event("gone.mp4", "e1"))
    drain(poller)
    assert jobs(runtime) == []
    assert (cloud.left(), cloud.left(cloud.dead)) == (0, 0)


def test_what_no_rule_wants_is_let_go(cloud, make):
    runtime, poller = make()
    cloud.send(cloud.event("a.txt", cloud.put("a.txt")))
    drain(poller)
    assert jobs(runtime) == []
    assert cloud.left() == 0


def test_our_own_results_start_nothing(cloud, make):
    runtime, poller = make({"bucket": "framemill", "suffix": ""})
    cloud.bucket = "framemill"
    cloud.s3.create_bucket(Bucket="framemill")
    key = f"out/{'0' * 32}/thumbnail/1/thumbnail.mp4"
    cloud.send(cloud.event(key, cloud.put(key)))
    drain(poller)
    assert jobs(runtime) == []


def test_a_test_event_is_taken_silently(cloud, make):
    _, poller = make()
    cloud.send('{"Service": "Amazon S3", "Event": "s3:TestEvent"}')
    drain(poller)
    assert (cloud.left(), cloud.left(cloud.dead)) == (0, 0)


def test_a_poisonous_message_goes_to_the_dead_letters_with_its_reason(cloud, make):
    runtime, poller = make()
    cloud.send("poison")
    cloud.send(cloud.event("a.mp4", cloud.put("a.mp4")))
    drain(poller)
    assert len(jobs(runtime)) == 1
    assert cloud.left() == 0
    (dead,) = cloud.sqs.receive_message(
        QueueUrl=cloud.dead, MessageAttributeNames=["All"]
    )["Messages"]
    assert dead["Body"] == "poison"
    reason = dead["MessageAttributes"]["framemill-error"]["StringValue"]
    assert reason.startswith("bad_request:")


def test_a_rule_with_an_unknown_preset_buries_the_message(cloud, make):
    runtime, poller = make({"preset": "no-such"})
    cloud.send(cloud.event("a.mp4", cloud.put("a.mp4")))
    drain(poller)
    assert jobs(runtime) == []
    assert cloud.left(cloud.dead) == 1


def test_without_a_dead_letter_queue_poison_is_left_to_the_queues_policy(cloud, make):
    _, poller = make(events={"dead_letter_url": None})
    cloud.send("poison")
    assert poller.poll() == 1
    assert cloud.left() == 1


def test_while_the_store_is_away_messages_are_kept(cloud, make, monkeypatch):
    runtime, poller = make()
    cloud.send(cloud.event("a.mp4", cloud.put("a.mp4")))

    def away(*_, **__):
        raise StoreUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(runtime.store, "accept", away)
        with pytest.raises(StoreUnavailable):
            poller.poll()
    assert cloud.left() == 1
    drain(poller)
    assert len(jobs(runtime)) == 1


def test_what_makes_us_fail_is_buried_after_a_few_times(cloud, make, monkeypatch):
    runtime, poller = make(events={"max_receives": 3})
    cloud.send(cloud.event("a.mp4", cloud.put("a.mp4")))

    def broken(*_, **__):
        raise KeyError("defect")

    monkeypatch.setattr(runtime.store, "accept", broken)
    seen = 0
    while poller.poll():
        seen += 1
    assert seen == 3
    assert cloud.left(cloud.dead) == 1


def test_the_loop_ends_when_told(cloud, make):
    runtime, poller = make()
    cloud.send(cloud.event("a.mp4", cloud.put("a.mp4")))
    stop = threading.Event()
    thread = threading.Thread(target=poller.run, args=(stop,), daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not jobs(runtime) and time.monotonic() < deadline:
        time.sleep(0.02)
    stop.set()
    thread.join(60)
    assert not thread.is_alive()
    assert len(jobs(runtime)) == 1
