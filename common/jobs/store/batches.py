"""Batches: stored, read, cancelled, deleted; and the jobs that their task makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from common.errors import Conflict, NotFound, StoreUnavailable
from common.jobs.store.connection import dump, new_call
from common.jobs.store.decoding import read_batch, read_cursor, write_cursor
from common.jobs.store.idempotency import Idempotency, identify
from common.jobs.store.jobs import (
    Jobs,
    describe,
    describe_caps,
    dump_subscriptions,
    read_accepted,
    read_full,
    read_outcome,
    source_blob,
)
from common.jobs.store.records import (
    Accepted,
    CalledOff,
    Caps,
    Claim,
    Full,
    NewBatch,
    NewJob,
    Outcome,
    StoredBatch,
)
from common.jobs.store.tasks import held
from common.model import BatchRecord, JobStatus, Source

Stage = Literal["expand", "cancel", "delete"]
_MOMENT_DIGITS = 13


_SOURCES_AT_ONCE = 1000


def describe_sources(sources: Sequence[Source]) -> list[dict[str, str]]:
    """Return the sources of a batch as the scripts take them."""
    given = [
        {"source": one.model_dump_json(), "key": source_blob(one)} for one in sources
    ]
    return [
        {name: value for name, value in one.items() if value is not None}
        for one in given
    ]


def new_fields(batch: NewBatch) -> dict[str, str]:
    """Return the fields of a new batch, without its times."""
    return {
        "owner": batch.owner,
        "status": "accepted",
        "version": "0",
        "source": _origin(batch).model_dump_json(),
        "options": dump(batch.options.dump()),
        "prefix": dump(batch.prefix) if batch.prefix else "",
        "listed": str(len(batch.sources)),
        "made": "0",
        "template": dump(batch.template),
        "metadata": dump(batch.metadata),
        "subscriptions": dump_subscriptions(batch.subscriptions),
        "warnings": "[]",
        "want": "expand",
        "closed": "0",
        "cursor": "",
    }


def _origin(batch: NewBatch) -> Source:
    if batch.sources:
        return batch.sources[0]
    prefix = batch.prefix or {}
    return Source(kind="s3", bucket=prefix.get("bucket"), key=prefix.get("prefix"))


class Batches(Jobs):
    """The verbs over batches; the task ``ID:batch`` does what takes long."""

    def accept_batch(
        self,
        batch: NewBatch,
        idempotency: Idempotency | None = None,
        *,
        kept: bool = False,
    ) -> Accepted:
        """Store a batch; its task makes its jobs.

        ``job_id`` of the answer is the batch's id. ``kept`` says that its manifest is
        stored already. Raises IdempotencyMismatch; StoreUnavailable where the server
        has hardly any memory left.
        """
        answer = self._call_replicated(
            "accept_batch",
            call=new_call(),
            id=batch.id,
            fields=new_fields(batch),
            sources=describe_sources(batch.sources),
            kept=kept or None,
            **identify(batch.owner, idempotency),
            crammed=self.is_crammed() or None,
        )
        if "full" in answer:
            raise StoreUnavailable(self.crammed(), hint="try again later")
        return read_accepted(answer)

    def batch(
        self, batch_id: str, *, being_deleted: bool = False
    ) -> BatchRecord | None:
        """Read a batch; None when there is none.

        A batch that is being deleted is read only with ``being_deleted``.
        """
        answer = self._call(
            "batch", op="get", id=batch_id, being_deleted=being_deleted or None
        )
        return None if "gone" in answer else read_batch(answer)

    def wait_batch(self, batch_id: str, seconds: float) -> BatchRecord | None:
        """Read a batch once it has ended, or after ``seconds``; None when gone."""
        return self._at_end(batch_id, seconds, self.batch)

    def batches(
        self, owner: str | None = None, *, limit: int = 50, cursor: str | None = None
    ) -> tuple[list[BatchRecord], str | None]:
        """Read batches, newest first, and the next page's cursor.

        ``owner`` None reads all owners'. Raises Invalid for a cursor that is not ours.
        """
        answer = self._call(
            "batch", op="list", owner=owner, before=read_cursor(cursor), limit=limit
        )
        found = [read_batch(one) for one in answer["batches"] or []]
        return found, write_cursor(answer.get("next"))

    def batch_sources(self, batch_id: str, start: int, count: int) -> list[Source]:
        """Read ``count`` sources that a batch was given, from number ``start``."""
        answer = self._call(
            "batch", op="sources", **{"id": batch_id, "from": start, "count": count}
        )
        return [Source.model_validate_json(one) for one in answer["sources"] or []]

    def export_batch(self, batch_id: str) -> StoredBatch | None:
        """Read what :meth:`restore_batch` takes; None when there is no such batch."""
        answer = self._call("batch", op="export", id=batch_id)
        if "gone" in answer:
            return None
        found: list[Source] = []
        while page := self.batch_sources(batch_id, len(found), _SOURCES_AT_ONCE):
            found += page
        return StoredBatch(
            id=batch_id, fields=answer["batch"], sources=found, done=answer["done"]
        )

    def children(
        self,
        batch_id: str,
        status: JobStatus | None = None,
        *,
        after: str = "",
        limit: int = 100,
    ) -> tuple[list[str], str | None]:
        """Read a batch's job ids, oldest first, and what to pass as ``after`` next.

        Jobs that were read may change their status: the next page misses none.
        """
        answer = self._call(
            "batch",
            op="children",
            id=batch_id,
            status=status or "any",
            after=after,
            limit=limit,
        )
        members: Sequence[str] = answer["children"] or []
        following = members[-1] if len(members) == limit else None
        return [one[_MOMENT_DIGITS:] for one in members], following

    def add_child(
        self,
        claim: Claim,
        job: NewJob,
        cursor: str,
        caps: Caps,
        key_id: str | None = None,
    ) -> Accepted | Full | CalledOff:
        """Store the next job of a batch and move the batch's cursor past it.

        ``key_id`` is the API key that the batch came with; once that is revoked, no
        more jobs are made.
        """
        answer = self._call(
            "accept",
            **describe(job),
            **describe_caps(caps),
            crammed=self.is_crammed() or None,
            task=claim.task,
            token=claim.token,
            fence=claim.fence,
            cursor=cursor,
            key=key_id,
        )
        if "off" in answer:
            return CalledOff(answer["off"])
        return read_full(answer) or read_accepted(answer)

    def cancel_batch(self, batch_id: str) -> Outcome:
        """Stop making jobs, and have those cancelled that have not ended.

        Raises NotFound; Conflict when the batch has ended.
        """
        answer = self._want(batch_id, "cancel")
        if "ended" in answer:
            raise Conflict(
                f"batch {batch_id} has ended ({answer['ended']})",
                hint="only an unfinished batch can be cancelled",
            )
        return read_outcome(answer)

    def delete_batch(self, batch_id: str) -> Outcome:
        """Hide a batch and have it and its jobs deleted. Raises NotFound."""
        return read_outcome(self._want(batch_id, "delete"))

    def _want(self, batch_id: str, want: Stage) -> dict[str, Any]:
        answer: dict[str, Any] = self._call(
            "batch", call=new_call(), op="want", id=batch_id, want=want
        )
        if "gone" in answer:
            raise NotFound(f"there is no batch {batch_id!r}")
        return answer

    def end_stage(
        self,
        claim: Claim,
        stage: Stage,
        *,
        short: bool = False,
        warnings: Sequence[str] = (),
    ) -> Outcome | None:
        """End a stage of a batch's task: all its jobs are made, cancelled or deleted.

        ``short`` means that some sources got no job. Returns None if the batch has
        another stage to do by now; the claim then goes on.
        """
        answer = self._call(
            "batch",
            **held(f"end-{stage}", claim),
            op="done",
            done=stage,
            short=short,
            warnings=dump(list(warnings)),
        )
        return None if "again" in answer else read_outcome(answer)
