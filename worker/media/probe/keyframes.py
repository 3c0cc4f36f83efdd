"""List where the keyframes of a stream lie, by the container's index, as JSON.

:func:`main` runs in the sandbox, like :mod:`worker.media.probe.child`. Only an index
that lists every frame will do: that of an MP4 or MOV without fragments.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import av

from worker.media.ffmpeg.formats import FORMATS, MAX_STREAMS


def main(words: Sequence[str]) -> None:
    """Print time, offset and size of each keyframe of stream ``words[0]``.

    The times are seconds of the container's clock. They follow from the decoding times
    in the index and the delay of the first frame. Prints an empty list if there is no
    such index.
    """
    options = {
        "protocol_whitelist": "file",
        "format_whitelist": FORMATS,
        "max_streams": str(MAX_STREAMS),
    }
    with av.open("file:source", options=options) as container:
        json.dump(_keyframes(container, int(words[0])), sys.stdout)


def _keyframes(container: Any, index: int) -> list[tuple[float, int, int]]:
    stream = container.streams[index]
    entries = list(stream.index_entries)
    if not container.format.name.startswith("mov,") or stream.frames != len(entries):
        return []
    first = next(container.demux(stream))
    if first.pts is None or first.dts is None or first.pos != entries[0].pos:
        return []
    delay = first.pts - entries[0].timestamp
    return [
        (float((one.timestamp + delay) * stream.time_base), one.pos, one.size)
        for one in entries
        if one.is_keyframe and not one.is_discard
    ]
