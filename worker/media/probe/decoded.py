"""Ask FFmpeg, the program, about streams that PyAV decodes differently.

PyAV 18.1 carries FFmpeg 8.1, which has no demuxer for animated WebP, omits the alpha
layer of HEVC and does not tell an upper field from a lower one. The pictures come from
the program (9.0), so it decides these cases. The frame's format is read from the
``showinfo`` filter, the packets' times from the ``framecrc`` muxer.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from common.settings.load import Settings
from worker.media.ffmpeg import binary, process
from worker.media.ffmpeg.formats import FORMATS, PROTOCOLS
from worker.media.source_file import SourceFile

_CAPTURE = 4 * 1024 * 1024
_FRAME = re.compile(r"\bfmt:(\w+) .*?\bs:(\d+)x(\d+) i:(\w)")
_FIELDS = {"T": "top", "B": "bottom"}
_BASE = re.compile(rb"^#tb 0: (\d+)/(\d+)", re.MULTILINE)
_PACKET = re.compile(rb"^0, *-?\d+, *(-?\d+), *(\d+),", re.MULTILINE)
_LOST = "Skipping invalid undecodable NALU"
_ALPHA_FORMATS = (
    "yuva",
    "rgba",
    "bgra",
    "argb",
    "abgr",
    "gbrap",
    "ya8",
    "ya16",
    "pal8",
)


@dataclass(frozen=True)
class Decoded:
    """The first frame, and the times of a stream.

    ``frame`` holds its size and pixel format, named as in the facts of the probe's
    child process, and which field comes first. It is None if nothing decodes.
    ``packets`` are start and length of each, in seconds.
    """

    frame: dict[str, Any] | None
    packets: list[tuple[float, float]]


def decode(
    source: SourceFile,
    index: int,
    settings: Settings,
    should_stop: Callable[[], bool],
    *,
    whole: bool = False,
) -> Decoded:
    """Decode the first frame of a stream; ``whole`` also reads all of its packets.

    Raises Timeout, ResourceLimit, and what ``source.ensure`` raises.
    """
    stream = ["-map", f"0:{index}"]
    words = ["-protocol_whitelist", PROTOCOLS, "-format_whitelist", FORMATS]
    words += ["-max_pixels", str(settings.limits.source_pixels), "-noautorotate"]
    words += ["-threads", "1", "-i", "file:source"]
    words += [*stream, "-frames:v", "1", "-vf", "showinfo", "-f", "null", "-"]
    if whole:
        words += [*stream, "-c", "copy", "-f", "framecrc", "pipe:1"]
    with tempfile.TemporaryDirectory(prefix="probe-") as folder:
        # The name must not matter: FFmpeg guesses formats from extensions.
        (Path(folder) / "source").symlink_to(source.path.resolve())
        done = process.run(
            [*binary.head(settings), "-loglevel", "info", *words],
            cwd=Path(folder),
            bounds=binary.probe_bounds(settings, _CAPTURE),
            should_stop=should_stop,
            source=source,
        )
    return Decoded(_frame(done.log), _packets(done.stdout))


def _frame(log: str) -> dict[str, Any] | None:
    found = _FRAME.search(log)
    if found is None:
        return None
    # Without its parameter sets (FFmpeg's Matroska muxer drops them) an alpha layer
    # would hide the whole picture.
    alpha = found[1].startswith(_ALPHA_FORMATS) and _LOST not in log
    size = {"width": int(found[2]), "height": int(found[3])}
    field = _FIELDS.get(found[4])
    return size | {"pixel_format": found[1], "alpha": alpha, "field": field}


def _packets(output: bytes) -> list[tuple[float, float]]:
    base = _BASE.search(output)
    if base is None:
        return []
    unit = Fraction(int(base[1]), int(base[2]))
    return [
        (float(int(pts) * unit), float(int(length) * unit))
        for pts, length in _PACKET.findall(output)
    ]
