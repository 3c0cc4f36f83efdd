"""A short run of ./dev fuzz, and what it would notice."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from common.errors import DecodeError
from tests.corpus import fuzz
from tests.corpus.fuzz import Fuzz
from worker.media.engine import Engine

CASES = 16


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return fuzz.seeds(tmp_path_factory.mktemp("seeds"))


@pytest.mark.slow
def test_changed_clips_cause_no_error_of_ours_and_leave_nothing(
    clips: list[Path], tmp_path: Path
) -> None:
    tally = Fuzz(clips, "short", tmp_path).run(range(CASES), 600)

    print(tally)
    assert tally.faults == []
    assert tally.cases == CASES
    assert len(tally.results) > 2, "some are refused, of some an output is made"


def test_a_case_is_the_same_at_every_run(clips: list[Path]) -> None:
    first, second = (fuzz.mutated(clips, Random("1:7")) for _ in range(2))

    assert first == second
    assert fuzz.mutated(clips, Random("1:8")) != first


@pytest.mark.parametrize("what", ["ZeroDivisionError", "left", "became"])
def test_a_fault_is_noticed(
    what: str, clips: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = []

    def probe(*_: object) -> None:
        if what == "ZeroDivisionError":
            raise ZeroDivisionError
        if what == "left":
            (tmp_path / "temporary" / "left").touch()
        else:
            held.append((tmp_path / "clip").open("rb"))
        raise DecodeError("refused")

    monkeypatch.setattr(Engine, "probe", probe)
    tally = Fuzz(clips, "fault", tmp_path).run(range(2), 60)

    assert what in tally.faults[0]
    assert all(what in fault for fault in tally.faults)
    for one in held:
        one.close()
