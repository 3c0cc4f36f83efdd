"""Copy an output's files to where the job wants them; then the output has succeeded.

The artifacts were fixed by the finish that the fence let through, and the names at the
destination follow from job and output alone. So an attempt that comes late, or a second
one beside it, writes what is there already: no older result can cover a newer one.
"""

from __future__ import annotations

from common.jobs.store import Outcome
from common.model import Artifact
from worker.lease import Attempt


def publish(attempt: Attempt) -> Outcome:
    """Copy each file of the claimed output and end it.

    Raises DestinationForbidden (the output fails, its files stay with us),
    Unavailable, Interrupted.
    """
    claim, runtime = attempt.claim, attempt.context.runtime
    # Where this ends the job, the copy of its source that was kept here goes.
    attempt.source = claim.source
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
