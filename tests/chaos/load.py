"""A client that asks a running service for work of many kinds.

Every job has a source of its own, so that nothing is answered by an earlier result.
"""

from __future__ import annotations

import json
import struct
import subprocess
import time
import uuid
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import requests

from tests.conftest import SAMPLE

STILL = {"kind": "thumbnail", "width": 96}
GIF = {"kind": "animation", "format": "gif", "start": 0, "duration": 0.5, "width": 96}
LONG = {"kind": "animation", "format": "webp", "start": 0, "duration": 5, "width": 320}
ENDED = frozenset({"completed", "partial", "failed", "cancelled"})
GARBAGE = b"no video "


class Clips:
    """Small valid clips, each with bytes of its own."""

    def __init__(self, folder: Path) -> None:
        path = folder / "base.mp4"
        make = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-f", "lavfi"]
        make += ["-i", "testsrc2=s=320x180:r=25:d=1", "-pix_fmt", "yuv420p", str(path)]
        subprocess.run(make, check=True, timeout=120)
        self._base = path.read_bytes()

    def fresh(self, *, long: bool = False) -> bytes:
        """Return a clip; what its last box ('free', ISO/IEC 14496-12) has is new."""
        own = uuid.uuid4().bytes
        base = SAMPLE.read_bytes() if long else self._base
        return base + struct.pack(">I4s", 8 + len(own), b"free") + own


@dataclass
class Accepted:
    """A job that was answered with 202, and how it may end."""

    id: str
    way: str
    ends: frozenset[str]


@dataclass
class Client:
    """Asks the service at ``url``; ``storage`` is a boto3 client of its bucket.

    ``key`` is an API key, for a service that asks for one.
    """

    url: str
    clips: Clips
    storage: Any = None
    bucket: str = "framemill"
    webhook: str = ""
    seconds: float = 60.0
    key: str = ""
    refused_polls: int = 0
    _completes: frozenset[str] = field(default=frozenset({"completed"}), init=False)

    def upload(self) -> Accepted:
        """Post a clip with its outputs."""
        job = self._post_file(self.clips.fresh(), [STILL, GIF])
        return Accepted(job["id"], "upload", self._completes)

    def still(self) -> Accepted:
        """Post a clip for one thumbnail."""
        job = self._post_file(self.clips.fresh(), [STILL])
        return Accepted(job["id"], "still", self._completes)

    def work(self) -> Accepted:
        """Post a longer clip, for an animation that takes seconds."""
        job = self._post_file(self.clips.fresh(long=True), [LONG])
        return Accepted(job["id"], "work", self._completes)

    def object(self) -> Accepted:
        """Put an object into the bucket, and name it."""
        key = f"clips/{uuid.uuid4().hex}.mp4"
        self.storage.put_object(Bucket=self.bucket, Key=key, Body=self.clips.fresh())
        body = {
            "source": {"s3": {"bucket": self.bucket, "key": key}},
            "outputs": [GIF],
        }
        return Accepted(self._post(body)["id"], "object", self._completes)

    def resumable(self) -> Accepted:
        """Send the two halves of a clip by tus; the last one starts the job."""
        clip = self.clips.fresh()
        place = self._announce(len(clip))
        half = len(clip) // 2
        for start, part in ((0, clip[:half]), (half, clip[half:])):
            answer = self._ask(
                "PATCH",
                place,
                data=part,
                headers={
                    "Tus-Resumable": "1.0.0",
                    "Upload-Offset": str(start),
                    "Content-Type": "application/offset+octet-stream",
                },
            )
            answer.raise_for_status()
        return Accepted(place.rsplit("/", 1)[1], "resumable", self._completes)

    def abandoned(self) -> None:
        """Announce an upload, and never send it."""
        self._announce(1 << 20)

    def doomed(self) -> Accepted:
        """Post a clip whose job is going to be cancelled."""
        job = self._post_file(self.clips.fresh(), [STILL, GIF])
        ends = frozenset({"cancelled", "completed", "partial"})
        return Accepted(job["id"], "cancelled", ends)

    def cancel(self, job_id: str) -> bool:
        """Cancel a job; return False if it had ended."""
        answer = self._ask("POST", f"{self.url}/v1/jobs/{job_id}/cancel")
        if answer.status_code == 409:
            return False
        answer.raise_for_status()
        return True

    def invalid(self) -> Accepted:
        """Post what no decoder takes."""
        job = self._post_file(GARBAGE * 50 + uuid.uuid4().bytes, [STILL])
        return Accepted(job["id"], "invalid", frozenset({"failed"}))

    def refused(self) -> None:
        """Ask for an output that there is not: 422, and no job."""
        body = {
            "source": {"url": "https://x.example/a.mp4"},
            "outputs": [{"kind": "?"}],
        }
        answer = self._ask("POST", f"{self.url}/v1/jobs", json=body)
        assert answer.status_code == 422, answer.text

    def await_end(self, job_id: str, seconds: float) -> dict[str, Any]:
        """Return the document of a job once it has ended.

        A 503 is asked again after a pause, as its Retry-After says, and counted.
        """
        deadline = time.monotonic() + seconds
        url = f"{self.url}/v1/jobs/{job_id}"
        while True:
            answer = self._ask("GET", url, headers={"Prefer": "wait=10"})
            if answer.status_code == 503:
                self.refused_polls += 1
                time.sleep(min(10.0, float(answer.headers["Retry-After"])))
            else:
                answer.raise_for_status()
                job: dict[str, Any] = answer.json()
                if job["status"] in ENDED:
                    return job
            assert time.monotonic() < deadline, f"{job_id} has not ended"

    def get(self, path: str, headers: dict[str, str] | None = None) -> Any:
        answer = self._ask("GET", self.url + path, headers=headers)
        answer.raise_for_status()
        return answer.json()

    def fetch(self, job: dict[str, Any]) -> int:
        """Return how many bytes the files of a job have, each as long as listed."""
        total = 0
        for output in job["outputs"]:
            for artifact in output["artifacts"]:
                answer = self._ask("GET", artifact["url"])
                answer.raise_for_status()
                assert len(answer.content) == artifact["bytes"]
                total += artifact["bytes"]
        return total

    def delete(self, job_id: str) -> None:
        self._ask("DELETE", f"{self.url}/v1/jobs/{job_id}").raise_for_status()

    def _announce(self, size: int) -> str:
        metadata = {"filename": "c.mp4", "job": json.dumps({"outputs": [STILL]})}
        pairs = [f"{k} {b64encode(v.encode()).decode()}" for k, v in metadata.items()]
        answer = self._ask(
            "POST",
            f"{self.url}/v1/tus",
            headers={
                "Tus-Resumable": "1.0.0",
                "Upload-Length": str(size),
                "Upload-Metadata": ",".join(pairs),
            },
        )
        answer.raise_for_status()
        return str(answer.headers["Location"])

    def _post_file(self, clip: bytes, outputs: list[dict[str, Any]]) -> dict[str, Any]:
        fields = {"outputs": json.dumps(outputs)}
        if self.webhook:
            hook = {"type": "webhook", "url": self.webhook}
            fields["notify"] = json.dumps([hook])
        answer = self._ask(
            "POST",
            f"{self.url}/v1/jobs",
            files={"file": ("c.mp4", clip, "video/mp4")},
            data=fields,
        )
        return self._accepted(answer)

    def _post(self, body: dict[str, Any]) -> dict[str, Any]:
        return self._accepted(self._ask("POST", f"{self.url}/v1/jobs", json=body))

    def _accepted(self, answer: requests.Response) -> dict[str, Any]:
        answer.raise_for_status()
        assert answer.status_code == 202, (answer.status_code, answer.text)
        job: dict[str, Any] = answer.json()
        return job

    def _ask(self, method: str, url: str, **words: Any) -> requests.Response:
        if self.key:
            headers = words.pop("headers", None) or {}
            words["headers"] = headers | {"Authorization": f"Bearer {self.key}"}
        return requests.request(method, url, timeout=self.seconds, **words)
