"""The OpenAPI operations on jobs and on their events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

from api.http.headers import (
    DEFAULT_PAGE,
    MAX_PAGE,
    MAX_SEARCH_CHARS,
    MAX_WAIT_SECONDS,
)
from api.http.openapi import (
    FORM,
    JOB_ID,
    JSON,
    TEXT,
    answer,
    parameter,
    problems,
    raw,
    ref,
)
from api.http.openapi import parameters as references
from api.jobs.events import MOST_FOLLOWED
from common.model import JobStatus

_ID = "[0-9a-f]{32}"
_LIMITS = ("RateLimit", "RateLimit-Policy")
_WAITED = ("Location", "Retry-After", "Preference-Applied")
_SOURCE = {"s3": {"bucket": "framemill", "key": "in/clip.mp4"}}
_EXAMPLES = {
    "pictures": {
        "summary": "A poster and a GIF of an object in S3",
        "value": {
            "source": _SOURCE,
            "outputs": [
                {"name": "poster", "kind": "thumbnail", "time": "50%", "width": 1280},
                {"kind": "animation", "format": "gif", "start": 1.5, "duration": 3},
            ],
            "metadata": {"film": 7},
        },
    },
    "told": {
        "summary": "A preset, and a webhook when the job has ended",
        "value": {
            "source": _SOURCE,
            "preset": "web",
            "notify": [{"type": "webhook", "url": "https://receiver.example/hook"}],
        },
    },
}


def parameters() -> dict[str, Any]:
    """Return the parameters of these operations; other resources use them too."""
    key = {"minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"}
    event = {"type": "string", "pattern": "^([0-9]{1,20}(-[0-9]{1,20})?)?$"}
    return {
        "JobId": parameter(
            "job_id",
            "path",
            JOB_ID | {"examples": ["0123456789abcdef0123456789abcdef"]},
            "The job's id.",
            required=True,
        ),
        "Prefer": parameter(
            "Prefer",
            "header",
            TEXT | {"examples": ["wait=30"]},
            f"wait=N delays the answer until the job ends, for at most N seconds "
            f"(N is at most {MAX_WAIT_SECONDS}).",
        ),
        "IdempotencyKey": parameter(
            "Idempotency-Key",
            "header",
            TEXT | key,
            "The same key with the same request returns the same answer. With another "
            "request it returns 422; while the first one is running, 409.",
        ),
        "IfNoneMatch": parameter(
            "If-None-Match",
            "header",
            TEXT,
            "An ETag from an earlier answer of this address.",
        ),
        "LastEventId": parameter(
            "Last-Event-ID", "header", event, "Only events after this one."
        ),
        **_of_list(),
    }


def _of_list() -> dict[str, Any]:
    page = {"minimum": 1, "maximum": MAX_PAGE, "default": DEFAULT_PAGE}
    return {
        "Status": parameter(
            "status",
            "query",
            TEXT | {"enum": list(get_args(JobStatus))},
            "Only jobs in this state.",
        ),
        "Search": parameter(
            "search",
            "query",
            {"type": "string", "minLength": 1, "maxLength": MAX_SEARCH_CHARS},
            "Only jobs whose source's name (of an S3 object: its key) or id contains "
            "each of these words, in any case. At most 20,000 jobs are looked at: a "
            "page may have fewer jobs than the limit, and still a next.",
        ),
        "Limit": parameter(
            "limit", "query", {"type": "integer", **page}, "Jobs on a page."
        ),
        "Cursor": parameter(
            "cursor", "query", TEXT, "The value of next on an earlier page."
        ),
    }


def paths(always: Iterable[int]) -> dict[str, Any]:
    """Return the paths; ``always`` are the problems that every operation may have."""
    common = set(always)
    one = references("JobId")
    return {
        "/v1/jobs": {"post": _create(common), "get": _list(common)},
        "/v1/jobs/file": {"post": _create_of_file(common)},
        "/v1/jobs/{job_id}": {
            "parameters": one,
            "get": _show(common),
            "delete": _delete(common),
        },
        "/v1/jobs/{job_id}/cancel": {
            "parameters": one,
            "post": _verb("cancel", "Cancel what has not ended", common),
        },
        "/v1/jobs/{job_id}/retry": {
            "parameters": one,
            "post": _verb("retry", "Run failed and cancelled outputs again", common),
        },
        "/v1/jobs/{job_id}/events": {"parameters": one, "get": _stream(common)},
        "/v1/jobs/{job_id}/archive": {"parameters": one, "get": _archive(common)},
        "/v1/outputs/schema": {"get": _output_schema(common)},
        "/v1/events": {"get": _stream_many(common)},
    }


def _operation(name: str, summary: str, **rest: Any) -> dict[str, Any]:
    return {"operationId": name, "tags": ["jobs"], "summary": summary, **rest}


def _jobs(*statuses: int) -> dict[str, Any]:
    texts = {
        200: "The job, ended within the wait.",
        202: "The job, accepted or under way.",
    }
    headers = (*_LIMITS, *_WAITED)
    return {str(one): answer(texts[one], "JobView", *headers) for one in statuses}


def _create(common: set[int]) -> dict[str, Any]:
    body = {"schema": ref("schemas", "JobRequest"), "examples": _EXAMPLES}
    return _operation(
        "createJob",
        "Submit a video that the service reaches",
        description="Without outputs: a thumbnail and an animated GIF. A file is sent "
        "to /v1/jobs/file. For curl and pages of HTML, this address takes a form, too: "
        "its part file is the video, and each other part is a field as of this body, "
        "in JSON.",
        parameters=references("Prefer", "IdempotencyKey"),
        requestBody={"required": True, "content": {JSON: body}},
        # 409: an upload that is not complete; 404: deleted while it was waited for.
        responses=_jobs(200, 202) | problems(common | {404, 409, 413, 415}),
    )


def _create_of_file(common: set[int]) -> dict[str, Any]:
    body = {
        "schema": ref("schemas", "FileRequest"),
        "encoding": {"job": {"contentType": JSON}},
    }
    return _operation(
        "createJobOfFile",
        "Submit a video file",
        description="A form of two parts: the file, and what to make of it, as JSON.",
        parameters=references("Prefer", "IdempotencyKey"),
        requestBody={"required": True, "content": {FORM: body}},
        responses=_jobs(200, 202) | problems(common | {404, 409, 413, 415}),
    )


def _list(common: set[int]) -> dict[str, Any]:
    return _operation(
        "listJobs",
        "List jobs, newest first",
        parameters=references("Status", "Search", "OfBatch", "Limit", "Cursor"),
        responses={"200": answer("One page.", "JobListView", *_LIMITS)}
        | problems(common | {404}),
    )


def _show(common: set[int]) -> dict[str, Any]:
    headers = (*_LIMITS, "ETag", "Retry-After", "Preference-Applied")
    return _operation(
        "getJob",
        "Show a job",
        parameters=references("Prefer", "IfNoneMatch"),
        responses={
            "200": answer("The job.", "JobView", *headers),
            "304": {"description": "The job has not changed since If-None-Match."},
        }
        | _jobs(202)
        | problems(common | {404}),
    )


def _verb(name: str, summary: str, common: set[int]) -> dict[str, Any]:
    return _operation(
        f"{name}Job",
        summary,
        parameters=references("Prefer"),
        responses=_jobs(200, 202) | problems(common | {404, 409}),
    )


def _delete(common: set[int]) -> dict[str, Any]:
    return _operation(
        "deleteJob",
        "Cancel a job and remove it with its files",
        responses={"204": {"description": "The job was deleted."}}
        | problems(common | {404}),
    )


def _stream(common: set[int]) -> dict[str, Any]:
    text = "The job's events until it ends (server-sent events)."
    return _operation(
        "streamEvents",
        "Follow a job",
        description="The number of streams is limited: on 429, poll the job instead.",
        parameters=references("LastEventId"),
        responses={
            "200": answer(text, "EventView", kind="text/event-stream"),
            "204": {"description": "The job has ended, and there are no later events."},
        }
        | problems(common | {404}),
    )


def _stream_many(common: set[int]) -> dict[str, Any]:
    ids = {"type": "string", "pattern": f"^{_ID}(,{_ID}){{0,{MOST_FOLLOWED - 1}}}$"}
    text = "The events of these jobs until all have ended (server-sent events)."
    return _operation(
        "streamEventsOfJobs",
        "Follow many jobs",
        description="After Last-Event-ID, the events of that millisecond are sent "
        "again. A job that does not exist gets the event job.deleted. The number of "
        "streams is limited: on 429, poll the jobs instead.",
        parameters=[
            parameter(
                "jobs",
                "query",
                ids | {"examples": ["0123456789abcdef0123456789abcdef"]},
                f"Their ids, at most {MOST_FOLLOWED}.",
                required=True,
            ),
            *references("LastEventId"),
        ],
        responses={
            "200": answer(text, "EventView", kind="text/event-stream"),
            "204": {"description": "All have ended, and there are no later events."},
        }
        | problems(common | {404}),
    )


def _archive(common: set[int]) -> dict[str, Any]:
    zipped = raw("application/zip")
    return _operation(
        "getArchive",
        "Fetch all files of a job as a zip",
        description="The files have the names OUTPUT/FILE. A job that has not ended, "
        "or has no files, gets 409. The number of archives that are sent at once is "
        "limited; on 429, try again.",
        responses={"200": answer("The zip.", zipped, kind="application/zip")}
        | problems(common | {404, 409}),
    )


def _output_schema(common: set[int]) -> dict[str, Any]:
    return _operation(
        "getOutputSchema",
        "Show what outputs can be asked for, and the presets",
        parameters=references("IfNoneMatch"),
        responses={
            "200": answer("Schemas and presets.", "OutputSchemaView", "ETag"),
            "304": {"description": "They have not changed since If-None-Match."},
        }
        | problems(common),
    )
