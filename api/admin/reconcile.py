"""``framemill reconcile``: restore what was in a job store that was lost."""

from __future__ import annotations

import argparse
import sys

from api.admin.service import load_settings
from common.jobs.reconcile import Reconciled, Reconciler
from common.runtime import build_runtime
from common.telemetry import logging as telemetry

# What has no manifest.
LOST = (
    "unfinished uploads, deliveries that had not ended and the log of the others, the "
    "history of each job and batch, Idempotency-Keys, sign-ins of browsers, what "
    "counted against daily quotas, dead letters, counters"
)


def reconcile(options: argparse.Namespace) -> int:
    """Restore keys, batches and jobs; print how many, and what did not come back."""
    settings = load_settings(options)
    telemetry.configure(settings.log)
    runtime = build_runtime(settings)
    runtime.store.check_server()
    done = Reconciler(
        runtime.manifests,
        runtime.store,
        runtime.store.keys,
        runtime.blobs,
        runtime.dispatcher,
        dry=options.dry_run,
    ).run()
    _print(done, dry=options.dry_run)
    unreadable = (done.unreadable, done.keys.unreadable, done.batches.unreadable)
    return 1 if any(unreadable) else 0


def _print(done: Reconciled, *, dry: bool) -> None:
    back = len(done.ended) + len(done.queued)
    all_jobs = back + len(done.known) + len(done.unreadable)
    would = "would come back" if dry else "came back"
    print(f"{back + len(done.known)} of {all_jobs} jobs are there: {back} {would}")
    for status, number in sorted(done.statuses.items()):
        print(f"{status}\t{number}")
    for what, part in (("API keys", done.keys), ("batches", done.batches)):
        there = len(part.back) + len(part.known)
        all_of_it = there + len(part.unreadable)
        print(f"{there} of {all_of_it} {what} are there: {len(part.back)} {would}")
    if done.remade:
        print(
            f"{len(done.remade)} of the queued had ended, but files of theirs are gone"
        )
    if done.without_source:
        number = len(done.without_source)
        print(f"{number} of the queued will fail with source_not_found:")
        print("\n".join(f"  {job_id}" for job_id in sorted(done.without_source)))
    if done.leaving:
        print(f"{len(done.leaving)} were deleted, or past their retention")
    for kind, unread in (
        ("key", done.keys.unreadable),
        ("batch", done.batches.unreadable),
        ("job", done.unreadable),
    ):
        for one, reason in sorted(unread.items()):
            print(f"not back: the {kind} {one}: {reason}", file=sys.stderr)
    print(f"never back: {LOST}", file=sys.stderr)
