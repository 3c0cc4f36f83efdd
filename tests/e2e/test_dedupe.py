"""The same video twice: the second time its pictures are there at once."""

from __future__ import annotations

import json

from tests.conftest import SAMPLE

OUTPUTS = [{"kind": "thumbnail", "width": 100}, {"kind": "storyboard", "interval": 5}]


def submit(service):
    parts = {"outputs": OUTPUTS, "dedupe": True}
    body = b"".join(
        b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
        % (name.encode(), json.dumps(value).encode())
        for name, value in parts.items()
    )
    body += (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="c.mp4"\r\n\r\n'
        + SAMPLE.read_bytes()
        + b"\r\n--b--\r\n"
    )
    return service.ask("/v1/jobs", body, "multipart/form-data; boundary=b")


def test_the_second_job_gets_the_results_of_the_first(service):
    first, second = submit(service), submit(service)

    def hashes(job):
        return [
            one["sha256"] for output in job["outputs"] for one in output["artifacts"]
        ]

    assert (first["status"], first["deduplicated_from"]) == ("completed", None)
    assert (second["status"], second["deduplicated_from"]) == ("completed", first["id"])
    assert hashes(second) == hashes(first)
    assert len(set(hashes(first))) > 3
    keys = [one["url"].split("?")[0] for one in second["outputs"][1]["artifacts"]]
    assert all(second["id"] in key for key in keys)
