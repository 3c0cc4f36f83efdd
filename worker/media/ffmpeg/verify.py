"""Check the files that a run made: each picture must decode to its end.

:mod:`worker.media.ffmpeg.verify_child` decodes them with the library in PyAV, which
costs less than to start FFmpeg. That library is older than the program: it has no
demuxer for animated WebP. So FFmpeg decodes these, with ``-f framecrc``, whose lines
give size, time and length of every frame.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from common.errors import DecodeError
from common.settings.load import Settings
from worker.media.ffmpeg import binary, process
from worker.media.ffmpeg.formats import FORMATS, PROTOCOLS
from worker.media.ffmpeg.plan import FileFacts

_PICTURES = {".jpg", ".png", ".webp", ".avif", ".gif", ".mp4", ".webm"}
_STILL = {".jpg", ".png", ".webp", ".avif"}
# Read as one packet, as FFmpeg reads a file with such a name.
_WHOLE = {".jpg", ".png", ".webp"}
# By name: this process does not need PyAV.
_CHILD = "worker.media.ffmpeg.verify_child"
# An animated AVIF holds its first frame as a still, too. With threads the decoder keeps
# that back until the file's end, and all other frames wait for it in memory.
_ONE_BY_ONE = {".avif", *_WHOLE}
# The flags of a VP8X chunk, and the one that it has frames (RFC 9649, 2.7.1).
_FLAGS_AT, _ANIMATED = 20, 0x02
_CAPTURE = 4 * 1024 * 1024
_SECONDS = 60.0
# How long a byte may take to decode: a still shows no progress until its end.
_SECONDS_A_BYTE = 3e-7
_BASE = re.compile(r"#tb (\d+): (\d+)/(\d+)")
_SIZE = re.compile(r"#dimensions (\d+): (\d+)x(\d+)")
_LINE = re.compile(r"(\d+), *-?\d+, *-?\d+, *(\d+), *\d+, *(?:0x[0-9a-f]+)")


@dataclass
class _Stream:
    base: Fraction = Fraction(1, 1)
    size: tuple[int, int] = (0, 0)
    frames: int = 0
    ticks: int = 0


def is_picture(file: str) -> bool:
    """Return True if the file's name is that of a picture or film."""
    return Path(file).suffix in _PICTURES


def check_file(
    path: Path, settings: Settings, should_stop: Callable[[], bool]
) -> FileFacts:
    """Return the facts of a file; pictures are decoded, others only measured.

    Raises DecodeError if a picture does not decode to its end.
    """
    size = path.stat().st_size
    if not is_picture(path.name):
        return FileFacts(size)
    animated = _is_animated_webp(path)
    limits = binary.bounds(settings, _SECONDS, size * _SECONDS_A_BYTE)
    done = process.run(
        _ffmpeg(path, settings) if animated else _program(path),
        cwd=path.parent,
        bounds=replace(limits, stdout_bytes=_CAPTURE, writes=False),
        should_stop=should_stop,
    )
    if done.returncode != 0:
        raise DecodeError(f"the output {path.name} does not decode: {_line(done.log)}")
    text = done.stdout.decode("ascii", "replace")
    return _facts(path, size, _framecrc(text) if animated else _counted(text))


def _is_animated_webp(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(_FLAGS_AT + 1)
    return head[8:16] == b"WEBPVP8X" and bool(head[-1] & _ANIMATED)


def _program(path: Path) -> process.Main:
    demuxer = "image2" if path.suffix in _WHOLE else ""
    threads = "1" if path.suffix in _ONE_BY_ONE else "0"
    return process.Main(_CHILD, [path.name, demuxer, threads])


def _ffmpeg(path: Path, settings: Settings) -> list[str]:
    return [
        *binary.head(settings),
        *("-err_detect", "explode", "-xerror"),
        *("-protocol_whitelist", PROTOCOLS, "-format_whitelist", FORMATS),
        *("-i", f"file:{path.name}", "-map", "0:v", "-fps_mode", "passthrough"),
        # A unit derived from the mean rate would round the frames' lengths.
        *("-enc_time_base", "demux"),
        *("-max_interleave_delta", "1", "-f", "framecrc", "pipe:1"),
    ]


def _line(log: str) -> str:
    lines = [line for line in log.splitlines() if line.strip()]
    return lines[-1][-200:] if lines else "no message"


def _counted(text: str) -> dict[str, _Stream]:
    """Read what :mod:`worker.media.ffmpeg.verify_child` prints."""
    streams: dict[str, _Stream] = {}
    for line in text.splitlines():
        first, *words = line.split()
        if first == "stream":
            index, unit, width, height = words
            streams[index] = _Stream(Fraction(unit), (int(width), int(height)))
        elif words:
            streams[first].frames += 1
            streams[first].ticks += int(words[0])
    return streams


def _framecrc(text: str) -> dict[str, _Stream]:
    streams: dict[str, _Stream] = {}
    for line in text.splitlines():
        if found := _BASE.match(line):
            stream = streams.setdefault(found[1], _Stream())
            stream.base = Fraction(int(found[2]), int(found[3]))
        elif found := _SIZE.match(line):
            stream = streams.setdefault(found[1], _Stream())
            stream.size = (int(found[2]), int(found[3]))
        elif found := _LINE.match(line):
            stream = streams.setdefault(found[1], _Stream())
            stream.frames += 1
            stream.ticks += int(found[2])
    return streams


def _facts(path: Path, size: int, streams: Mapping[str, _Stream]) -> FileFacts:
    # An animated AVIF carries its first frame as a still stream, too.
    best = max(streams.values(), key=lambda one: one.frames, default=_Stream())
    is_still = best.frames <= 1 and path.suffix in _STILL
    duration = None if is_still else round(float(best.ticks * best.base), 3)
    return FileFacts(size, best.size[0], best.size[1], best.frames, duration)


class Checks:
    """The checks of one render: a file is decoded again only if it has changed."""

    def __init__(self, settings: Settings, should_stop: Callable[[], bool]) -> None:
        self._settings = settings
        self._should_stop = should_stop
        self._known: dict[tuple[str, int, int, int], FileFacts] = {}

    def facts(self, path: Path) -> FileFacts:
        """Return the facts of a file, as :func:`check_file` does."""
        stat = path.stat()
        key = (path.name, stat.st_ino, stat.st_size, stat.st_mtime_ns)
        if key not in self._known:
            self._known[key] = check_file(path, self._settings, self._should_stop)
        return self._known[key]


class CheckedFiles(Mapping[str, FileFacts]):
    """The files of a work folder; each is checked when it is first asked for."""

    def __init__(self, path: Path, checks: Checks) -> None:
        self._path = path
        self._checks = checks
        self._names = sorted(
            entry.name
            for entry in path.iterdir()
            if not entry.is_symlink() and entry.is_file() and entry.stat().st_size
        )

    def __getitem__(self, name: str) -> FileFacts:
        """Return the facts of a file, decoding it once; raise KeyError, DecodeError."""
        if name not in self._names:
            raise KeyError(name)
        return self._checks.facts(self._path / name)

    def __contains__(self, name: object) -> bool:
        """Return True if the file exists and is not empty; nothing is decoded."""
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names in order."""
        return iter(self._names)

    def __len__(self) -> int:
        """Return how many files are not empty."""
        return len(self._names)
