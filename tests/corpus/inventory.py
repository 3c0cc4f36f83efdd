"""The inventory of a corpus: what each clip is, and what must come of it."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

OK, CLEAR_ERROR, EITHER = "ok", "clear-error", "either"
# The codes that tell a user of the inventory's reasons. A file that is no media at
# all may be told from its text or from what FFmpeg says of it.
_UNSUPPORTED, _DECODE = "unsupported_format", "decode_error"
FITTING = {
    "cover picture or clear error (no real video)": {"no_video_stream"},
    "empty": {_UNSUPPORTED},
    "encrypted": {"encrypted"},
    "encrypted, first frame may decode as garbage": {"encrypted"},
    "invalid data": {_UNSUPPORTED, _DECODE},
    "no decodable frame": {_DECODE},
    "no frames": {_DECODE},
    "no moov": {_DECODE},
    "no streams": {_DECODE, "no_video_stream"},
    "no video stream": {"no_video_stream", _UNSUPPORTED},
    "not media": {_UNSUPPORTED},
    "playlist not accepted": {_UNSUPPORTED},
    "svg not accepted": {_UNSUPPORTED},
    "too large": {"too_many_pixels", "too_large"},
}
# Reasons to judge single clips otherwise than the inventory's words say.
_ALSO = {
    # Its boxes are those of common encryption.
    "crash_mp4demux_1389299.mp4": "encrypted",
    # It begins as a whole MP4 does.
    "text_renamed_WrongFile.mp4": _DECODE,
}


@dataclass(frozen=True)
class Entry:
    """One clip: ``expected`` is ok, clear-error or either, ``reason`` its words.

    ``shape`` is width by height as shown (after pixel aspect and rotation), None
    where the inventory does not know.
    """

    file: Path
    kind: str
    expected: str
    reason: str
    shape: float | None = None

    @property
    def is_bomb(self) -> bool:
        """Return whether the clip is made to eat memory."""
        return self.kind.startswith(("decompression-bomb", "huge"))

    @property
    def fitting(self) -> set[str] | None:
        """Return the error codes that tell of the reason, None for any."""
        words = self.reason.partition(" (list of")[0]
        codes = FITTING[words] if self.expected == CLEAR_ERROR else FITTING.get(words)
        also = _ALSO.get(self.file.name)
        return codes if codes is None or also is None else codes | {also}


def read(folder: Path) -> list[Entry]:
    """Read ``INVENTORY.tsv`` of a corpus folder."""
    with (folder / "INVENTORY.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    entries = []
    for row in rows:
        expected, _, reason = row["expected"].partition(":")
        path = folder / "clips" / row["file"]
        shape = _shape(row["WxH"], row["SAR"], row["rotation"])
        entries.append(Entry(path, row["class"], expected, reason, shape))
    return entries


def _shape(size: str, aspect: str, rotation: str) -> float | None:
    width, _, height = size.partition("x")
    num, _, den = aspect.partition(":")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        return None
    pixel = int(num) / int(den) if num.isdigit() and den.isdigit() and int(num) else 1
    shape = int(width) * pixel / int(height)
    try:
        turned = round(float(rotation or 0)) % 180 == 90
    except ValueError:
        return None
    return 1 / shape if turned else shape
