"""The limits that the documentation promises, with the settings that nobody changed."""

from __future__ import annotations

import time

import pytest

from common.settings.load import Settings
from tests.common.jobs.store.context import StoreContext


def is_given_up_and_comes_back(store_context: StoreContext, job_id: str) -> None:
    """Check that the task is a dead letter, and can be done after a redrive."""
    task = f"{job_id}:o:poster"
    assert store_context.status(job_id) == "failed"
    (dead,) = store_context.store.dead()
    assert (dead.task, dead.error.code) == (task, "worker_lost")
    assert store_context.store.redrive(task).applied
    assert store_context.make(task).job_ended
    assert store_context.status(job_id) == "completed"


def test_a_task_that_kills_its_worker_three_times_is_given_up_until_it_is_redriven(
    store_context: StoreContext,
) -> None:
    job_id = store_context.opened()
    task = f"{job_id}:o:poster"
    for _ in range(3):
        assert store_context.status(job_id) != "failed"
        claim = store_context.claim(task)
        store_context.store.died(task, claim.token)

    is_given_up_and_comes_back(store_context, job_id)


def test_a_task_that_loses_its_lease_five_times_is_given_up_until_it_is_redriven(
    store_context: StoreContext,
) -> None:
    job_id = store_context.opened()
    task = f"{job_id}:o:poster"
    for _ in range(5):
        assert store_context.status(job_id) != "failed"
        store_context.claim(task)
        store_context.reaper_was_here()
        store_context.expire(task)
        store_context.store.reap()

    is_given_up_and_comes_back(store_context, job_id)


def test_a_lost_worker_is_noticed_within_35_seconds(
    store_context: StoreContext,
) -> None:
    task = f"{store_context.opened()}:o:poster"
    store_context.claim(task)
    end = store_context.client.zscore(store_context.key("leased"), task)
    assert end is not None

    lease = end / 1000 - time.time()

    settings = Settings().lease
    assert lease == pytest.approx(settings.seconds, abs=2)
    assert settings.seconds + settings.sweep_seconds <= 35
