"""Decode a film anew and compare what it shows with what its description states."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from PIL import Image

from tests.acceptance import marks
from tests.acceptance.films.film import Film
from tests.acceptance.films.make import FFMPEG

_BASE = re.compile(r"config in time_base: (\d+)/(\d+)")
_FRAME = re.compile(
    r"\] n: *\d+ pts: *(?P<pts>-?\d+) .*"
    r" sar:(?P<num>\d+)/(?P<den>\d+) s:(?P<width>\d+)x(?P<height>\d+)"
)
_START = re.compile(r"^  Duration: .*start: (-?[\d.]+)", re.MULTILINE)
_BROKEN = re.compile(r"^\[.*(?:Error submitting|concealing|corrupt).*", re.MULTILINE)
_CLOSE = 0.0015
"""Seconds: Matroska and the GIF-like formats round to milliseconds."""


class BrokenFilm(Exception):
    """The decoder found something wrong with the film."""


@dataclass(frozen=True)
class Shown:
    """One frame as FFmpeg shows it: seconds after the container's start, and its mark.

    `size` is upright, with square pixels. `reading` is None for a frame that was not
    looked at.
    """

    time: float
    size: tuple[int, int]
    reading: marks.Reading | None


def shown(path: Path, film: Film, every: int = 1) -> list[Shown]:
    """Return all frames of a film; the mark of every so many of them is read."""
    with tempfile.TemporaryFile() as log:
        pictures = _decode(path, film, log.fileno(), every)
        log.seek(0)
        text = log.read().decode(errors="replace")
    start = _START.search(text)
    zero = Fraction(start[1]) if start else Fraction(0)
    base = _BASE.search(text)
    assert base, text
    unit = Fraction(int(base[1]), int(base[2]))
    broken = _BROKEN.search(text)
    if broken:
        raise BrokenFilm(broken[0])
    stated = list(_FRAME.finditer(text))
    assert len(stated) == len(pictures), text[-2000:]
    return [
        Shown(float(int(frame["pts"]) * unit - zero), _size(frame), reading)
        for frame, reading in zip(stated, pictures, strict=True)
    ]


def _size(frame: re.Match[str]) -> tuple[int, int]:
    aspect = Fraction(int(frame["num"]) or 1, int(frame["den"]) or 1)
    return (round(int(frame["width"]) * aspect), int(frame["height"]))


def _decode(path: Path, film: Film, log: int, every: int) -> list[marks.Reading | None]:
    width, height = film.size
    # Showinfo sees the frames' own times, upright; then they are made to be read.
    graph = f"showinfo=checksum=0,scale={width}:{height}"
    argv = [FFMPEG, "-hide_banner", "-nostdin", "-copyts"]
    argv += ["-err_detect", "explode", "-i", str(path)]
    argv += ["-map", film.stream, "-fps_mode", "passthrough", "-vf", graph]
    argv += ["-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=log) as ffmpeg:
        assert ffmpeg.stdout is not None
        found = []
        while data := ffmpeg.stdout.read(width * height * 3):
            frame = None
            if len(found) % every == 0:
                picture = Image.frombytes("RGB", film.size, data)
                frame = marks.read(picture, film.bits)
            found.append(frame)
    return found


def differences(path: Path, film: Film, every: int = 1) -> Iterator[str]:
    """Yield all that the film shows otherwise than its description states."""
    try:
        found = shown(path, film, every)
    except marks.Unreadable as error:
        yield f"unreadable: {error}"
        return
    except BrokenFilm as error:
        yield f"broken: {error}"
        return
    if len(found) != film.count:
        yield f"{len(found)} frames, not {film.count}"
    for place, (frame, time) in enumerate(zip(found, film.shown_at, strict=False)):
        if abs(frame.time - time) > _CLOSE:
            yield f"frame {place} at {frame.time:.4f}, not {time:.4f}"
        if frame.size != film.size:
            yield f"frame {place} is shown in {frame.size}, not {film.size}"
        if frame.reading is None:
            continue
        if frame.reading.number != film.first + place:
            yield f"frame {place} is {frame.reading.number}, not {film.first + place}"
        if not frame.reading.upright:
            yield f"frame {place} is not upright: {frame.reading.corners}"
