"""The table of a corpus run: one row a clip, and a summary by class."""

from __future__ import annotations

import csv
import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

_COLUMNS = (
    "class",
    "clips",
    "as expected",
    "refused as",
    "least SSIM of still / GIF / tiles",
    "slowest run, s",
    "largest process, MiB",
)


@dataclass
class Row:
    """One clip's results; ``faults`` is empty when all is as expected.

    ``ssim`` are those of the still, and the least of the GIF's frames and of the
    tiles. ``seconds`` and ``peak_mib`` are of the slowest output and of the largest
    process, ``warnings`` of the source and of each output. ``excused`` says why a
    picture that is unlike the truth is not a fault. ``late`` is one that took longer
    than it may, which others on the machine can cause.
    """

    file: str
    kind: str
    expected: str
    code: str = ""
    seconds: float = 0.0
    peak_mib: float = 0.0
    cpu: float = 0.0
    time: float | None = None
    size: str = ""
    ssim: float | None = None
    colour: float | None = None
    vivid: float | None = None
    gif: str = ""
    gif_ssim: float | None = None
    tiles: str = ""
    tile_ssim: float | None = None
    warnings: str = ""
    alternatives: str = ""
    excused: str = ""
    late: bool = False
    faults: list[str] = field(default_factory=list)


def write(rows: Sequence[Row], folder: Path) -> None:
    """Write ``corpus.csv`` and ``corpus.md`` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [field.name for field in dataclasses.fields(Row)]
    with (folder / "corpus.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, names)
        table.writeheader()
        for row in rows:
            words = dataclasses.asdict(row)
            table.writerow(words | {"faults": " / ".join(row.faults)})
    (folder / "corpus.md").write_text(summary(rows), encoding="utf-8")


def summary(rows: Sequence[Row]) -> str:
    """Return the summary by class as Markdown."""
    classes = defaultdict(list)
    for row in rows:
        classes[row.kind].append(row)
    good = sum(not row.faults for row in rows)
    lines = [
        f"{good} of {len(rows)} clips as expected.",
        "",
        f"| {' | '.join(_COLUMNS)} |",
        f"|{'---|' * len(_COLUMNS)}",
    ]
    lines += [_line(kind, found) for kind, found in sorted(classes.items())]
    wrong = [row for row in rows if row.faults]
    if wrong:
        lines += ["", "Not as expected:", ""]
        lines += [f"- `{row.file}`: {'; '.join(row.faults)}" for row in wrong]
    excused = [row for row in rows if row.excused]
    if excused:
        lines += ["", "Judged otherwise:", ""]
        lines += [f"- `{row.file}`: {row.excused}" for row in excused]
    return "\n".join(lines) + "\n"


def _line(kind: str, rows: Sequence[Row]) -> str:
    codes = sorted({row.code for row in rows if row.code})
    least = " / ".join(
        _least([getattr(row, name) for row in rows])
        for name in ("ssim", "gif_ssim", "tile_ssim")
    )
    cells = [
        kind,
        str(len(rows)),
        str(sum(not row.faults for row in rows)),
        ", ".join(codes),
        least,
        f"{max(row.seconds for row in rows):.1f}",
        f"{max(row.peak_mib for row in rows):.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def _least(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{min(known):.2f}" if known else "-"
