"""Read the file names in an index from its text, as a client reads it.

An index is WebVTT, JSON, an HLS playlist or a DASH MPD; the files lie beside it. The
names come from the text alone, not from what the recipe meant to write.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

# The share of a segment that rounding may add to the length.
_ROUNDING = 1e-4


def read(content_type: str, text: str) -> list[str]:
    """Return the names in an index, each once, in order; none for other texts."""
    reader = _READERS.get(content_type)
    return [] if reader is None else list(dict.fromkeys(reader(text)))


def _vtt(text: str) -> Iterator[str]:
    """Yield the payload of each cue, without its ``#xywh`` fragment."""
    in_cue = False
    for line in text.splitlines():
        if in_cue and line:
            yield line.partition("#")[0]
        in_cue = bool(line) and (in_cue or "-->" in line)


def _json(text: str) -> Iterator[str]:
    """Yield each ``file`` of the document, at whatever depth."""
    yield from _walk(json.loads(text))


def _walk(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("file"), str):
            yield value["file"]
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _walk(one)


def _hls(text: str) -> Iterator[str]:
    """Yield each line that is neither empty nor a tag."""
    lines = (line.strip() for line in text.splitlines())
    yield from (line for line in lines if line and not line.startswith("#"))


def _dash(text: str) -> Iterator[str]:
    """Yield the file of each segment of the one track, by its template and length."""
    said = dict(re.findall(r'([a-zA-Z]+)="([^"]*)"', text))
    seconds = float(said["mediaPresentationDuration"].removeprefix("PT")[:-1])
    each = int(said["duration"]) / int(said["timescale"])
    first = int(said["startNumber"])
    for number in range(first, first + math.ceil(seconds / each - _ROUNDING)):
        yield said["media"].replace("$Number%03d$", f"{number:03d}")


_READERS = {
    "text/vtt": _vtt,
    "application/json": _json,
    "application/vnd.apple.mpegurl": _hls,
    "application/dash+xml": _dash,
}
