"""Recordings joined in one stream: one timeline for all outputs, or a warning."""

from __future__ import annotations

from fractions import Fraction

import pytest

from tests.acceptance.faults.timeline import (
    AUTO,
    BOARD,
    STILLS,
    Numbered,
    cells,
    sheet,
    stills,
    tiles,
)
from tests.conftest import CASES

TEN = Fraction(10)
_PACKET = 188


@pytest.fixture(scope="module")
def jump(tmp_path_factory):
    """The two recordings, the second of which begins five hours later."""
    data = bytearray((CASES / "disc_reset.ts").read_bytes())
    half = _second_half(data)
    for start in range(half, len(data), _PACKET):
        _delay(memoryview(data)[start : start + _PACKET], 5 * 3600 * 90_000)
    path = tmp_path_factory.mktemp("films") / "jump.ts"
    path.write_bytes(data)
    return path


def _second_half(data: bytes) -> int:
    """Return where the second file begins: its tables come again, counted from 0."""
    head = bytes(data[:_PACKET])
    return data.index(head, _PACKET)


def _delay(packet: memoryview, ticks: int) -> None:
    """Move the times in the header of a PES packet, where one begins here."""
    if not packet[1] & 0x40:
        return
    at = 4 + (1 + packet[4] if packet[3] & 0x20 else 0)
    if bytes(packet[at : at + 3]) != b"\0\0\1" or not 0xE0 <= packet[at + 3] <= 0xEF:
        return
    for place in range(packet[at + 7] >> 6 & 1, -1, -1):
        if packet[at + 7] & 0x80:
            _move(packet[at + 9 + 5 * place : at + 14 + 5 * place], ticks)


def _move(field: memoryview, ticks: int) -> None:
    value = (field[0] >> 1 & 7) << 30 | (field[1] << 7 | field[2] >> 1) << 15
    value |= field[3] << 7 | field[4] >> 1
    value += ticks
    field[0] = field[0] & 0xF1 | (value >> 30 & 7) << 1
    field[1], field[2] = value >> 22 & 0xFF, (value >> 15 & 0x7F) << 1 | 1
    field[3], field[4] = value >> 7 & 0xFF, (value & 0x7F) << 1 | 1


@pytest.mark.parametrize("name", ["reset", "jump"])
def test_recordings_are_shown_one_after_another(service, jump, name):
    path = CASES / "disc_reset.ts" if name == "reset" else jump
    film = Numbered(path, TEN)
    outputs = [AUTO, {**STILLS, "times": [4, 12.5, "50%", 19]}]
    outputs += [{**BOARD, "interval": 2}, sheet(3, 2)]

    job = service.submit(path, outputs)

    index, shown = tiles(service, job, film)
    for output in ("auto", "thumbnail"):
        shown += stills(service, job, film, output)
    shown += cells(service, job, film)
    assert [one for one in shown if film.off(one.time, one.number) > 1] == []
    assert len(shown) == 10 + 1 + 4 + 6
    assert job["media"]["duration"] == pytest.approx(20, abs=0.1)
    assert index["duration"] == pytest.approx(job["media"]["duration"], abs=0.001)
    assert "clock_jumps" in job["warnings"]


def test_a_film_that_goes_on_in_another_stream_is_warned_about(service):
    film = Numbered(CASES / "pidchange.ts", TEN)

    job = service.submit(film.path, [AUTO, {**BOARD, "interval": 2}])

    index, shown = tiles(service, job, film)
    shown += stills(service, job, film, "auto")
    assert [one for one in shown if film.off(one.time, one.number) > 1] == []
    assert index["duration"] == pytest.approx(job["media"]["duration"], abs=0.001)
    assert "stream_changes" in job["warnings"]
