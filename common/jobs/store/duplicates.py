"""Jobs that need not render: another job has made the same results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import TypeAdapter

from common.jobs.store.connection import Connection, dump, new_call
from common.jobs.store.jobs import read_outcome, source_blob
from common.jobs.store.records import Claim, Outcome
from common.jobs.store.tasks import dump_reading, held
from common.model import Artifact, JobRecord, Source, SourceReading

_ARTIFACTS = TypeAdapter(list[Artifact])


@dataclass(frozen=True)
class Duplicate:
    """What a job is to do about its results.

    run: make them. copy: copy those of ``job_id``. wait: job ``job_id`` is making them.
    lost: stop, the claim no longer counts.
    """

    what: Literal["run", "copy", "wait", "lost"]
    job_id: str | None = None


@dataclass(frozen=True)
class CopiedOutput:
    """One output whose files were copied to the new job's prefix."""

    name: str
    artifacts: Sequence[Artifact]
    warnings: Sequence[str]


class Duplicates(Connection):
    """Finds the job with the same bytes and outputs, and copies its results."""

    def find_duplicate(
        self, claim: Claim, digest: str, *, lost: str | None = None, wait: bool = True
    ) -> Duplicate:
        """Return the job that makes the results named by ``digest``, or take them on.

        ``digest`` is of owner, bytes and outputs. ``lost`` is a duplicate whose files
        are gone. Without ``wait``, one that is still at work does not count.
        """
        answer = self._call(
            "duplicates",
            call=new_call(),
            op="ask",
            task=claim.task,
            token=claim.token,
            fence=claim.fence,
            digest=digest,
            lost=lost,
            wait=wait or None,
        )
        if "from" in answer:
            return Duplicate("copy", answer["from"])
        if "wait" in answer:
            return Duplicate("wait", answer["wait"])
        return Duplicate("run" if "run" in answer else "lost")

    def copy_from_duplicate(
        self,
        claim: Claim,
        digest: str,
        source: Source,
        duplicate: JobRecord,
        outputs: Sequence[CopiedOutput],
        *,
        reading: SourceReading | None = None,
    ) -> Outcome:
        """End a job's prepare task and outputs with copies of a duplicate's results.

        If the job has a destination, its outputs are then copied there.
        """
        answer = self._call(
            "duplicates",
            **held("copy_from_duplicate", claim),
            op="copy_from_duplicate",
            digest=digest,
            media=duplicate.media and duplicate.media.model_dump_json(),
            source=source.model_dump_json(),
            source_key=source_blob(source),
            reading=dump_reading(reading),
            warnings=dump(duplicate.warnings),
            publish=claim.options.destination is not None or None,
            outputs=[
                {
                    "name": one.name,
                    "artifacts": _ARTIFACTS.dump_json(list(one.artifacts)).decode(),
                    "warnings": dump(list(one.warnings)),
                }
                for one in outputs
            ],
            **{"from": duplicate.id},
        )
        return read_outcome(answer)
