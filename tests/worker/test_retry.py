"""What an error means for its task."""

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from common.errors import (
    DecodeError,
    DiskFull,
    Interrupted,
    SourceNotFound,
    StorageDenied,
    StorageUnavailable,
    StoreUnavailable,
    Unreachable,
)
from worker.retry import BACKOFF_SECONDS, judge


@pytest.mark.parametrize("error", [DecodeError("no frame"), SourceNotFound("gone")])
def test_what_the_source_is_to_blame_for_is_fatal_at_once(error):
    verdict = judge(error, attempt=1)

    assert verdict.how == "fatal"
    assert verdict.error.code == error.code


def test_an_address_that_does_not_answer_is_tried_again_later_and_later():
    delays = [
        judge(Unreachable("503"), attempt=n, spread=0.5).delay_seconds
        for n in (1, 2, 3, 9)
    ]

    assert delays == [*BACKOFF_SECONDS, BACKOFF_SECONDS[-1]]


def test_jitter_spreads_the_delay_by_a_fifth_to_both_sides():
    low, high = (
        judge(Unreachable("503"), 1, spread).delay_seconds for spread in (0, 1)
    )

    assert (low, high) == (pytest.approx(4), pytest.approx(6))


@pytest.mark.parametrize(
    "error", [StorageUnavailable, StorageDenied, StoreUnavailable, DiskFull]
)
def test_for_a_part_of_the_service_the_work_waits(error):
    verdict = judge(error("away"), attempt=1)

    assert (verdict.how, verdict.error.code) == ("wait", error.code)


@pytest.mark.parametrize("error", [SystemExit(0), KeyboardInterrupt()])
def test_a_worker_that_is_told_to_go_gives_its_attempt_back(error):
    assert judge(error, attempt=1).how == "refund"


def test_a_stopped_attempt_is_cancelled():
    assert judge(Interrupted("cancel"), attempt=1).how == "cancelled"


def test_the_soft_time_limit_is_a_timeout_that_names_its_setting():
    verdict = judge(SoftTimeLimitExceeded(), attempt=1)

    assert (verdict.how, verdict.error.code) == ("fatal", "timeout")
    assert "FRAMEMILL_ENGINE_HARD_SECONDS" in verdict.error.detail


def test_a_defect_of_ours_is_retried_and_does_not_show_its_text():
    verdict = judge(ValueError("s3://secret"), attempt=1)

    assert (verdict.how, verdict.error.code) == ("retry", "internal_error")
    assert "secret" not in verdict.error.detail
