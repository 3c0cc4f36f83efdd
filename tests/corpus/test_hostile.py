"""Every hostile clip is refused or bounded, and touches nothing but itself.

Run with ``pytest tests/corpus/test_hostile.py --corpus FOLDER``.
"""

from __future__ import annotations

import os
import socket
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from common.settings.load import Settings
from tests.conftest import SAMPLE
from tests.corpus import hostile, inventory
from tests.corpus.hostile import Canaries, besiege

PROCESSES = 2


@pytest.mark.corpus
@pytest.mark.timeout(1800)
def test_given_hostile_clips_when_every_output_is_made_then_nothing_else_is_touched(
    corpus: Path,
) -> None:
    entries = [one for one in inventory.read(corpus) if hostile.is_hostile(one)]
    assert len(entries) > 50
    with ProcessPoolExecutor(PROCESSES) as pool:
        found = list(pool.map(besiege, entries, [Settings()] * len(entries)))
    # What was late is tried once more, by itself: the machine may have been busy.
    late = [place for place, trial in enumerate(found) if trial.slow]
    for place in late:
        found[place] = besiege(entries[place], Settings())
    peak = max(found, key=lambda trial: trial.peak)
    made = sum(trial.made for trial in found)
    print(f"{len(found)} clips, {made} outputs, {peak.peak >> 20} MiB for {peak.file}")

    wrong = [
        f"{one.file}: {'; '.join(one.faults + one.slow)}"
        for one in found
        if one.faults or one.slow
    ]

    assert not wrong, f"{len(wrong)} of {len(found)} clips:\n" + "\n".join(wrong)


def test_canaries_notice_who_touches_them(tmp_path: Path) -> None:
    canaries = Canaries(tmp_path)
    try:
        (tmp_path / "clip.mp4").write_bytes(b"x")
        assert canaries.touched("clip.mp4") == []
        canaries.secret.read_bytes()
        (tmp_path / "neighbour.mp4").read_bytes()
        host, _, port = canaries.place.decode().partition(":")
        socket.create_connection((host, int(port))).close()
        assert sorted(canaries.touched("clip.mp4")) == sorted(
            [canaries.secret.name, "neighbour.mp4", "the port"]
        )
        assert canaries.touched("clip.mp4") == []
        assert len(os.fsencode(canaries.secret)) == len("/etc/passwd")
    finally:
        canaries.close()


def test_a_harmless_clip_has_no_fault() -> None:
    entry = inventory.Entry(SAMPLE, "fuzz-", "ok", "")

    trial = besiege(entry, Settings(), hostile.SPECS[:1])

    assert (trial.faults, trial.made) == ([], 1)
    assert 0 < trial.peak < hostile.MEMORY
