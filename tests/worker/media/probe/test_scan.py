"""How far a small file is read depends on the work, and not on the clock."""

from __future__ import annotations

import time

import pytest

from worker.media.ffmpeg.formats import FORMATS
from worker.media.probe import child

SECONDS = 0.3


def _sleep() -> None:
    time.sleep(SECONDS / 20)


def _spin() -> None:
    until = time.process_time() + SECONDS / 20
    while time.process_time() < until:
        pass


@pytest.mark.parametrize(("delay", "complete"), [(_sleep, True), (_spin, False)])
def test_a_scan_ends_early_only_by_its_own_work(make, monkeypatch, delay, complete):
    clip = make("scan.gif", "testsrc2=s=32x32:r=25:d=2")
    note = child.Track.note

    def slow(track: child.Track, packet: object) -> None:
        delay()
        note(track, packet)

    monkeypatch.setattr(child.Track, "note", slow)
    options = child.Options(FORMATS, 10**6, 10**6, SECONDS)

    facts = child.read(clip, options)

    assert facts["complete"] is complete
    assert (facts["videos"][0]["packets"] == 50) is complete
