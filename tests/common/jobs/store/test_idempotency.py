"""Answers kept under an Idempotency-Key."""

from __future__ import annotations

from dataclasses import replace

import pytest

from common.errors import IdempotencyMismatch
from common.jobs.store import Repeatable
from tests.common.jobs.store.lab import Lab

FIRST = Repeatable("me", "POST /v1/x", "k", "print", "t1")
AGAIN = replace(FIRST, token="t2")


def test_given_the_first_then_it_goes_and_a_repeat_waits(lab: Lab) -> None:
    assert lab.store.begin_answer(FIRST).state == "go"
    assert lab.store.begin_answer(AGAIN).state == "busy"


def test_given_a_kept_answer_then_repeats_get_it(lab: Lab) -> None:
    lab.store.begin_answer(FIRST)
    lab.store.keep_answer(FIRST, "hello")
    assert lab.store.begin_answer(AGAIN).answer == "hello"


def test_given_another_print_then_a_mismatch_at_work_and_after(lab: Lab) -> None:
    other = replace(AGAIN, fingerprint="other")
    lab.store.begin_answer(FIRST)
    with pytest.raises(IdempotencyMismatch):
        lab.store.begin_answer(other)
    lab.store.keep_answer(FIRST, "hello")
    with pytest.raises(IdempotencyMismatch):
        lab.store.begin_answer(other)


def test_given_a_dropped_answer_then_the_next_goes(lab: Lab) -> None:
    lab.store.begin_answer(FIRST)
    lab.store.drop_answer(AGAIN)  # not its to drop
    assert lab.store.begin_answer(AGAIN).state == "busy"
    lab.store.drop_answer(FIRST)
    assert lab.store.begin_answer(AGAIN).state == "go"


def test_given_a_process_that_died_then_who_took_over_keeps_the_answer(
    lab: Lab,
) -> None:
    lab.store.begin_answer(FIRST)
    key = lab.key(f"once:{FIRST.digest}")
    assert 0 < lab.client.pttl(key) <= 120_000
    lab.client.delete(key)
    assert lab.store.begin_answer(AGAIN).state == "go"
    lab.store.keep_answer(FIRST, "late")
    assert lab.store.begin_answer(replace(FIRST, token="t3")).state == "busy"
    lab.store.keep_answer(AGAIN, "hello")
    assert lab.client.pttl(key) > 80_000_000
