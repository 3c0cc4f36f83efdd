"""The inventory of a corpus: what must come of each clip."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

OK, CLEAR_ERROR, EITHER = "ok", "clear-error", "either"


@dataclass(frozen=True)
class Entry:
    """One clip: ``expected`` is ok, clear-error or either, ``reason`` its words."""

    file: Path
    kind: str
    expected: str
    reason: str

    @property
    def is_bomb(self) -> bool:
        """Tell whether the clip is made to eat memory."""
        return self.kind.startswith(("decompression-bomb", "huge"))


def read(folder: Path) -> list[Entry]:
    """Read ``INVENTORY.tsv`` of a corpus folder."""
    with (folder / "INVENTORY.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    entries = []
    for row in rows:
        expected, _, reason = row["expected"].partition(":")
        path = folder / "clips" / row["file"]
        entries.append(Entry(path, row["class"], expected, reason))
    return entries
