"""Tasks in the hands of workers: claimed, kept alive, ended."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from common.errors import InternalError
from common.jobs.store.connection import Connection, dump, new_call, read_messages
from common.jobs.store.decoding import delivery_event, read_media
from common.jobs.store.jobs import read_outcome, source_blob
from common.jobs.store.records import (
    Beat,
    Claim,
    Ending,
    Notification,
    Opening,
    Outcome,
    Refusal,
)
from common.model import (
    Artifact,
    AttemptReport,
    ErrorInfo,
    MediaInfo,
    Source,
    SourceReading,
)
from common.notify.subscriptions import Subscription

_BEATS: dict[str, Beat] = {"ok": "ok", "cancel": "cancel", "lost": "lost"}
_CLAIM = TypeAdapter(Claim)
_REPORTS = TypeAdapter(list[AttemptReport])
_ARTIFACTS = TypeAdapter(list[Artifact])


def _read_claim(answer: dict[str, Any]) -> Claim:
    task, job = answer["task"], answer["job"]
    role, spec = task["role"], answer.get("spec")
    delivery = None
    if role == "notice":
        subscription = Subscription.model_validate_json(task["subscription"])
        delivery = Notification(delivery_event(task), subscription)
    return _CLAIM.validate_python(
        {
            "task": answer["id"],
            "job_id": task["job"],
            "kind": task["kind"],
            "output": answer.get("name"),
            "part": int(task["part"]) if role == "part" else None,
            "attempt": int(task["attempt"]),
            "fence": int(task["fence"]),
            "token": task["token"],
            "owner": task["owner"],
            "queue": task["queue"],
            "source": Source.model_validate_json(job["source"]),
            "media": read_media(job),
            "spec": json.loads(spec) if spec else None,
            "part_spec": json.loads(task["part_spec"]) if role == "part" else None,
            "parts": [json.loads(one) or [] for one in answer["results"] or []],
            "options": json.loads(job["options"]),
            "delivery": delivery,
            "worker": task["worker"],
            "lost": int(task["lost"]),
            "deaths": int(task["deaths"]),
            "messages": read_messages(answer),
            "artifacts": json.loads(task["artifacts"]) if role == "output" else [],
        }
    )


def _opening(name: str, one: Opening) -> dict[str, Any]:
    given: dict[str, Any] = {
        "name": name,
        "parts": [part.model_dump_json() for part in one.parts],
    }
    if one.queue is not None:
        given["queue"] = one.queue
    if one.error is not None:
        given["error"] = one.error.model_dump_json()
    return given


def dump_reading(reading: SourceReading | None) -> dict[str, Any] | None:
    """Return what a task read of its source as the scripts take it."""
    return None if reading is None else reading.model_dump(exclude_none=True)


def held(verb: str, claim: Claim) -> dict[str, Any]:
    """Return the arguments that end a claim once, however often they are sent."""
    return {
        "call": f"{verb}:{claim.task}:{claim.fence}:{claim.token}",
        "task": claim.task,
        "token": claim.token,
        "fence": claim.fence,
    }


class Tasks(Connection):
    """The transitions that workers cause."""

    def claim(
        self, task_id: str, token: str, worker: str, queue: str | None = None
    ) -> Claim | Refusal:
        """Claim a task for one lease; the same token gets the same answer.

        ``token`` is unique to this execution; a redelivered message is another one.
        With the ``queue`` that the message was in, the claim is on the task whose turn
        it is there: owners take turns, and the named task keeps its place.
        """
        answer = self._call(
            "claim", task=task_id, token=token, worker=worker, queue=queue
        )
        if "reason" in answer:
            return Refusal(answer["reason"])
        return _read_claim(answer)

    def beat(self, claim: Claim, progress: float | None = None) -> Beat:
        """Extend the lease; ``progress`` is 0 to 100.

        Returns ``cancel``: stop and release the claim. ``lost``: stop, the claim no
        longer counts.
        """
        answer = self._raw(
            "heartbeat",
            task=claim.task,
            token=claim.token,
            fence=claim.fence,
            progress=None if progress is None else round(progress, 1),
        )
        return _BEATS[answer]

    def open(
        self,
        claim: Claim,
        media: MediaInfo,
        source: Source,
        openings: Mapping[str, Opening],
        warnings: Sequence[str] = (),
        *,
        reading: SourceReading | None = None,
    ) -> Outcome:
        """End a prepare task: store what it found, and queue outputs or their parts.

        ``openings`` are by the outputs' names; an output that has ended stays ended.
        ``reading`` is added to what the job's other tasks read of the source.
        """
        if claim.kind != "prepare":
            raise ValueError(f"task {claim.task} is not a prepare task")
        answer = self._call(
            "open_outputs",
            **held("open", claim),
            media=media.model_dump_json(),
            source=source.model_dump_json(),
            source_key=source_blob(source),
            reading=dump_reading(reading),
            warnings=dump(list(warnings)),
            openings=[_opening(name, one) for name, one in openings.items()],
        )
        return read_outcome(answer)

    def finish(  # noqa: PLR0913 - all but the first two by keyword
        self,
        claim: Claim,
        artifacts: Sequence[Artifact] = (),
        *,
        result: Any = None,
        warnings: Sequence[str] = (),
        reports: Sequence[AttemptReport] = (),
        publish: bool = False,
        reading: SourceReading | None = None,
    ) -> Outcome:
        """Publish an output, a part's ``result`` or a delivery, exactly once.

        An output that was made in parts gets their artifacts before these. Warnings
        and reports of a part go to its output. ``reading`` as for :meth:`open`. With
        ``publish`` the artifacts are stored, and the output ends when a claim of kind
        publish has copied them to the job's destination. Raises InternalError, and
        changes nothing, if an index among the artifacts names a file that is none of
        them.
        """
        if claim.kind == "prepare":
            raise ValueError(f"task {claim.task} ends by open")
        answer = self._call(
            "finish",
            **held("finish", claim),
            artifacts=_ARTIFACTS.dump_json(list(artifacts)).decode(),
            result=dump(result),
            warnings=dump(list(warnings)),
            reports=_REPORTS.dump_json(list(reports)).decode(),
            reading=dump_reading(reading),
            publish=publish or None,
        )
        if "missing" in answer:
            raise InternalError(
                f"an index names {answer['missing']}, which is not among the files "
                f"of output {claim.output}"
            )
        return read_outcome(answer)

    def release(
        self,
        claim: Claim,
        how: Ending,
        *,
        error: ErrorInfo | None = None,
        delay_seconds: float = 0,
        reports: Sequence[AttemptReport] = (),
        reading: SourceReading | None = None,
    ) -> Outcome:
        """Release a claim, in one of these ways (``how``).

        ``retry`` costs an attempt, and the last one fails the task. ``refund`` costs
        none, at most lease.max_refunds times. ``defer`` costs none: what the task
        waits for wakes it. ``wait`` costs none: a part of the service is away
        (``error``); the task waits for it up to lease.outage_hours, and this host
        claims no work for a while. ``fatal`` fails the task at once. ``cancelled``
        answers a cancel; a task that is to be cancelled ends so in any way. ``reading``
        as for :meth:`open`.
        """
        answer = self._call(
            "release",
            **held("release", claim),
            how=how,
            error=error and error.model_dump_json(),
            delay_ms=round(delay_seconds * 1000),
            reading=dump_reading(reading),
            reports=_REPORTS.dump_json(list(reports)).decode(),
        )
        return read_outcome(answer)

    def died(self, task_id: str, token_start: str | None = None) -> Outcome:
        """Count the death of the process that held the task, and queue it again.

        ``token_start`` is how the dead claim's token began: that claim is found even if
        it was on another task than its message named, and any other is left alone. At
        the death number lease.max_deaths the task fails as ``worker_lost``.
        """
        answer = self._call(
            "worker_died", call=new_call(), task=task_id, token=token_start
        )
        return read_outcome(answer)
