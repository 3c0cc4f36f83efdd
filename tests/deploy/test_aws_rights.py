"""Each role on AWS may do what its part was seen to do, and nothing more."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.chaos.service import Service, until
from tests.conftest import SAMPLE
from tests.deploy.aws_app import Template
from tests.deploy.aws_calls import Needs, Recorder, recorded
from tests.e2e.context import (
    BUCKET,
    THUMBNAIL,
    assert_pictures,
    await_job,
    aws,
    enlarge,
    s3_settings,
)
from tests.ports import free_port

pytestmark = pytest.mark.deploy

VIDEOS, PUBLISHED, EVENTS, DEAD = "videos", "published", "events", "dead-events"
ARNS = {
    BUCKET: "arn:Files8E6940B8",
    VIDEOS: "arn:Videos88AE8DA0",
    PUBLISHED: "arn:Published616FB537",
    EVENTS: "arn:EventsD32975C2",
    DEAD: "arn:DeadEvents7EC95A9C",
}
MIB = 2**20
PARTS = {
    "api": "api",
    "worker-fast": "worker",
    "worker-slow": "worker",
    "reaper": "sweep",
    "poller": "poller",
}


class Parts(Service):
    """A service whose parts have access keys of their own."""

    def start(self, name: str) -> None:
        self.environment["FRAMEMILL_S3_ACCESS_KEY_ID"] = name
        super().start(name)


def settings(endpoint: str, sqs: Any, port: int) -> dict[str, str]:
    urls = [sqs.create_queue(QueueName=name)["QueueUrl"] for name in (EVENTS, DEAD)]
    return s3_settings(endpoint) | {
        "FRAMEMILL_STORE_DURABILITY": "storage",
        "FRAMEMILL_SOURCE_BUCKETS": VIDEOS,
        "FRAMEMILL_BLOBS_DESTINATIONS": PUBLISHED,
        "FRAMEMILL_PRESETS": json.dumps({"arrived": THUMBNAIL}),
        "FRAMEMILL_EVENTS_RULES": json.dumps([{"bucket": VIDEOS, "preset": "arrived"}]),
        "FRAMEMILL_EVENTS_QUEUE_URL": urls[0],
        "FRAMEMILL_EVENTS_DEAD_LETTER_URL": urls[1],
        "FRAMEMILL_EVENTS_ENDPOINT_URL": endpoint,
        "FRAMEMILL_EVENTS_WAIT_SECONDS": "1",
        "FRAMEMILL_SOURCE_URLS": "true",
        "FRAMEMILL_EGRESS_HTTP": "true",
        "FRAMEMILL_EGRESS_PORTS": str(port),
        "FRAMEMILL_EGRESS_PRIVATE_NETWORKS": "127.0.0.0/8",
    }


def post(service: Service, path: str, body: Any = None) -> Any:
    answer = requests.post(f"{service.url}{path}", json=body, timeout=60)
    assert answer.ok, answer.text
    return answer.json()


def upload(service: Service, folder: Path) -> None:
    """Upload by signed links, in parts and at once, and drop an upload."""
    clip = enlarge(folder / "long.mp4", 33 * MIB).read_bytes()
    named = {"filename": "a.mp4", "content_type": "video/mp4"}
    made = post(service, "/v1/uploads", named | {"size": len(clip)})
    start = 0
    for part in made["parts"]["items"]:
        data = clip[start : start + part["size"]]
        assert requests.put(part["url"], data=data, timeout=60).ok
        start += part["size"]
    post(service, f"/v1/uploads/{made['id']}/complete")
    made = post(service, "/v1/uploads", named | {"size": 33 * MIB})
    gone = requests.delete(f"{service.url}/v1/uploads/{made['id']}", timeout=60)
    assert gone.ok, gone.text


def arrive(service: Service, endpoint: str) -> None:
    """Have the poller read of a video that is there, one that is not, and rubbish."""
    s3, sqs = aws("s3", endpoint), aws("sqs", endpoint)
    etag = s3.put_object(Bucket=VIDEOS, Key="a.mp4", Body=SAMPLE.read_bytes())["ETag"]
    url = service.environment["FRAMEMILL_EVENTS_QUEUE_URL"]
    for key in ("a.mp4", "gone.mp4"):
        place = {"bucket": {"name": VIDEOS}, "object": {"key": key, "eTag": etag[1:-1]}}
        record = {"eventName": "ObjectCreated:Put", "s3": place}
        sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"Records": [record]}))
    sqs.send_message(QueueUrl=url, MessageBody="rubbish")
    dead = service.environment["FRAMEMILL_EVENTS_DEAD_LETTER_URL"]
    until(
        lambda: sqs.receive_message(QueueUrl=dead, VisibilityTimeout=0).get("Messages"),
        120,
        "the rubbish is put aside",
    )
    (job,) = requests.get(f"{service.url}/v1/jobs", timeout=60).json()["jobs"]
    ended = assert_pictures(service, job["id"])
    assert requests.get(ended["links"]["media"], timeout=60).content


def expand(service: Service) -> None:
    """Make a job of each video in the bucket of others."""
    prefix = {"s3": {"bucket": VIDEOS, "prefix": "", "suffix": ".mp4"}}
    made = post(service, "/v1/batches", {"outputs": THUMBNAIL, "prefix": prefix})
    path = f"/v1/batches/{made['id']}"
    until(lambda: service.get(path)["status"] == "completed", 120, "the batch")


def fail_once(recorder: Recorder) -> None:
    """Refuse the workers one part of an upload, and one index of a storyboard."""
    left = {"partNumber", ".vtt"}

    def refuse(who: str, request: Any) -> bool:
        for one in left if who == "worker" and request.method == "PUT" else ():
            if one in request.url:
                left.remove(one)
                return True
        return False

    recorder.refuse = refuse


def render(service: Service, source: str) -> str:
    """Have a job fetch by HTTP, fail once in the middle of both files, and publish."""
    wanted = {
        "source": {"url": source},
        "outputs": [{"kind": "thumbnail"}, {"kind": "storyboard"}],
        "destination": {"s3": {"bucket": PUBLISHED, "prefix": "films"}},
    }
    job_id = post(service, "/v1/jobs", wanted)["id"]
    assert_pictures(service, job_id)
    return job_id


def clean(service: Service, endpoint: str, job_id: str) -> None:
    """Restore, delete a job, and have the janitor end what a killed writer left."""
    service.environment["FRAMEMILL_S3_ACCESS_KEY_ID"] = "api"
    service.command("reconcile")
    s3 = aws("s3", endpoint)
    s3.create_multipart_upload(Bucket=BUCKET, Key="in/x/left")
    own = service.submit(SAMPLE, THUMBNAIL)
    await_job(service, own)
    for one in (job_id, own):
        gone = requests.delete(f"{service.url}/v1/jobs/{one}", timeout=60)
        assert gone.ok, gone.text
    service.environment["FRAMEMILL_RETENTION_UPLOAD_HOURS"] = "0.0001"
    service.restart("sweep")

    def left() -> list[Any]:
        found = s3.list_objects_v2(Bucket=BUCKET, Prefix=f"in/{own}/")
        uploads = s3.list_multipart_uploads(Bucket=BUCKET)
        return [*found.get("Contents", []), *uploads.get("Uploads", [])]

    until(lambda: not left(), 120, "the janitor has removed what is left")


@contextmanager
def serving(folder: Path) -> Iterator[int]:
    """Serve the files of a folder; gives the port."""
    handler = partial(SimpleHTTPRequestHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", free_port()), handler) as web:
        thread = threading.Thread(target=web.serve_forever)
        thread.start()
        try:
            yield web.server_port
        finally:
            web.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def needs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Needs]:
    """Return the rights that each part needed in a run of the whole service."""
    folder = tmp_path_factory.mktemp("rights")
    enlarge(folder / "clip.mp4", 9 * MIB)
    with serving(folder) as port, recorded() as (endpoint, recorder):
        for bucket in (VIDEOS, PUBLISHED):
            aws("s3", endpoint).create_bucket(Bucket=bucket)
        given = settings(endpoint, aws("sqs", endpoint), port)
        with Parts(folder, **given) as service:
            service.start("poller")
            arrive(service, endpoint)
            upload(service, folder)
            expand(service)
            fail_once(recorder)
            job_id = render(service, f"http://127.0.0.1:{port}/clip.mp4")
            clean(service, endpoint, job_id)
    return recorder.needs


@pytest.mark.needs("cfn-lint")
@pytest.mark.parametrize("part", PARTS)
def test_a_role_may_do_what_its_part_does_and_nothing_more(part, needs):
    seen = {
        resource.replace(name := resource.partition("/")[0], ARNS[name]): actions
        for resource, actions in needs[PARTS[part]].items()
    }

    assert Template("full").rights(part) == seen
