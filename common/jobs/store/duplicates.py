"""Jobs that would make what another has made already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import TypeAdapter

from common.jobs.store.connection import Connection, dump, new_call
from common.jobs.store.jobs import read_outcome, source_blob
from common.jobs.store.records import Claim, Outcome
from common.jobs.store.tasks import held
from common.model import Artifact, JobRecord, Source

_ARTIFACTS = TypeAdapter(list[Artifact])


@dataclass(frozen=True)
class Duplicate:
    """What to do about a job's results.

    run: make them. copy: those of ``job_id`` may be copied. wait: it is making them.
    lost: the claim no longer counts.
    """

    what: Literal["run", "copy", "wait", "lost"]
    job_id: str | None = None


@dataclass(frozen=True)
class CopiedOutput:
    """One output, filled with copies that are stored under the new job's prefix."""

    name: str
    artifacts: Sequence[Artifact]
    warnings: Sequence[str]


class Duplicates(Connection):
    """Finds the job with the same bytes and specs, and takes over its results."""

    def find_duplicate(
        self, claim: Claim, digest: str, *, lost: str | None = None, wait: bool = True
    ) -> Duplicate:
        """Ask who makes the results that ``digest`` names; else the claimed job does.

        ``lost`` is a duplicate whose files are gone. Without ``wait`` nothing is
        expected of a duplicate that is still at work.
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
    ) -> Outcome:
        """End a job's prepare and its outputs with copies of a duplicate's results.

        Where the job has a destination, its outputs go on to be copied there.
        """
        answer = self._call(
            "duplicates",
            **held("copy_from_duplicate", claim),
            op="copy_from_duplicate",
            digest=digest,
            media=duplicate.media and duplicate.media.model_dump_json(),
            source=source.model_dump_json(),
            source_key=source_blob(source),
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
