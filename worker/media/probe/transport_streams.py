"""Look for a clock that jumps, and new videos, in a transport stream of any length.

A file that is too large to be read is looked at through windows spread over it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

# A step is a jump if it is longer than this, and than so many usual ones.
JUMP_SECONDS, GAP = 10.0, 20
_WINDOWS, _WINDOW_BYTES = 64, 256 * 1024
_TS_BYTES, _M2TS_BYTES, _SYNC = 188, 192, b"\x47"
# A PID that damage made up appears less often.
_SEEN = 3
_WRAP_SECONDS = 2**33 / 90_000
# The header of a video packet (PES) with a presentation time.
_STAMP = re.compile(
    rb"\x00\x00\x01[\xe0-\xef]..[\x80-\xbf][\x80-\xff].([\x21-\x3f].[\x01-\xff].[\x01-\xff])",
    re.DOTALL,
)


def _windows(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield offset and bytes of windows spread over a file, or all of a small one."""
    size = path.stat().st_size
    count = min(_WINDOWS, 1 + size // _WINDOW_BYTES)
    with path.open("rb") as file:
        for place in range(count):
            at = place * max(0, size - _WINDOW_BYTES) // max(1, count - 1)
            file.seek(at)
            yield at, file.read(_WINDOW_BYTES)


def sampled_jumps(path: Path) -> int:
    """Count jumps between the presentation times of windows spread over a file.

    They reveal that the clock restarted or jumped ahead in a file that is too large to
    be read. A wrap after 26.5 hours is not a jump.
    """
    found = (_STAMP.search(data) for _, data in _windows(path))
    stamps = [_pes_seconds(one[1]) for one in found if one]
    steps = [later - before for before, later in pairwise(stamps)]
    steps = [s + _WRAP_SECONDS if s < -_WRAP_SECONDS / 2 else s for s in steps]
    usual = sorted(steps)[len(steps) // 2] if steps else 0.0
    far = max(JUMP_SECONDS, GAP * usual)
    return sum(step < -1.0 or step > far for step in steps)


def new_videos(container: Any, path: Path) -> int:
    """Count the PIDs of a transport stream whose video was not there at first."""
    with path.open("rb") as file:
        head = file.read(_M2TS_BYTES + _TS_BYTES)
    lead = _M2TS_BYTES - _TS_BYTES
    m2ts = head[lead : lead + 1] == _SYNC and head[-_TS_BYTES + lead :][:1] == _SYNC
    each, lead = (_M2TS_BYTES, lead) if m2ts else (_TS_BYTES, 0)
    seen: dict[int, int] = {}
    for at, data in _windows(path):
        for match in _STAMP.finditer(data):
            start = match.start() - (at + match.start() - lead) % each
            if start >= 0 and data[start : start + 1] == _SYNC:
                pid = int.from_bytes(data[start + 1 : start + 3], "big") & 0x1FFF
                seen[pid] = seen.get(pid, 0) + 1
    known = {stream.id for stream in container.streams}
    return sum(pid not in known and count >= _SEEN for pid, count in seen.items())


def _pes_seconds(data: bytes) -> float:
    """Return the 33-bit time of a PES header in seconds."""
    high, middle, low = data[0] >> 1 & 7, data[1:3], data[3:5]
    parts = (int.from_bytes(part, "big") >> 1 for part in (middle, low))
    return (high << 30 | next(parts) << 15 | next(parts)) / 90_000
