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


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".frag.mp4"])
def test_an_mp4_is_opened_without_decoding_and_then_its_frames_are_decoded(
    make, monkeypatch, suffix
):
    words = ("-bf", "2", "-movflags", "frag_keyframe+empty_moov")
    film = make(f"undecoded{suffix}", "testsrc2=s=96x64:r=25:d=2", *words)
    options = child.Options(FORMATS, 10**6, 10**6, 20.0)

    found = child.read(film, options)
    monkeypatch.setattr(child, "_undecoded", lambda _: {})

    assert [one["pts"] for one in found["videos"][0]["frames"]] == [1024, 1536]
    assert found == child.read(film, options)


def test_a_matroska_is_opened_by_decoding_since_it_states_no_decoding_times(make):
    film = make("decoded.mkv", "testsrc2=s=96x64:r=25:d=2", "-bf", "2")

    assert child._undecoded(film) == {}


def test_a_frame_that_is_no_keyframe_of_its_own_is_looked_for_in_what_follows(
    make, monkeypatch
):
    film = make("sought.mp4", "testsrc2=s=96x64:r=25:d=4", "-g", "25")
    options = child.Options(FORMATS, 10**6, 10**6, 20.0)
    assert child.read(film, options)["videos"][0]["seekable"]

    monkeypatch.setattr(child, "_keyframe_alone", lambda *_: None)

    assert child.read(film, options)["videos"][0]["seekable"]
