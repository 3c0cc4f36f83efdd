"""S3 to SQS to poller to job to webhook: every part but Amazon's is the real one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from standardwebhooks.webhooks import Webhook

from tests.chaos.service import Service, until
from tests.conftest import SAMPLE
from tests.e2e.context import BUCKET, assert_pictures, await_job, aws, moto, s3_settings
from tests.worker.context import SECRET
from tests.worker.receiver import Receiver, receiving

ARRIVED = "arrivals"
KEY = "in/red flower+1 ü.mp4"


@dataclass
class Cloud:
    """A bucket, its queue and the dead letters, at one service with a poller."""

    service: Service
    receiver: Receiver
    s3: Any
    sqs: Any
    queue: str
    dead: str

    def put(self, key: str, body: bytes) -> str:
        answer = self.s3.put_object(Bucket=ARRIVED, Key=key, Body=body)
        return answer["ETag"].strip('"')

    def send(self, body: str) -> None:
        self.sqs.send_message(QueueUrl=self.queue, MessageBody=body)

    def event(self, key: str, etag: str) -> str:
        found = {"bucket": {"name": ARRIVED}, "object": {"key": key, "eTag": etag}}
        record = {"eventName": "ObjectCreated:Put", "s3": found}
        return json.dumps({"Records": [record]})

    def await_empty(self) -> None:
        """Wait until nothing waits in the queue or is being worked on."""
        names = [
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
        ]

        def empty() -> bool:
            answer = self.sqs.get_queue_attributes(
                QueueUrl=self.queue, AttributeNames=names
            )
            return all(answer["Attributes"][name] == "0" for name in names)

        until(empty, 120, "the queue is empty")

    def jobs(self, key: str) -> list[dict[str, Any]]:
        page = requests.get(f"{self.service.url}/v1/jobs", timeout=60).json()
        return [job for job in page["jobs"] if job["source"]["key"] == key]

    def heard(self, job_id: str) -> list[Any]:
        """Return what webhooks told of a job; raises where one is not signed."""
        hook = Webhook(SECRET)
        told = [hook.verify(got.body, got.headers) for got in self.receiver.requests]
        return [one for one in told if one["data"]["job_id"] == job_id]

    def dead_letters(self) -> list[dict[str, Any]]:
        answer = self.sqs.receive_message(
            QueueUrl=self.dead,
            MaxNumberOfMessages=10,
            VisibilityTimeout=0,
            MessageAttributeNames=["All"],
        )
        return answer.get("Messages", [])


def settings(receiver: Receiver, endpoint: str, queue: str, dead: str) -> Any:
    rule = {
        "bucket": ARRIVED,
        "prefix": "in/",
        "suffix": ".mp4",
        "preset": "poster",
        "webhook": f"{receiver.url}/hook",
    }
    return s3_settings(endpoint) | {
        "FRAMEMILL_PRESETS": '{"poster": [{"kind": "thumbnail"}]}',
        "FRAMEMILL_SOURCE_BUCKETS": f"{ARRIVED},{BUCKET}",
        "FRAMEMILL_EVENTS_RULES": json.dumps([rule]),
        "FRAMEMILL_EVENTS_QUEUE_URL": queue,
        "FRAMEMILL_EVENTS_DEAD_LETTER_URL": dead,
        "FRAMEMILL_EVENTS_ENDPOINT_URL": endpoint,
        "FRAMEMILL_EVENTS_WAIT_SECONDS": "1",
        "FRAMEMILL_WEBHOOKS_SECRET": SECRET,
        "FRAMEMILL_EGRESS_HTTP": "true",
        "FRAMEMILL_EGRESS_PORTS": str(receiver.port),
        "FRAMEMILL_EGRESS_PRIVATE_NETWORKS": "127.0.0.0/8",
    }


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with moto() as endpoint, receiving() as receiver:
        s3, sqs = aws("s3", endpoint), aws("sqs", endpoint)
        s3.create_bucket(Bucket=ARRIVED)
        queue = sqs.create_queue(QueueName="arrivals")["QueueUrl"]
        dead = sqs.create_queue(QueueName="dead")["QueueUrl"]
        given = settings(receiver, endpoint, queue, dead)
        with Service(tmp_path_factory.mktemp("arrivals"), **given) as service:
            service.start("poller")
            yield Cloud(service, receiver, s3, sqs, queue, dead)


def test_an_object_that_arrives_ends_as_a_signed_webhook(cloud: Cloud) -> None:
    requested = {"QueueUrl": cloud.queue, "AttributeNames": ["QueueArn"]}
    arn = cloud.sqs.get_queue_attributes(**requested)["Attributes"]["QueueArn"]
    rule = {"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}
    cloud.s3.put_bucket_notification_configuration(
        Bucket=ARRIVED, NotificationConfiguration={"QueueConfigurations": [rule]}
    )

    cloud.put(KEY, SAMPLE.read_bytes())
    (job,) = until(lambda: cloud.jobs(KEY), 120, "there is a job")
    (told,) = until(lambda: cloud.heard(job["id"]), 120, "the webhook has come")
    cloud.s3.put_bucket_notification_configuration(
        Bucket=ARRIVED, NotificationConfiguration={}
    )

    assert told["type"] == "job.completed"
    assert len(cloud.jobs(KEY)) == 1
    assert assert_pictures(cloud.service, job["id"])["media"]["video"]["width"] == 640
    cloud.await_empty()
    assert cloud.dead_letters() == [], "S3's own test event is taken silently"


def test_the_same_event_five_times_makes_one_job(cloud: Cloud) -> None:
    etag = cloud.put("in/again.mp4", SAMPLE.read_bytes())

    for _ in range(5):
        cloud.send(cloud.event("in/again.mp4", etag))
    cloud.await_empty()

    (job,) = cloud.jobs("in/again.mp4")
    assert_pictures(cloud.service, job["id"])


def test_events_out_of_order_make_a_job_of_the_object_as_it_is(cloud: Cloud) -> None:
    first = cloud.put("in/twice.mp4", b"an older object")
    last = cloud.put("in/twice.mp4", SAMPLE.read_bytes())

    cloud.send(cloud.event("in/twice.mp4", last))
    cloud.send(cloud.event("in/twice.mp4", first))
    cloud.await_empty()

    (job,) = cloud.jobs("in/twice.mp4")
    assert_pictures(cloud.service, job["id"])


def test_an_encoded_key_is_the_objects(cloud: Cloud) -> None:
    etag = cloud.put("in/100% a&b=c.mp4", SAMPLE.read_bytes())

    cloud.send(cloud.event("in/100%25+a%26b%3Dc.mp4", etag))
    cloud.await_empty()

    (job,) = cloud.jobs("in/100% a&b=c.mp4")
    assert await_job(cloud.service, job["id"])["status"] == "completed"


def test_a_poisonous_message_goes_to_the_dead_letters_and_others_pass(
    cloud: Cloud,
) -> None:
    etag = cloud.put("in/behind.mp4", SAMPLE.read_bytes())

    cloud.send('{"Service": "Amazon S3", "Event": "s3:TestEvent"}')
    cloud.send("poison")
    cloud.send(cloud.event("in/behind.mp4", etag))
    cloud.await_empty()

    (letter,) = cloud.dead_letters()
    reason = letter["MessageAttributes"]["framemill-error"]["StringValue"]
    assert letter["Body"] == "poison"
    assert reason.startswith("bad_request:")
    assert len(cloud.jobs("in/behind.mp4")) == 1
