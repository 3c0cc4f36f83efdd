"""Which manifests are to be stored, and jobs restored from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from common.jobs.store.batches import describe_sources
from common.jobs.store.connection import Connection, dump, new_call, read_messages
from common.jobs.store.decoding import read_job
from common.jobs.store.jobs import describe
from common.jobs.store.records import (
    BatchRestoration,
    DueManifest,
    NewJob,
    Restored,
    StoredBatch,
)
from common.model import JOB_ENDED, JobRecord, Message, OutputRecord
from common.notify.subscriptions import Subscription

# What one taker has not stored by then, another may.
_TAKEN_SECONDS = 60


class ManifestList(Connection):
    """The verbs of manifests; :mod:`common.jobs.manifests` stores them."""

    def take_manifests(self, limit: int) -> list[DueManifest]:
        """Return what is to be stored now, oldest first; it is the caller's a minute.

        What is not finished by then is due again.
        """
        answer = self._call(
            "manifests",
            call=new_call(),
            op="take",
            limit=limit,
            ms=_TAKEN_SECONDS * 1000,
        )
        return [
            DueManifest(member.partition(":")[0], member.partition(":")[2], until)
            for member, until in answer["taken"] or []
        ]

    def finish_manifests(self, stored: Sequence[DueManifest]) -> int:
        """Strike off what was stored; return how many wait to be stored or are taken.

        What has changed meanwhile is due again.
        """
        answer = self._call(
            "manifests",
            call=new_call(),
            op="done",
            taken=[[f"{one.kind}:{one.id}", one.until] for one in stored],
        )
        return int(answer["left"])

    def job_and_subscriptions(
        self, job_id: str
    ) -> tuple[JobRecord, list[Subscription]] | None:
        """Read a job with those who are told of it; None if there is none."""
        answer = self._call("get", id=job_id)
        if "gone" in answer:
            return None
        told = json.loads(answer["job"]["subscriptions"])
        return read_job(answer), [
            Subscription.model_validate_json(one["raw"]) for one in told
        ]

    def restore(
        self, job: NewJob, record: JobRecord, *, again: bool, dry: bool = False
    ) -> Restored:
        """Write a job of which only the manifest is left.

        It is as ``record`` says if that has ended, and without ``again``; else it is
        queued as if it had just been accepted. ``dry`` only tells what would be done.
        """
        ended = record.status in JOB_ENDED and not again
        arguments = describe(job) | {
            "created": record.created_at,
            "version": record.version,
            "batch": record.batch,
            "dry": dry or None,
        }
        if ended:
            arguments["ended"] = _ended(record)
            pairs = zip(arguments["outputs"], record.outputs, strict=True)
            arguments["outputs"] = [
                given | _ended_output(output) for given, output in pairs
            ]
            if not record.source_kept:
                arguments["source_key"] = None
        answer = self._call("restore", **arguments)
        return Restored(answer["state"], read_messages(answer))

    def restore_batch(
        self, batch: StoredBatch, *, dry: bool = False
    ) -> BatchRestoration:
        """Write a batch of which only the manifest is left; ``dry`` only tells.

        It does not go on before :meth:`resume_batch`, once its jobs are back.
        """
        answer = self._call(
            "restore_batch",
            call=new_call(),
            op="restore",
            id=batch.id,
            fields=batch.fields,
            sources=describe_sources(batch.sources),
            done=batch.done,
            dry=dry or None,
        )
        state: BatchRestoration = answer["state"]
        return state

    def resume_batch(self, batch_id: str) -> list[Message]:
        """Let a restored batch go on; return the messages to send."""
        return read_messages(
            self._call("restore_batch", call=new_call(), op="resume", id=batch_id)
        )


def _ended(record: JobRecord) -> dict[str, Any]:
    reading = record.reading
    fields = {
        "status": record.status,
        "finished": record.finished_at,
        "expires": record.expires_at,
        "media": record.media and record.media.model_dump_json(),
        "error": record.error and record.error.model_dump_json(),
        "warnings": dump(record.warnings),
        "source_kept": int(record.source_kept),
        "deduplicated_from": record.deduplicated_from,
        "begun": record.created_at,
    }
    if reading is not None:
        fields |= {
            "read_access": reading.access,
            "read_reason": reading.access_reason or "",
            "read_bytes": reading.bytes_read,
            "read_requests": reading.requests,
        }
    return {name: value for name, value in fields.items() if value is not None}


def _ended_output(output: OutputRecord) -> dict[str, Any]:
    return {
        "state": output.status,
        "error": output.error.model_dump_json() if output.error else "",
        "artifacts": dump([one.model_dump(mode="json") for one in output.artifacts]),
        "warnings": dump(output.warnings),
        "attempts": dump([one.model_dump(mode="json") for one in output.attempts]),
    }
