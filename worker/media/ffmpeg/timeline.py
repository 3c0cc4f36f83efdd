"""A copy of a file whose clock goes on where that of the file begins again or jumps.

FFmpeg corrects such jumps in what it reads from the start; behind a seek it cannot know
of them. So the packets are copied once, in the order of the file, and every output is
made of the copy. Nothing is decoded.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from common.errors import DecodeError, DiskFull
from common.model import MediaInfo
from common.settings.load import Settings
from worker.media import warning_codes
from worker.media.ffmpeg import binary, process
from worker.media.ffmpeg.formats import FORMATS, MAX_STREAMS, PROTOCOLS

# What the copy may add to the size of the file.
_ROOM = 16 * 1024 * 1024


def jumps(media: MediaInfo) -> bool:
    """Return whether the file's own clock cannot be used."""
    return warning_codes.CLOCK_JUMPS in media.warnings and not media.rewritten


def rewrite(
    source: Path,
    target: Path,
    settings: Settings,
    should_stop: Callable[[], bool],
) -> None:
    """Copy the video of ``source`` to a NUT file with one clock.

    Raises DecodeError, DiskFull, Timeout, Interrupted.
    """
    size = source.stat().st_size
    limits = binary.bounds(settings, settings.limits.source_seconds)
    bounds = process.Bounds(
        limits.memory_bytes,
        limits.resident_bytes,
        2 * size + _ROOM,
        limits.stall_seconds,
        limits.cap_seconds,
    )
    argv = [
        binary.path(settings),
        *("-hide_banner", "-nostdin", "-loglevel", "warning", "-y"),
        *("-protocol_whitelist", PROTOCOLS, "-format_whitelist", FORMATS),
        *("-max_streams", str(MAX_STREAMS), "-fflags", "+genpts"),
        *("-i", f"file:{source.resolve()}", "-map", "0:V"),
        *("-c", "copy", "-f", "nut", f"file:{target.name}"),
    ]
    done = process.run(argv, cwd=target.parent, bounds=bounds, should_stop=should_stop)
    if "No space left on device" in done.log:
        raise DiskFull("no space left for a copy with one clock")
    if done.returncode != 0 or not target.is_file():
        raise DecodeError("the recordings in the file could not be put together")


def as_of(media: MediaInfo, copy: MediaInfo) -> MediaInfo:
    """Return the facts of the copy, under the name, size and warnings of the file."""
    warnings = dict.fromkeys([warning_codes.CLOCK_JUMPS, *copy.warnings])
    warnings.pop(warning_codes.DURATION_CORRECTED, None)
    return copy.model_copy(
        update={
            "container": media.container,
            "size": media.size,
            "bit_rate": media.bit_rate,
            "streams": media.streams,
            "audio": media.audio,
            "rewritten": True,
            "warnings": list(warnings),
        }
    )
