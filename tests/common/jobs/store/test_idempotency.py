"""Answers kept under an Idempotency-Key."""

from __future__ import annotations

from dataclasses import replace

import pytest

from common.errors import IdempotencyMismatch
from common.jobs.store import Repeatable
from tests.common.jobs.store.context import StoreContext

FIRST = Repeatable("me", "POST /v1/x", "k", "print", "t1")
AGAIN = replace(FIRST, token="t2")


def test_given_the_first_then_it_goes_and_a_repeat_waits(
    store_context: StoreContext,
) -> None:
    assert store_context.store.begin_answer(FIRST).state == "go"
    assert store_context.store.begin_answer(AGAIN).state == "busy"


def test_given_a_kept_answer_then_repeats_get_it(store_context: StoreContext) -> None:
    store_context.store.begin_answer(FIRST)
    store_context.store.keep_answer(FIRST, "hello")
    assert store_context.store.begin_answer(AGAIN).answer == "hello"


def test_given_another_print_then_a_mismatch_at_work_and_after(
    store_context: StoreContext,
) -> None:
    other = replace(AGAIN, fingerprint="other")
    store_context.store.begin_answer(FIRST)
    with pytest.raises(IdempotencyMismatch):
        store_context.store.begin_answer(other)
    store_context.store.keep_answer(FIRST, "hello")
    with pytest.raises(IdempotencyMismatch):
        store_context.store.begin_answer(other)


def test_given_a_dropped_answer_then_the_next_goes(store_context: StoreContext) -> None:
    store_context.store.begin_answer(FIRST)
    store_context.store.drop_answer(AGAIN)  # not its to drop
    assert store_context.store.begin_answer(AGAIN).state == "busy"
    store_context.store.drop_answer(FIRST)
    assert store_context.store.begin_answer(AGAIN).state == "go"


def test_given_a_process_that_died_then_who_took_over_keeps_the_answer(
    store_context: StoreContext,
) -> None:
    store_context.store.begin_answer(FIRST)
    key = store_context.key(f"once:{FIRST.digest}")
    assert 0 < store_context.client.pttl(key) <= 120_000
    store_context.client.delete(key)
    assert store_context.store.begin_answer(AGAIN).state == "go"
    store_context.store.keep_answer(FIRST, "late")
    assert store_context.store.begin_answer(replace(FIRST, token="t3")).state == "busy"
    store_context.store.keep_answer(AGAIN, "hello")
    assert store_context.client.pttl(key) > 80_000_000
