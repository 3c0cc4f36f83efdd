"""Where FFmpeg is, what a run of it may use, and the options all runs get."""

from __future__ import annotations

import functools
import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

import imageio_ffmpeg

from common.settings.load import Settings
from worker.media.ffmpeg.process import Bounds

_FALSE = "/bin/false"
RESIDENT_BYTES = 960 * 1024 * 1024


@functools.cache
def _bundled() -> str:
    return str(imageio_ffmpeg.get_ffmpeg_exe())


def path(settings: Settings) -> str:
    """Give the path of FFmpeg: the setting, else the wheel's static build."""
    return str(Path(settings.ffmpeg).resolve()) if settings.ffmpeg else _bundled()


@functools.cache
def _sources_digest() -> bytes:
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.digest()


def edition(settings: Settings) -> str:
    """Name what makes results of media: this library's code, and the FFmpeg in use."""
    ffmpeg = Path(path(settings))
    digest = hashlib.sha256(_sources_digest())
    digest.update(f"{ffmpeg.name} {ffmpeg.stat().st_size}".encode())
    return digest.hexdigest()


def bounds(settings: Settings, seconds: float, silent: float = 0.0) -> Bounds:
    """Return what a run over ``seconds`` of media may use.

    ``silent`` is how many CPU seconds of it may pass without progress.
    """
    engine = settings.engine
    lull = engine.cap_ratio * silent
    cap = engine.cap_seconds + engine.cap_ratio * seconds + lull
    return Bounds(
        memory_bytes=engine.memory_bytes,
        resident_bytes=min(RESIDENT_BYTES, engine.memory_bytes),
        output_bytes=engine.output_bytes,
        stall_seconds=engine.stall_seconds + lull,
        cap_seconds=min(cap, engine.hard_seconds),
    )


def probe_bounds(settings: Settings) -> Bounds:
    """Return what one look at a file may use: at most ``engine.probe_seconds``."""
    engine = settings.engine
    return Bounds(
        memory_bytes=engine.memory_bytes,
        resident_bytes=RESIDENT_BYTES,
        output_bytes=1024 * 1024,
        stall_seconds=engine.probe_seconds,
        cap_seconds=engine.probe_seconds,
    )


def head(settings: Settings) -> list[str]:
    """Give the words before a recipe's own: the program and its global options."""
    return [
        path(settings),
        "-hide_banner",
        "-nostdin",
        "-loglevel",
        "warning",
        "-nostats",
        "-stats_period",
        "0.25",
        "-progress",
        "{progress}",
        # What can be decoded of a damaged file counts; FFmpeg would give up over 2/3.
        "-max_error_rate",
        "1",
        # A file's timestamps reach the filters as they are: FFmpeg would move them by
        # where it believes that a seek has led.
        "-copyts",
        "-y",
    ]


def command(settings: Settings, name: str, words: Sequence[str]) -> list[str]:
    """Give all words of a run; a program that is missing becomes ``false``.

    Its exit status, not an error, tells the recipe that the program is not there.
    """
    if name == "ffmpeg":
        return [*head(settings), *words]
    found = shutil.which(name)
    return [found, *words] if found else [_FALSE]
