"""A file that was posted and whose job was never recorded: how long it is kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from api.jobs import reservation
from api.jobs.reservation import ReservedBody, reserved_seconds
from common.errors import StoreUnavailable
from common.jobs.store import JobStore
from common.settings.load import Settings
from common.uploads import Uploads
from tests.api.conftest import Context, a_file, post_form
from worker.maintenance.janitor import Janitor

CHUNKS = [b"one", b"two", b"three"]


class SlowBody:
    """A body whose every read takes 400 s by a clock of its own."""

    def __init__(self) -> None:
        self.now = 0.0
        self._chunks = iter(CHUNKS)

    def read(self, size: int, /) -> bytes:
        self.now += 400
        return next(self._chunks, b"")


class Reserving:
    """The part of the store that a body needs; it is away at the calls ``away``."""

    def __init__(self, *away: int) -> None:
        self.calls: list[tuple[str, float]] = []
        self._away = away

    def reserve_blob(self, key: str, seconds: float) -> None:
        self.calls.append((key, seconds))
        if len(self.calls) in self._away:
            raise StoreUnavailable("away")


def read_all(store: Any, monkeypatch: pytest.MonkeyPatch) -> bytes:
    slow = SlowBody()
    clock = SimpleNamespace(monotonic=lambda: slow.now)
    monkeypatch.setattr(reservation, "time", clock)
    body = ReservedBody(slow, store, "in/x/source", Settings())
    return b"".join(iter(lambda: body.read(9), b""))


def test_a_slow_body_keeps_its_blob_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Reserving()

    assert read_all(store, monkeypatch) == b"onetwothree"

    # Once before the first byte, and after each read, also that of the end.
    assert store.calls == [("in/x/source", 900.0)] * 5


def test_a_store_that_is_away_meanwhile_does_not_end_the_upload(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert read_all(Reserving(2, 3), monkeypatch) == b"onetwothree"


def test_without_a_reservation_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreUnavailable):
        read_all(Reserving(1), monkeypatch)


@pytest.mark.parametrize(
    ("api", "seconds"),
    [({}, 900.0), ({"body_seconds": 3600}, 7200.0), ({"body_rate": 0}, 86_400.0)],
)
def test_the_time_is_longer_than_a_body_may_pause(
    api: dict[str, Any], seconds: float
) -> None:
    assert reserved_seconds(Settings.model_validate({"api": api})) == seconds


def test_given_a_post_that_died_before_the_record_then_the_sweep_takes_its_file(
    make_context: Callable[..., Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reservation, "_SECONDS", 2.0)
    context = make_context(api={"body_seconds": 1})
    post_form(context, {"file": a_file()})
    (kept,) = context.stored()

    def die(*_: Any, **__: Any) -> None:
        raise StoreUnavailable("the process is gone for the caller")

    monkeypatch.setattr(JobStore, "accept", die)
    assert post_form(context, {"file": a_file()}).status_code == 503
    runtime = context.runtime
    uploads = Uploads.connect(runtime.settings, runtime.blobs)
    janitor = Janitor(runtime.store, runtime.blobs, uploads, 24)
    assert len(context.stored()) == 2

    deadline = time.monotonic() + 60
    while context.stored() != [kept]:
        janitor.clean()
        assert kept in context.stored(), "the source of a job stays"
        assert time.monotonic() < deadline, context.stored()
        time.sleep(0.05)
