"""Copy an output's files to the job's destination, and end the output.

The artifacts are fixed when this task is claimed, and the names at the destination
follow from job and output alone. So a late or a second attempt writes the same files
again, and no older result can overwrite a newer one.
"""

from __future__ import annotations

from common.jobs.store import Outcome
from common.model import Artifact
from worker.lease import Attempt


def publish(attempt: Attempt) -> Outcome:
    """Copy each file of the claimed output and end it.

    Raises DestinationForbidden (the output fails, its files stay in our storage),
    Unavailable, Interrupted.
    """
    claim, runtime = attempt.claim, attempt.context.runtime
    target = claim.options.destination
    if target is None:
        raise ValueError(f"{claim.task}: its job has no destination")
    copied: list[Artifact] = []
    for number, artifact in enumerate(claim.artifacts):
        attempt.check()
        place = target.place(claim.job_id, claim.output or "", artifact.name)
        runtime.blobs.export(artifact, target, place)
        copied.append(artifact.model_copy(update={"copy_at": place}))
        attempt.watch.progress((number + 1) / len(claim.artifacts))
    return attempt.settle(lambda: runtime.store.finish(claim, copied))
