"""Whole jobs: accepted, read, waited for, cancelled, retried, deleted."""

from __future__ import annotations

import re
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

from common.errors import Conflict, Invalid, NotFound
from common.jobs.store.connection import Connection, dump, new_call, read_messages
from common.jobs.store.decoding import read_cursor, read_event, read_job, write_cursor
from common.jobs.store.idempotency import Idempotency, identify, read_repeat
from common.jobs.store.records import (
    Accepted,
    Caps,
    Deleted,
    Full,
    JobVersion,
    NewJob,
    NewOutput,
    Outcome,
)
from common.model import JOB_ENDED, BatchRecord, Event, JobRecord, JobStatus, Source
from common.notify.subscriptions import Subscription
from common.redis.errors import mapped

_EVENT_ID = re.compile(r"[0-9]{1,20}(-[0-9]{1,20})?", re.ASCII)
_EVENT_NUMBERS = 2**64  # Redis' stream ids are two unsigned 64-bit numbers
_NO_CAPS = Caps()
_VERSION_FIELDS = ["owner", "status", "version"]
_SEARCHED_CHARS = 200
# A script looks at few, for others wait for it meanwhile.
_SEARCHED_AT_ONCE, _MOST_SEARCHED = 500, 20_000
Ending = TypeVar("Ending", JobRecord, BatchRecord)
# In the class below, ``list`` is the verb.
History = list[Event]
Found = list[JobRecord]


def source_blob(source: Source) -> str | None:
    """Return the key of a source that is a blob of our own, else None."""
    return source.key if source.kind == "upload" else None


def searched(source: Source) -> str | None:
    """Return the text by which a search finds a job; None for a nameless upload.

    It is the source's name, or the whole key of an S3 object.
    """
    name = source.key if source.kind == "s3" else source.name
    return fold(name)[:_SEARCHED_CHARS] if name else None


def fold(text: str) -> str:
    """Return a text without the differences that a search ignores.

    File systems write the same name in several Unicode forms.
    """
    return unicodedata.normalize("NFKC", text).casefold()


def _output(new: NewOutput) -> dict[str, str]:
    spec = dump(new.spec)
    return {"name": new.name, "kind": new.kind, "spec": spec, "queue": new.queue}


def dump_subscriptions(subscriptions: Sequence[Subscription]) -> str:
    """Write subscriptions as the scripts read them."""
    return dump(
        [
            {"events": one.events, "raw": dump(one.model_dump(mode="json"))}
            for one in subscriptions
        ]
    )


def describe(job: NewJob) -> dict[str, Any]:
    """Return the arguments of accept that describe the job itself."""
    if not job.outputs:
        raise ValueError("a job has at least one output")
    return {
        "call": new_call(),
        "id": job.id,
        "owner": job.owner,
        "source": job.source.model_dump_json(),
        "source_key": source_blob(job.source),
        "search": searched(job.source),
        "options": dump(job.options.dump()),
        "metadata": dump(job.metadata),
        "subscriptions": dump_subscriptions(job.subscriptions),
        "outputs": [_output(one) for one in job.outputs],
    }


def describe_caps(caps: Caps) -> dict[str, Any]:
    """Return the arguments of accept that say how many jobs there may be."""
    return {
        "owner_cap": caps.owner,
        "total_cap": caps.total,
        "quota_key": caps.quota and caps.quota.key_id,
        "quota_jobs": caps.quota and caps.quota.jobs,
    }


def read_full(answer: dict[str, Any]) -> Full | None:
    """Return which cap is reached according to accept, None if none is."""
    if "full" not in answer:
        return None
    return Full(answer["full"], int(answer.get("wait", 0)))


def read_accepted(answer: dict[str, Any]) -> Accepted:
    """Return what accept answered; raises IdempotencyMismatch."""
    return Accepted(
        read_repeat(answer), answer["created"], read_messages(answer), answer.get("at")
    )


def read_outcome(answer: dict[str, Any]) -> Outcome:
    """Return the outcome in a script's answer."""
    return Outcome(answer["applied"], answer["job_ended"], read_messages(answer))


def _read_version(job_id: str, fields: Sequence[str | None]) -> JobVersion | None:
    owner, status, version = fields
    if owner is None or version is None:
        return None
    return JobVersion(job_id, owner, cast("JobStatus", status), int(version))


def check_event_id(text: str) -> None:
    """Raise Invalid for an id that no event can have."""
    numbers = text.split("-") if _EVENT_ID.fullmatch(text) else [str(_EVENT_NUMBERS)]
    if any(int(number) >= _EVENT_NUMBERS for number in numbers):
        raise Invalid.one(
            "/Last-Event-ID", f"{text!r} is no event id", "pass one as it came"
        )


def order_of(event_id: str) -> tuple[int, int]:
    """Return the millisecond and the number of an event, by which all are ordered."""
    millisecond, _, number = event_id.partition("-")
    return int(millisecond), int(number or 0)


def _by_key(found: Any) -> Iterator[tuple[str, list[tuple[str, dict[str, str]]]]]:
    """Yield the streams of an XREAD with their lines."""
    # RESP3 answers a mapping of lists of lines, RESP2 a list of pairs.
    if isinstance(found, dict):
        yield from ((key, lines[0]) for key, lines in found.items())
    else:
        yield from found or ()


class Jobs(Connection):
    """The verbs over whole jobs."""

    def accept(
        self,
        job: NewJob,
        idempotency: Idempotency | None = None,
        caps: Caps = _NO_CAPS,
        *,
        kept: bool = False,
    ) -> Accepted | Full:
        """Store a job and queue its prepare task.

        The same Idempotency-Key of the same owner returns the earlier job while that
        exists. Raises IdempotencyMismatch if that came with another fingerprint.
        ``kept`` says that its manifest is stored already.
        """
        answer = self._call_replicated(
            "accept",
            kept=kept or None,
            **describe(job),
            **identify(job.owner, idempotency),
            **describe_caps(caps),
            crammed=self.is_crammed() or None,
        )
        return read_full(answer) or read_accepted(answer)

    def get(self, job_id: str) -> JobRecord | None:
        """Read a job; None if there is none."""
        answer = self._call("get", id=job_id)
        return None if "gone" in answer else read_job(answer)

    def version(self, job_id: str) -> JobVersion | None:
        """Read what tells whether a job has changed; None if there is none.

        It is one call for three fields; :meth:`get` reads every task of the job.
        """
        with mapped():
            found: Any = self._client.hmget(
                f"{self._prefix}job:{job_id}", _VERSION_FIELDS
            )
        return _read_version(job_id, found)

    def versions(self, job_ids: Sequence[str]) -> dict[str, JobVersion | None]:
        """Read the version of each of these jobs, in one round trip."""
        with mapped(), self._client.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.hmget(f"{self._prefix}job:{job_id}", _VERSION_FIELDS)
            found = pipe.execute()
        pairs = zip(job_ids, found, strict=True)
        return {job_id: _read_version(job_id, fields) for job_id, fields in pairs}

    def list(
        self,
        owner: str | None = None,
        *,
        status: JobStatus | None = None,
        batch: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> tuple[list[JobRecord], str | None]:
        """Read jobs, newest first; ``owner`` None reads all owners' jobs.

        With ``batch`` only that batch's jobs are read, whoever owns it. Returns at most
        ``limit`` jobs and the next page's cursor, None on the last page.
        Raises Invalid for a cursor that is not ours.
        """
        index = f"jobs:{status or 'any'}" + ("" if owner is None else f":{owner}")
        if batch is not None:
            index = f"batch-jobs:{status or 'any'}:{batch}"
        answer = self._call(
            "list", index=index, before=read_cursor(cursor), limit=limit
        )
        jobs = [read_job(one) for one in answer["jobs"] or []]
        return jobs, write_cursor(answer.get("next"))

    def search(
        self,
        owner: str,
        text: str,
        *,
        status: JobStatus | None = None,
        batch: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> tuple[Found, str | None]:
        """Read those jobs whose name or id contains every word, newest first.

        Letters count without their case. One call looks at 20,000 jobs at most, so a
        page may have fewer than ``limit`` jobs, and still a cursor of the next one.
        Raises Invalid for a cursor that is not ours.
        """
        index = f"jobs:{status or 'any'}:{owner}"
        if batch is not None:
            index = f"batch-jobs:{status or 'any'}:{batch}"
        jobs: Found = []
        before, looked = read_cursor(cursor), 0
        while len(jobs) < limit and looked < _MOST_SEARCHED:
            answer = self._call(
                "search",
                index=index,
                names=f"names:{owner}",
                words=fold(text).split(),
                before=before,
                limit=limit - len(jobs),
                look=_SEARCHED_AT_ONCE,
            )
            jobs += [read_job(one) for one in answer["jobs"] or []]
            before, looked = answer.get("next"), looked + answer["looked"]
            if before is None:
                break
        return jobs, write_cursor(before)

    def wait(self, job_id: str, seconds: float) -> JobRecord | None:
        """Read a job once it has ended, or after ``seconds``; None when gone."""
        return self._at_end(job_id, seconds, self.get)

    def _at_end(
        self, subject: str, seconds: float, read: Callable[[str], Ending | None]
    ) -> Ending | None:
        deadline = time.monotonic() + seconds
        # The place in the history is read before the record: no end is missed.
        seen = self._last_event(subject)
        while True:
            record = read(subject)
            left = deadline - time.monotonic()
            if record is None or record.status in JOB_ENDED or left <= 0:
                return record
            seen = self._next_event(subject, seen, left)

    def news(
        self, after: Mapping[str, str], limit: int, seconds: float = 0
    ) -> dict[str, History]:
        """Read the events of many jobs, oldest first, in one call.

        ``after`` is the id of the last event seen of each job, and ``limit`` the most
        events of one job. Jobs without later events are left out; if none has any, the
        call waits for one, up to ``seconds`` or half of the store's timeout.
        """
        start = f"{self._prefix}events:"
        pause = min(seconds, self.settings.store.timeout_seconds / 2)
        with mapped():
            found: Any = self._client.xread(
                {start + job_id: seen for job_id, seen in after.items()},
                count=limit,
                block=max(1, int(pause * 1000)) if pause else None,
            )
        return {
            key.removeprefix(start): [read_event(*line) for line in lines]
            for key, lines in _by_key(found)
        }

    def _last_event(self, job_id: str) -> str:
        with mapped():
            found = cast(
                "list[Any]",
                self._client.xrevrange(f"{self._prefix}events:{job_id}", count=1),
            )
        return str(found[0][0]) if found else "0-0"

    def _next_event(self, job_id: str, seen: str, seconds: float) -> str:
        """Wait for the next event in slices shorter than the socket's timeout."""
        key = f"{self._prefix}events:{job_id}"
        pause = min(seconds, self.settings.store.timeout_seconds / 2)
        with mapped():
            found: Any = self._client.xread(
                {key: seen}, block=max(1, int(pause * 1000))
            )
        if not found:
            return seen
        ((_, lines),) = _by_key(found)
        return str(lines[-1][0])

    def events(
        self, job_id: str, after_id: str | None = None, limit: int = 100
    ) -> History:
        """Read a job's events after ``after_id``, oldest first.

        Raises Invalid for an id that no event can have.
        """
        if after_id is not None:
            check_event_id(after_id)
        with mapped():
            found = cast(
                "list[tuple[str, dict[str, str]]]",
                self._client.xrange(
                    f"{self._prefix}events:{job_id}",
                    min=f"({after_id}" if after_id else "-",
                    count=limit,
                ),
            )
        return [read_event(event_id, fields) for event_id, fields in found]

    def cancel(self, job_id: str) -> Outcome:
        """Cancel what has not ended: queued work now, running work at its next beat.

        Raises NotFound; Conflict when the job has ended.
        """
        answer = self._call("cancel", call=new_call(), id=job_id)
        self._refuse_gone(answer, job_id)
        if "ended" in answer:
            raise Conflict(
                f"job {job_id} has ended ({answer['ended']})",
                hint="only an unfinished job can be cancelled",
            )
        return read_outcome(answer)

    def retry(self, job_id: str, caps: Caps = _NO_CAPS) -> Outcome | Full:
        """Run the failed and cancelled outputs again, and prepare if it had failed.

        The ``caps`` apply to an ended job as to a new one, but for the daily quota.
        Raises NotFound; Conflict if no output has failed or was cancelled.
        """
        answer = self._call(
            "retry",
            call=new_call(),
            id=job_id,
            **describe_caps(caps),
            crammed=self.is_crammed() or None,
        )
        self._refuse_gone(answer, job_id)
        if full := read_full(answer):
            return full
        if "none" in answer:
            raise Conflict(
                f"job {job_id} ({answer['none']}) has no failed or cancelled output",
                hint="submit a new job for other outputs",
            )
        return read_outcome(answer)

    def delete(self, job_id: str) -> Deleted:
        """Delete a job in any state; the janitor deletes its files.

        Raises NotFound.
        """
        answer = self._call("delete", call=new_call(), id=job_id)
        self._refuse_gone(answer, job_id)
        return Deleted(read_job(answer), read_messages(answer))

    @staticmethod
    def _refuse_gone(answer: dict[str, Any], job_id: str) -> None:
        if "gone" in answer:
            raise NotFound(f"there is no job {job_id!r}")
