"""What the tasks of a job read of its source, summed up in its record."""

from __future__ import annotations

from typing import Literal

import pytest

from common.jobs.store import Opening
from common.model import Source, SourceAccess, SourceReading
from tests.common.jobs.store.context import BAD, MEDIA, StoreContext, an_artifact

READ = SourceReading(access="sparse", bytes_read=3_000_000_000, requests=7)
WHOLE = SourceReading(
    access="whole", access_reason="kernel", bytes_read=9_000_000_000, requests=2
)


def test_each_task_adds_what_it_read_once(store_context: StoreContext) -> None:
    store = store_context.store
    job_id = store_context.accept("poster")
    assert store_context.get(job_id).reading is None
    claim = store_context.claim(f"{job_id}:prepare")
    store.open(claim, MEDIA, claim.source, {"poster": Opening()}, reading=READ)
    assert store_context.get(job_id).reading == READ
    claim = store_context.claim(f"{job_id}:o:poster")
    store.release(claim, "retry", error=BAD, reading=READ)
    claim = store_context.claim(f"{job_id}:o:poster")
    store.finish(claim, [an_artifact(claim)], reading=READ)
    assert store_context.get(job_id).reading == SourceReading(
        access="sparse", bytes_read=9_000_000_000, requests=21
    )


def test_a_claim_that_no_longer_counts_adds_nothing(
    store_context: StoreContext,
) -> None:
    job_id = store_context.accept("poster")
    claim = store_context.claim(f"{job_id}:prepare")
    store_context.store.release(claim, "retry", error=BAD)
    store_context.store.release(claim, "retry", error=BAD, reading=READ)
    assert store_context.get(job_id).reading is None


@pytest.mark.parametrize("last", ["sparse", "whole"])
def test_a_task_that_fetched_all_of_it_decides_what_the_job_says(
    store_context: StoreContext, last: Literal["sparse", "whole"]
) -> None:
    first, second = (WHOLE, READ) if last == "sparse" else (READ, WHOLE)
    job_id = store_context.accept("poster")
    claim = store_context.claim(f"{job_id}:prepare")
    opening = {"poster": Opening()}
    store_context.store.open(claim, MEDIA, claim.source, opening, reading=first)
    claim = store_context.claim(f"{job_id}:o:poster")
    store_context.store.finish(claim, [an_artifact(claim)], reading=second)
    reading = store_context.get(job_id).reading
    assert reading == second.after(first)
    assert reading is not None
    assert (reading.access, reading.access_reason) == ("whole", "kernel")


def test_a_record_of_an_earlier_version_has_no_reading(
    store_context: StoreContext,
) -> None:
    job_id = store_context.opened()
    fields = store_context.client.hkeys(store_context.key(f"job:{job_id}"))
    assert not [name for name in fields if name.startswith("read_")]
    assert store_context.get(job_id).reading is None


@pytest.mark.parametrize("access", ["sparse", "local"])
def test_a_job_that_copies_a_duplicates_results_says_what_it_read(
    store_context: StoreContext, access: SourceAccess
) -> None:
    first = store_context.opened()
    job_id = store_context.accept("poster")
    claim = store_context.claim(f"{job_id}:prepare")
    reading = SourceReading(access=access, bytes_read=5, requests=1)
    store_context.store.copy_from_duplicate(
        claim,
        "digest",
        Source(kind="upload", key="k"),
        store_context.get(first),
        [],
        reading=reading,
    )
    assert store_context.get(job_id).reading == reading
