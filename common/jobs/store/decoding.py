"""Makes records of the store's hashes."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any, get_args

from pydantic import TypeAdapter

from common.errors import Invalid
from common.model import (
    JOB_ENDED,
    Artifact,
    AttemptReport,
    BatchRecord,
    ErrorInfo,
    Event,
    JobRecord,
    JobStatus,
    MediaInfo,
    OutputRecord,
    OutputStatus,
    Source,
    SourceReading,
    Waiting,
)

_ARTIFACTS = TypeAdapter(list[Artifact])
_REPORTS = TypeAdapter(list[AttemptReport])
_MEMBER = re.compile(r"[0-9]{13}[A-Za-z0-9:_-]{1,100}", re.ASCII)
_ALMOST = 99.0
_COUNTED = (*get_args(JobStatus), "deleted")

Fields = dict[str, str]


def read_error(fields: Fields) -> ErrorInfo | None:
    """Return the error of a hash, None if it has none."""
    raw = fields.get("error")
    return ErrorInfo.model_validate_json(raw) if raw else None


def read_media(fields: Fields) -> MediaInfo | None:
    """Return what the probe found, None before it has run."""
    raw = fields.get("media")
    return MediaInfo.model_validate_json(raw) if raw else None


def read_time(fields: Fields, name: str) -> int | None:
    """Return a time in Unix milliseconds, None if it is not set."""
    raw = fields.get(name)
    return int(raw) if raw and raw != "0" else None


def _status(fields: Fields) -> OutputStatus:
    state = fields["state"]
    if state in {"waiting", "queued"}:
        # An output is running while its parts run or wait to be joined, and while its
        # files wait to be copied to the job's destination.
        parted = int(fields["nparts"]) > 0
        under_way = bool(fields.get("begun")) and (
            parted or fields.get("kind") == "publish"
        )
        return "running" if under_way else "queued"
    return TypeAdapter(OutputStatus).validate_python(state)


def _progress(fields: Fields) -> float:
    if fields["state"] == "succeeded":
        return 100.0
    if fields.get("kind") == "publish":
        return _ALMOST
    if "parts_progress" in fields:
        return min(_ALMOST, float(fields["parts_progress"]))
    return float(fields["progress"])


def read_output(fields: Fields) -> OutputRecord:
    """Return the record of one output."""
    return OutputRecord(
        name=fields["name"],
        kind=fields["output_kind"],
        spec=json.loads(fields["spec"]),
        status=_status(fields),
        progress=_progress(fields),
        attempts=_REPORTS.validate_json(fields["attempts"]),
        warnings=json.loads(fields["warnings"]),
        artifacts=_ARTIFACTS.validate_json(fields["artifacts"]),
        error=read_error(fields),
    )


def _waiting(fields: Fields) -> Waiting | None:
    reason = fields.get("waiting")
    if not reason or fields["status"] in JOB_ENDED:
        return None
    return Waiting(
        error=ErrorInfo.model_validate_json(reason),
        since=int(fields["waiting_since"]),
        until=int(fields["waiting_until"]),
    )


def _reading(fields: Fields) -> SourceReading | None:
    if not fields.get("read_access"):
        return None
    return SourceReading.model_validate(
        {
            "access": fields["read_access"],
            "access_reason": fields["read_reason"] or None,
            "bytes_read": int(fields["read_bytes"]),
            "requests": int(fields["read_requests"]),
        }
    )


def read_job(answer: dict[str, Any]) -> JobRecord:
    """Return the record of a job from what get, list and delete answer."""
    fields: Fields = answer["job"]
    outputs = [read_output(one) for one in answer["outputs"]]
    return JobRecord.model_validate(
        {
            "id": answer["id"],
            "owner": fields["owner"],
            "status": fields["status"],
            "progress": round(sum(one.progress for one in outputs) / len(outputs), 1),
            "version": int(fields["version"]),
            "created_at": int(fields["created"]),
            "updated_at": int(fields["updated"]),
            "finished_at": read_time(fields, "finished"),
            "expires_at": read_time(fields, "expires"),
            "source": Source.model_validate_json(fields["source"]),
            "options": json.loads(fields["options"]),
            "media": read_media(fields),
            "outputs": outputs,
            "error": read_error(fields),
            "warnings": json.loads(fields["warnings"]),
            "metadata": json.loads(fields["metadata"]),
            "source_kept": fields["source_kept"] == "1",
            "batch": fields.get("batch"),
            "deduplicated_from": fields.get("deduplicated_from"),
            "waiting": _waiting(fields),
            "reading": _reading(fields),
        }
    )


def read_batch(answer: dict[str, Any]) -> BatchRecord:
    """Return the record of a batch from what its script answers."""
    fields: Fields = answer["batch"]
    prefix = fields["prefix"]
    return BatchRecord.model_validate(
        {
            "id": answer["id"],
            "owner": fields["owner"],
            "status": fields["status"],
            "version": int(fields["version"]),
            "created_at": int(fields["created"]),
            "updated_at": int(fields["updated"]),
            "finished_at": read_time(fields, "finished"),
            "expires_at": read_time(fields, "expires"),
            "given": int(fields["listed"]),
            "prefix": json.loads(prefix) if prefix else None,
            "made": int(fields["made"]),
            "counts": {name: int(fields.get(f"n:{name}", 0)) for name in _COUNTED},
            "closed": fields["closed"] == "1",
            "want": fields["want"],
            "cursor": fields["cursor"],
            "template": json.loads(fields["template"]),
            "error": read_error(fields),
            "warnings": json.loads(fields["warnings"]),
            "metadata": json.loads(fields["metadata"]),
        }
    )


def read_event(event_id: str, fields: Fields) -> Event:
    """Return one event of a job's history."""
    return Event(
        id=event_id,
        type=fields["type"],
        at=int(fields["at"]),
        output=fields["output"] or None,
        data=json.loads(fields["data"]),
    )


def delivery_event(fields: Fields) -> Event:
    """Return the event that a delivery reports."""
    return read_event(
        fields["event_id"],
        {name: fields[f"event_{name}"] for name in ("type", "at", "output", "data")},
    )


def write_cursor(member: str | None) -> str | None:
    """Return an opaque cursor for a member of an index, None for None."""
    if member is None:
        return None
    return base64.urlsafe_b64encode(member.encode()).decode().rstrip("=")


def read_cursor(cursor: str | None) -> str | None:
    """Return the member that a cursor stands for; raises Invalid for anything else."""
    if cursor is None:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        member = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        member = ""
    if _MEMBER.fullmatch(member) is None:
        raise Invalid.one(
            "/cursor", "the cursor is not one of ours", "pass `next` as it was given"
        )
    return member
