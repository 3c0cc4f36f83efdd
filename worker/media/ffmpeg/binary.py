"""Find FFmpeg, and define the limits and options that every run gets."""

from __future__ import annotations

import functools
import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

import imageio_ffmpeg

from common.settings.load import Settings
from worker.media.ffmpeg.process import Bounds
from worker.media.sandbox import layers

_FALSE = "/bin/false"
RESIDENT_BYTES = 960 * 1024 * 1024


@functools.cache
def _bundled() -> str:
    return str(imageio_ffmpeg.get_ffmpeg_exe())


def path(settings: Settings) -> str:
    """Return the path of FFmpeg: the setting, or the wheel's static build."""
    return str(Path(settings.ffmpeg).resolve()) if settings.ffmpeg else _bundled()


@functools.cache
def _sources_digest() -> bytes:
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.digest()


def edition(settings: Settings) -> str:
    """Return a hash of this library and the FFmpeg in use; results depend on both."""
    ffmpeg = Path(path(settings))
    digest = hashlib.sha256(_sources_digest())
    digest.update(f"{ffmpeg.name} {ffmpeg.stat().st_size}".encode())
    return digest.hexdigest()


def bounds(
    settings: Settings, seconds: float, silent: float = 0.0, reserved: int = 0
) -> Bounds:
    """Return the limits of a run over ``seconds`` of media.

    ``silent`` is how many CPU seconds of it may pass without progress, ``reserved``
    how many bytes may be allocated without being used.
    """
    engine = settings.engine
    lull = engine.cap_ratio * silent
    cap = engine.cap_seconds + engine.cap_ratio * seconds + lull
    return Bounds(
        memory_bytes=engine.memory_bytes,
        resident_bytes=min(RESIDENT_BYTES, engine.memory_bytes),
        reserved_bytes=reserved,
        output_bytes=engine.output_bytes,
        stall_seconds=engine.stall_seconds + lull,
        cap_seconds=min(cap, engine.hard_seconds),
        layers=layers.chosen(engine.sandbox),
    )


def probe_bounds(settings: Settings, stdout_bytes: int) -> Bounds:
    """Return the limits of one probe: at most ``engine.probe_seconds``."""
    engine = settings.engine
    return Bounds(
        memory_bytes=engine.memory_bytes,
        resident_bytes=RESIDENT_BYTES,
        output_bytes=1024 * 1024,
        stall_seconds=engine.probe_seconds,
        cap_seconds=engine.probe_seconds,
        stdout_bytes=stdout_bytes,
        writes=False,
        layers=layers.chosen(engine.sandbox),
    )


def head(settings: Settings) -> list[str]:
    """Return the program and the global options that precede a recipe's own words."""
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
        # Keep what can be decoded of a damaged file: FFmpeg would fail above 2/3.
        "-max_error_rate",
        "1",
        # Leave timestamps unchanged: FFmpeg would shift them by where it believes that
        # a seek has led.
        "-copyts",
        "-y",
    ]


def command(settings: Settings, name: str, words: Sequence[str]) -> list[str]:
    """Return all words of a run; for a program that is missing, run ``false``.

    The recipe then learns from the exit status that the program is not there.
    """
    if name == "ffmpeg":
        return [*head(settings), *words]
    found = shutil.which(name)
    return [found, *words] if found else [_FALSE]
