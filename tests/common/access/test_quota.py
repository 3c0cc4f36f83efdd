"""The daily quota: what is counted, kept, given back, and when it is forgotten."""

from __future__ import annotations

from typing import Any

from common.access.keys import Keys
from common.access.quota import QUOTA_LUA, DailyQuota
from common.jobs.store import Accepted, Caps, Full
from tests.common.jobs.store.context import StoreContext

DAY_MS = 86_400_000
QUOTA = DailyQuota("k1", 3)
_VERB = """
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000
local verb, prefix, job = ARGV[1], ARGV[2], ARGV[3]
if verb == 'reserve' then return quota.reserve(prefix, 'k1', now, job) end
return quota[verb](prefix, job)
"""


def call(context: StoreContext, verb: str, job_id: str) -> Any:
    script = context.client.register_script(QUOTA_LUA.read_text("utf-8") + _VERB)
    return script(args=[verb, context.prefix, job_id])


def left(context: StoreContext) -> int:
    return Keys(context.client, context.prefix).today(QUOTA).left


def accept(context: StoreContext, **fields: Any) -> Accepted | Full:
    return context.store.accept(context.new_job(**fields), caps=Caps(quota=QUOTA))


def lifetimes(context: StoreContext) -> dict[str, int]:
    names = context.client.scan_iter(context.key("key:*"))
    return {name: context.client.pttl(name) for name in names}


def test_a_released_reservation_gives_its_place_back(
    store_context: StoreContext,
) -> None:
    call(store_context, "reserve", "j1")
    assert left(store_context) == 2
    call(store_context, "release", "j1")
    assert left(store_context) == 3


def test_a_reservation_takes_and_gives_back_one_place_however_often_it_is_asked(
    store_context: StoreContext,
) -> None:
    accept(store_context)
    for _ in range(2):
        call(store_context, "reserve", "j1")
    assert left(store_context) == 1
    for _ in range(2):
        call(store_context, "release", "j1")
    assert left(store_context) == 2


def test_a_committed_reservation_is_not_given_back(store_context: StoreContext) -> None:
    call(store_context, "reserve", "j1")
    assert call(store_context, "commit", "j1") == 1
    call(store_context, "release", "j1")
    assert left(store_context) == 2


def test_a_job_that_is_put_on_record_commits_its_reservation_and_counts_no_other(
    store_context: StoreContext,
) -> None:
    job_id = "a" * 32
    call(store_context, "reserve", job_id)
    accept(store_context, id=job_id)
    assert left(store_context) == 2
    call(store_context, "release", job_id)
    assert left(store_context) == 2


def test_a_used_up_quota_refuses_a_job_and_counts_nothing(
    store_context: StoreContext,
) -> None:
    for _ in range(3):
        assert isinstance(accept(store_context), Accepted)
    refused = accept(store_context)
    assert isinstance(refused, Full)
    assert refused.scope == "day"
    assert 0 < refused.wait <= DAY_MS / 1000
    assert store_context.client.mget(
        store_context.client.scan_iter(store_context.key("key:day:*"))
    ) == ["3"]


def test_counters_and_reservations_expire_within_two_days(
    store_context: StoreContext,
) -> None:
    accept(store_context)
    (counter,) = lifetimes(store_context)
    call(store_context, "reserve", "j1")
    found = lifetimes(store_context)
    assert set(found) == {counter, store_context.key("key:reserved:j1")}
    # Longer than the day that they count, so that none is forgotten on it.
    assert all(DAY_MS < lifetime <= 2 * DAY_MS for lifetime in found.values())


def test_a_counter_that_a_reservation_began_expires_too(
    store_context: StoreContext,
) -> None:
    call(store_context, "reserve", "j1")
    assert all(DAY_MS < one <= 2 * DAY_MS for one in lifetimes(store_context).values())
