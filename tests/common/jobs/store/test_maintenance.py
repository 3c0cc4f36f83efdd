"""The reaper's pass, and the upkeep around it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from common.errors import Conflict, NotFound
from common.jobs.store import JobStore, Refusal
from common.settings.sections import Lease
from tests.common.jobs.store.lab import BAD, IDLE, Lab


def test_an_expired_lease_goes_back_to_its_queue(lab: Lab) -> None:
    job_id = lab.opened()
    claim = lab.claim(f"{job_id}:o:poster")
    lab.reaper_was_here()
    lab.expire(claim.piece)

    reaped = lab.store.reap(100, IDLE)

    assert (reaped.expired, reaped.failed, reaped.outage) == (1, 0, False)
    assert [bell.piece for bell in reaped.bells] == [claim.piece]
    assert lab.states(job_id) == ["queued"]
    again = lab.claim(claim.piece)
    assert (again.attempt, again.lost) == (1, 1)


def test_a_living_lease_is_left_alone(lab: Lab) -> None:
    claim = lab.claim(f"{lab.opened()}:o:poster")
    lab.reaper_was_here()
    assert lab.store.reap().expired == 0
    assert lab.store.beat(claim) == "ok"


def test_lost_leases_end_a_piece_at_their_own_limit(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab(lease=Lease(max_lost_leases=3, max_attempts=1))
    job_id = lab.opened()
    piece = f"{job_id}:o:poster"
    passes = []
    for _ in range(3):
        lab.claim(piece)
        lab.reaper_was_here()
        lab.expire(piece)
        passes.append(lab.store.reap().failed)
    assert passes == [0, 0, 1]
    assert lab.status(job_id) == "failed"
    (dead,) = lab.store.dead()
    assert (dead.piece, dead.job_id, dead.output) == (piece, job_id, "poster")
    assert dead.error.code == "worker_lost"
    said = [report.error for report in lab.get(job_id).outputs[0].attempts]
    for number, error in enumerate(said, 1):
        assert error is not None
        assert error.detail.startswith("the worker vanished while it had this work")
        assert f", {number} of at most 3 times" in error.detail
    assert dead.error == said[-1]


@pytest.mark.parametrize("seconds", [16, 3600])
def test_after_an_outage_every_lease_is_extended(lab: Lab, seconds: int) -> None:
    claim = lab.claim(f"{lab.opened()}:o:poster")
    lab.expire(claim.piece)
    lab.reaper_was_away(seconds)

    first, second = lab.store.reap(), lab.store.reap()

    assert (first.outage, first.expired) == (True, 0)
    assert (second.outage, second.expired) == (False, 0)
    assert lab.store.beat(claim) == "ok"


def test_a_short_pause_is_no_outage(lab: Lab) -> None:
    lab.reaper_was_away(11)
    assert not lab.store.reap().outage


def test_the_first_pass_ever_expires_nothing(lab: Lab) -> None:
    claim = lab.claim(f"{lab.opened()}:o:poster")
    lab.expire(claim.piece)
    assert lab.store.reap().outage
    assert lab.store.beat(claim) == "ok"


def test_a_cancelled_piece_whose_worker_vanished_is_cancelled(lab: Lab) -> None:
    job_id = lab.opened()
    claim = lab.claim(f"{job_id}:o:poster")
    lab.store.cancel(job_id)
    lab.reaper_was_here()
    lab.expire(claim.piece)
    assert lab.store.reap(100, IDLE).bells == []
    assert lab.status(job_id) == "cancelled"


def test_a_bell_that_led_to_nothing_is_rung_again(lab: Lab) -> None:
    job_id = lab.accept()
    piece = f"{job_id}:prepare"
    lab.reaper_was_here()
    assert lab.store.reap(100, IDLE).bells == []

    lab.ripen(piece, "pending:fast")
    reaped = lab.store.reap(100, IDLE)

    assert [bell.piece for bell in reaped.bells] == [piece]
    assert reaped.republished == 1
    assert lab.store.reap(100, IDLE).bells == []


def test_the_pauses_between_rings_grow_to_ten_minutes(lab: Lab) -> None:
    piece = f"{lab.accept()}:prepare"
    pauses = []
    for _ in range(7):
        lab.reaper_was_here()
        lab.ripen(piece, "pending:fast")
        lab.store.reap(100, IDLE)
        due = lab.client.zscore(lab.key("pending:fast"), piece)
        assert isinstance(due, float)
        pauses.append(round(due / 1000 - lab.client.time()[0], -1))
    assert pauses == [30, 60, 120, 240, 480, 600, 600]


def test_what_waits_behind_its_message_is_not_rung_again(lab: Lab) -> None:
    pieces = [f"{lab.accept()}:prepare" for _ in range(5)]
    for piece in pieces:
        lab.ripen(piece, "pending:fast")
    lab.reaper_was_here()

    gated = lab.store.reap(100, {"fast": 5, "slow": 0})
    one_lost = lab.store.reap(100, {"fast": 4, "slow": 9})

    assert (gated.bells, gated.skipped) == ([], 5)
    assert (len(one_lost.bells), one_lost.skipped) == (1, 4)


def test_a_longer_backlog_than_pieces_rings_nothing(lab: Lab) -> None:
    piece = f"{lab.accept()}:prepare"
    lab.ripen(piece, "pending:fast")
    lab.reaper_was_here()
    assert lab.store.reap(100, {"fast": 50}).bells == []


def test_the_limit_bounds_a_pass(lab: Lab) -> None:
    for _ in range(5):
        lab.ripen(f"{lab.accept()}:prepare", "pending:fast")
    lab.reaper_was_here()
    assert len(lab.store.reap(2, IDLE).bells) == 2
    assert len(lab.store.reap(100, IDLE).bells) == 3


def test_while_the_broker_is_away_no_backoff_grows(lab: Lab) -> None:
    piece = f"{lab.accept()}:prepare"
    lab.ripen(piece, "pending:fast")
    lab.reaper_was_here()
    assert lab.store.reap(100, None).bells == []
    assert [bell.piece for bell in lab.store.reap(100, IDLE).bells] == [piece]


def test_a_delayed_retry_is_rung_at_its_time_past_the_gate(lab: Lab) -> None:
    job_id = lab.opened()
    piece = f"{job_id}:o:poster"
    lab.store.release(lab.claim(piece), "retry", error=BAD, delay_seconds=60)
    lab.reaper_was_here()
    assert lab.store.reap(100, IDLE).bells == []

    lab.ripen(piece, "delayed")
    reaped = lab.store.reap(100, {"fast": 100, "slow": 100})

    assert [bell.piece for bell in reaped.bells] == [piece]
    assert lab.store.reap(100, IDLE).bells == []


def test_a_claimed_piece_is_not_rung(lab: Lab) -> None:
    piece = f"{lab.opened()}:o:poster"
    lab.claim(piece)
    lab.reaper_was_here()
    assert lab.client.zscore(lab.key("pending:fast"), piece) is None
    assert lab.store.reap(100, IDLE).bells == []


def test_counts_tell_the_state_of_the_store(lab: Lab) -> None:
    lab.accept()
    lab.claim(f"{lab.opened()}:o:poster")
    lab.done()
    lab.reaper_was_here()
    lab.store.worker_alive("host:1", {"queues": ["fast"]})

    stats = lab.store.stats()

    assert stats.pending == {"fast": 1, "slow": 0}
    assert 0 <= stats.oldest_pending_seconds["fast"] < 60
    assert (stats.leased, stats.dead, stats.workers) == (1, 0, 1)
    assert stats.jobs["processing"] == 1
    assert stats.jobs["completed"] == 1
    assert stats.counters["accepted"] == 3
    assert stats.reaper_seconds is not None
    assert stats.reaper_seconds < 60


def test_living_workers_are_listed_and_silent_ones_not(lab: Lab) -> None:
    lab.store.worker_alive("a:1", {"queues": ["fast"]})
    lab.store.worker_alive("b:2", {})
    (worker, _) = lab.store.workers()
    assert (worker["name"], worker["info"]) == ("a:1", {"queues": ["fast"]})
    lab.client.zadd(lab.key("workers"), {"a:1": 1})
    assert [one["name"] for one in lab.store.workers()] == ["b:2"]


def kill(lab: Lab, piece: str) -> None:
    """Let workers die on a piece until it is given up."""
    while not isinstance(claim := lab.store.claim(piece, "t", "w"), Refusal):
        lab.store.died(piece, claim.token)


def test_a_dead_output_is_redriven_with_renewed_attempts(lab: Lab) -> None:
    job_id = lab.opened("one", "two")
    kill(lab, f"{job_id}:o:one")
    lab.ruin(f"{job_id}:o:two")
    old = lab.client.hget(lab.key(f"job:{job_id}"), "fence")

    outcome = lab.store.redrive(f"{job_id}:o:one")

    assert [bell.piece for bell in outcome.bells] == [f"{job_id}:o:one"]
    assert lab.states(job_id) == ["queued", "failed"]
    assert lab.store.dead() == []
    claim = lab.claim(f"{job_id}:o:one")
    assert (claim.attempt, claim.deaths) == (1, 0)
    assert claim.fence > int(str(old))


def test_redriving_what_is_not_dead_is_refused(lab: Lab) -> None:
    job_id = lab.done()
    with pytest.raises(Conflict):
        lab.store.redrive(f"{job_id}:o:poster")
    with pytest.raises(NotFound):
        lab.store.redrive("f" * 32 + ":o:poster")


def test_dead_pieces_are_purged_singly_or_all(lab: Lab) -> None:
    pieces = [f"{lab.opened()}:o:poster" for _ in range(3)]
    for piece in pieces:
        kill(lab, piece)
    assert lab.store.purge(pieces[0]) == 1
    assert {dead.piece for dead in lab.store.dead()} == set(pieces[1:])
    assert lab.store.purge() == 2
    assert lab.store.dead() == []


def chores(store: JobStore) -> dict[str, str]:
    return {chore.kind: chore.member for chore in store.chores()}


def all_due(lab: Lab) -> None:
    for member in lab.client.zrange(lab.key("chores"), 0, -1):
        lab.has_run_out(str(member))


def test_an_ended_job_leaves_its_chores(lab: Lab) -> None:
    job_id = lab.done()
    assert lab.store.chores() == []
    all_due(lab)
    assert set(chores(lab.store)) == {"litter", "source", "record"}
    assert {chore.job_id for chore in lab.store.chores()} == {job_id}


def test_a_retried_job_has_no_chores(lab: Lab) -> None:
    job_id = lab.opened()
    lab.ruin(f"{job_id}:o:poster")
    lab.store.retry(job_id)
    assert not lab.client.exists(lab.key("chores"))


def test_a_source_goes_when_its_last_job_has_let_go(lab: Lab) -> None:
    first = lab.new_job()
    lab.store.accept(first)
    second = lab.accept(source=first.source)
    for job_id in (first.id, second):
        lab.open(job_id)
        lab.make(f"{job_id}:o:poster")
    all_due(lab)
    ones, others = [chore for chore in lab.store.chores() if chore.kind == "source"]

    lab.store.finish_chore(ones)
    assert "blob" not in chores(lab.store)
    lab.store.finish_chore(others)

    assert chores(lab.store)["blob"] == f"blob:{first.source.key}"
    assert not lab.get(second).source_kept


def test_the_chore_of_a_record_removes_its_index_lines(lab: Lab) -> None:
    job_id = lab.done(owner="a:b")
    all_due(lab)
    (record,) = [chore for chore in lab.store.chores() if chore.kind == "record"]
    assert record.job_id == job_id
    # the hashes go by their TTL
    for key in lab.client.scan_iter(lab.key("*")):
        if lab.client.ttl(key) > 0 and "call:" not in key:
            lab.client.delete(key)
    assert lab.store.list("a:b") == ([], None)

    lab.store.finish_chore(record)

    assert not [name for name in lab.snapshot() if name.startswith("jobs:")]


def test_a_deferred_chore_comes_later(lab: Lab) -> None:
    lab.done()
    all_due(lab)
    for chore in lab.store.chores():
        lab.store.defer_chore(chore)
    assert lab.store.chores() == []


def test_an_upload_that_no_job_took_is_cleaned(lab: Lab) -> None:
    lab.store.reserve_blob("in/x/source", -1)
    (chore,) = lab.store.chores()
    assert (chore.kind, chore.key) == ("blob", "in/x/source")


def test_an_accepted_job_takes_its_upload(lab: Lab) -> None:
    new = lab.new_job()
    assert new.source.key is not None
    lab.store.reserve_blob(new.source.key, -1)
    lab.store.accept(new)
    assert lab.store.chores() == []


def test_a_deleted_job_leaves_its_files_to_the_sweep(lab: Lab) -> None:
    job_id = lab.done()
    lab.store.delete(job_id)
    all_due(lab)
    assert chores(lab.store) == {
        "deleted": f"deleted:{job_id}",
        "blob": f"blob:in/{job_id}/source",
    }
