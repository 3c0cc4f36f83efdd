"""What an error means for its task."""

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from common.errors import (
    DecodeError,
    DiskFull,
    Interrupted,
    ReceiverError,
    SourceNotFound,
    StorageDenied,
    StorageUnavailable,
    StoreUnavailable,
    Unreachable,
)
from common.settings.load import Settings
from worker.retry import BACKOFF_SECONDS, RetryPolicy, plan_release


@pytest.mark.parametrize("error", [DecodeError("no frame"), SourceNotFound("gone")])
def test_what_the_source_is_to_blame_for_is_fatal_at_once(error):
    release = plan_release(error, attempt=1)

    assert release.how == "fatal"
    assert release.error.code == error.code


def test_an_address_that_does_not_answer_is_tried_again_later_and_later():
    delays = [
        plan_release(Unreachable("503"), attempt=n, spread=0.5).delay_seconds
        for n in (1, 2, 3, 9)
    ]

    assert delays == [*BACKOFF_SECONDS, BACKOFF_SECONDS[-1]]


def test_jitter_spreads_the_delay_by_a_fifth_to_both_sides():
    low, high = (
        plan_release(Unreachable("503"), 1, spread=spread).delay_seconds
        for spread in (0, 1)
    )

    assert (low, high) == (pytest.approx(4), pytest.approx(6))


@pytest.mark.parametrize(
    "error", [StorageUnavailable, StorageDenied, StoreUnavailable, DiskFull]
)
def test_for_a_part_of_the_service_the_work_waits(error):
    release = plan_release(error("away"), attempt=1)

    assert (release.how, release.error.code) == ("wait", error.code)


@pytest.mark.parametrize("error", [SystemExit(0), KeyboardInterrupt()])
def test_a_worker_that_is_told_to_go_gives_its_attempt_back(error):
    assert plan_release(error, attempt=1).how == "refund"


def test_a_stopped_attempt_is_cancelled():
    assert plan_release(Interrupted("cancel"), attempt=1).how == "cancelled"


def test_the_soft_time_limit_is_a_timeout_that_names_its_setting():
    release = plan_release(SoftTimeLimitExceeded(), attempt=1)

    assert (release.how, release.error.code) == ("fatal", "timeout")
    assert "FRAMEMILL_ENGINE_HARD_SECONDS" in release.error.detail


def test_a_defect_of_ours_is_retried_and_does_not_show_its_text():
    release = plan_release(ValueError("s3://secret"), attempt=1)

    assert (release.how, release.error.code) == ("retry", "internal_error")
    assert "secret" not in release.error.detail


def test_a_delivery_keeps_its_own_schedule_and_the_pause_that_is_asked_for():
    settings = Settings.model_validate({"webhooks": {"retry_seconds": [7, 70]}})
    policy = RetryPolicy.of("notice", settings)

    delays = [
        plan_release(error, attempt, policy).delay_seconds
        for error, attempt in [
            (Unreachable("503"), 1),
            (Unreachable("503"), 5),
            (ReceiverError("429", retry_after=90), 1),
        ]
    ]

    assert delays == [7, 70, 90]


@pytest.mark.parametrize("error", [StorageUnavailable("away"), SoftTimeLimitExceeded()])
def test_a_delivery_is_retried_after_an_outage_and_after_a_slow_receiver(error):
    policy = RetryPolicy.of("notice", Settings())

    assert plan_release(error, 1, policy).how == "retry"
