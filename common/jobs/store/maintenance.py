"""What keeps the store in order: the reaper, cleanups, dead tasks, counts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import TypeAdapter

from common.errors import Conflict, NotFound
from common.jobs.store.connection import Connection, dump, new_call, read_messages
from common.jobs.store.jobs import read_outcome
from common.jobs.store.records import (
    Activity,
    Away,
    Cleanup,
    DeadTask,
    Minute,
    Outcome,
    QueueState,
    Reaped,
    Stats,
    Took,
)
from common.model import ErrorInfo, JobStatus

_CLEANUP = TypeAdapter(Cleanup)
_MOMENT_DIGITS = 13
_MINUTE_MS = 60_000
# Counts of failures have the code of the error behind this.
_CODE = "code:"
# Counts of outputs by their seconds have the kind and a bound behind this.
_TOOK = "took:"
# States of a task, or of the job of a prepare task, that is at work already.
_AT_WORK = frozenset({"accepted", "processing", "waiting", "queued", "running"})


def _read_cleanup(member: str) -> Cleanup:
    kind, _, rest = member.partition(":")
    job_id, key = rest, ""
    if kind == "blob":
        job_id, key = "", rest
    elif kind == "source":
        job_id, _, key = rest.partition(":")
    elif kind == "record":
        job_id = rest.split(":")[1].partition("/")[0][_MOMENT_DIGITS:]
    elif kind in {"notice", "batch"}:
        job_id = rest.split(":")[0][_MOMENT_DIGITS:]
    return _CLEANUP.validate_python(
        {"member": member, "kind": kind, "job_id": job_id, "key": key}
    )


def _read_dead(one: dict[str, Any]) -> DeadTask:
    info = json.loads(one["info"])
    return DeadTask(
        task=one["task"],
        job_id=info["job"],
        owner=info["owner"],
        output=info["output"] or None,
        at=int(one["at"]),
        error=ErrorInfo.model_validate_json(info["error"]),
        attempts=info.get("attempts"),
        gone=bool(one.get("gone")),
    )


def _split(counts: Mapping[str, int]) -> tuple[dict[str, int], dict[str, int]]:
    """Return the counters of events, and those of failures by their code."""
    failures = {
        name.removeprefix(_CODE): n
        for name, n in counts.items()
        if name.startswith(_CODE)
    }
    events = {
        name: n for name, n in counts.items() if not name.startswith((_CODE, _TOOK))
    }
    return events, failures


def _read_took(counts: Mapping[str, int]) -> dict[str, Took]:
    found: dict[str, dict[str, int]] = {}
    for name, n in counts.items():
        if name.startswith(_TOOK):
            kind, _, bound = name.removeprefix(_TOOK).rpartition(":")
            found.setdefault(kind, {})[bound] = n
    return {
        kind: Took(counts, counts.pop("ms") / 1000) for kind, counts in found.items()
    }


class Upkeep(Connection):
    """The verbs of the reaper and the janitor, and what operators look at."""

    def reap(
        self, limit: int = 200, backlog: Mapping[str, int] | None = None
    ) -> Reaped:
        """Make one pass: requeue expired leases, announce due retries, resend messages.

        ``backlog`` is the number of messages in each queue; with None (the broker is
        away) no message is sent again. After a pause of more than three sweeps all
        leases are extended instead, since no worker could send a heartbeat.
        """
        answer = self._call(
            "reap",
            call=new_call(),
            limit=limit,
            backlog=None if backlog is None else dict(backlog),
        )
        return Reaped(
            messages=read_messages(answer),
            expired=answer["expired"],
            failed=answer["failed"],
            republished=answer["republished"],
            skipped=answer["skipped"],
            outage=answer["outage"],
        )

    def cleanups(self, limit: int = 100) -> list[Cleanup]:
        """Return what is to be cleaned now, longest due first."""
        answer = self._call("cleanups", op="due", limit=limit)
        return [_read_cleanup(member) for member in answer["due"] or []]

    def finish_cleanup(self, cleanup: Cleanup) -> None:
        """Remove a cleanup, and the index lines of what it cleaned."""
        self._call("cleanups", op="done", member=cleanup.member)

    def defer_cleanup(self, cleanup: Cleanup) -> None:
        """Make a cleanup due again in a minute."""
        self._call("cleanups", op="defer", member=cleanup.member)

    def reserve_blob(self, key: str, seconds: float) -> None:
        """Have a blob deleted after ``seconds`` unless a job with it is accepted.

        Call it before an upload begins: a crash between the upload and the acceptance
        then leaves no blob for ever.
        """
        self._call("cleanups", op="reserve", key=key, ms=round(seconds * 1000))

    def dead(self, limit: int = 100) -> list[DeadTask]:
        """Read the tasks that were given up, latest first."""
        answer = self._call("dead_letters", op="list", limit=limit)
        return [_read_dead(one) for one in answer["dead"] or []]

    def redrive(self, task_id: str) -> Outcome:
        """Run the output (or delivery) of a dead task again, with renewed attempts.

        A task that is at work again already is left alone: the outcome is not applied.
        Raises NotFound; Conflict when it succeeded, or what it needs is gone.
        """
        answer = self._call("dead_letters", call=new_call(), op="redrive", task=task_id)
        if "gone" in answer:
            raise NotFound(
                f"there is no task {task_id!r}",
                hint="it never was, or its job was deleted or has expired",
            )
        state = answer.get("none")
        if state in _AT_WORK:
            return Outcome(applied=False, job_ended=False, messages=[])
        if state == "failed":
            # Only a batch: what it was to make jobs of is no longer kept.
            raise Conflict(
                f"the sources of batch {task_id.partition(':')[0]} are no longer kept",
                hint="send the batch again",
            )
        if state is not None:
            raise Conflict(f"task {task_id} has nothing to run again: it has {state}")
        return read_outcome(answer)

    def purge(self, task_id: str | None = None) -> int:
        """Remove one dead task from the list, or all; return how many."""
        answer = self._call("dead_letters", call=new_call(), op="purge", task=task_id)
        return int(answer["removed"])

    def worker_alive(self, name: str, info: Mapping[str, Any]) -> None:
        """List a worker as alive for the next 30 seconds."""
        self._call("workers", op="alive", name=name, info=dump(dict(info)))

    def part_away(self, name: str, error: ErrorInfo) -> None:
        """Record that a part of the service is away for the worker ``name``.

        The worker's host claims no work for a while and is listed in the stats.
        """
        self._call("workers", op="away", name=name, error=error.model_dump_json())

    def workers(self) -> list[dict[str, Any]]:
        """Return the living workers: ``name``, ``at`` (Unix ms), ``info``."""
        answer = self._call("workers", op="list")
        return [
            one | {"at": int(one["at"]), "info": json.loads(one["info"])}
            for one in answer["workers"] or []
        ]

    def activity(self) -> Activity:
        """Return the queues as they are, and the last hour by minutes."""
        answer = self._call("activity")
        at = int(answer["at"])
        first = at // _MINUTE_MS - len(answer["minutes"]) + 1
        return Activity(
            at=at,
            queues=[
                QueueState(
                    name=queue,
                    ready=state["ready"],
                    delayed=state["delayed"],
                    running=state["running"],
                    oldest=state.get("oldest"),
                    since=int(state["since"]) if "since" in state else None,
                )
                for queue, state in sorted(answer["queues"].items())
            ],
            minutes=[
                Minute((first + number) * _MINUTE_MS, *_split(counts or {}))
                for number, counts in enumerate(answer["minutes"])
            ],
        )

    def stats(self) -> Stats:
        """Return counts for metrics and alerts."""
        answer = self._call("stats", statuses=list(get_args(JobStatus)))
        reaper = answer.get("reaper_ms")
        counts = {name: int(n) for name, n in (answer["counters"] or {}).items()}
        events, failures = _split(counts)
        return Stats(
            pending=answer["pending"],
            oldest_pending_seconds={
                queue: ms / 1000 for queue, ms in answer["oldest"].items()
            },
            leased=answer["leased"],
            dead=answer["dead"],
            jobs=answer["jobs"],
            workers=answer["workers"],
            away=[
                Away(
                    host=one["host"],
                    since=int(one["since"]),
                    error=ErrorInfo.model_validate_json(one["error"]),
                )
                for one in answer["away"] or []
            ],
            reaper_seconds=None if reaper is None else reaper / 1000,
            counters=events,
            failures=failures,
            took=_read_took(counts),
        )
