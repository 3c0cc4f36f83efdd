"""Decode a file to its end and print a line for each frame, in a process of its own.

It runs inside the sandbox, as :mod:`worker.media.probe.child` does. It decodes with the
library in PyAV what :mod:`worker.media.ffmpeg.verify` would else start FFmpeg for, and
is as strict: the first error of the container or the decoder ends it with status 1.

It prints ``stream N UNIT WIDTH HEIGHT`` for each stream, UNIT as a fraction of a
second, and ``N LENGTH`` for each frame.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

import av
import av.logging
from av.error import FFmpegError

_FORMATS = "gif,image2,matroska,mov"
_STRICT = {"err_detect": "explode"}
# So that whoever watches sees that it moves.
_FLUSH_SECONDS = 0.25


class Damaged(Exception):
    """A part of the file was lost, although no call failed."""


def main(words: Sequence[str]) -> None:
    """Decode the file ``words[0]``, as the demuxer ``words[1]`` reads it (or any).

    ``words[2]`` is the number of threads, 0 for one a core.
    """
    name, demuxer, threads = words
    # FFmpeg's own messages are in the log before ours.
    av.logging.restore_default_callback()
    av.logging.set_libav_level(av.logging.ERROR)
    try:
        _decode(name, demuxer or None, int(threads))
    except (FFmpegError, Damaged) as error:
        sys.stdout.flush()
        sys.exit(getattr(error, "strerror", None) or str(error))


def _decode(name: str, demuxer: str | None, threads: int) -> None:
    options = {"protocol_whitelist": "file", "format_whitelist": _FORMATS, **_STRICT}
    if demuxer == "image2":
        options["pattern_type"] = "none"
    with av.open(f"file:{name}", format=demuxer, options=options) as container:
        streams = container.streams.video
        for stream in streams:
            stream.codec_context.options = _STRICT
            stream.codec_context.thread_count = threads
            stream.codec_context.thread_type = "AUTO"
        if not streams or len(_read(container, streams)) < len(streams):
            raise Damaged("a video stream has no frame")


def _read(container: Any, streams: Sequence[Any]) -> set[int]:
    """Print the frames of all streams; return the indexes of those that have some."""
    seen: set[int] = set()
    write = sys.stdout.write
    flushed = time.monotonic()
    for packet in container.demux(streams):
        if packet.is_corrupt:
            raise Damaged("a packet of the file is damaged")
        for frame in packet.decode():
            if frame.is_corrupt:
                raise Damaged("a frame was decoded with errors")
            index = packet.stream.index
            if index not in seen:
                seen.add(index)
                unit = packet.stream.time_base
                write(f"stream {index} {unit} {frame.width} {frame.height}\n")
            write(f"{index} {frame.duration or 0}\n")
        if time.monotonic() - flushed > _FLUSH_SECONDS:
            sys.stdout.flush()
            flushed = time.monotonic()
    return seen
