"""The measurements as a page: ``./dev bench page`` writes them into the docs.

It replaces what lies between the markers of ``docs/performance.md`` by the machine and
the table of the last run, and draws the plot anew.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from tests.bench import plot, report
from tests.bench.results import Line, Target
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "performance.md"
PICTURE = ROOT / "docs" / "pictures" / "cost-by-length.svg"
_BEGIN, _END = "<!-- measured -->", "<!-- end of measured -->"
_GROWTH = "growth-"


def write(page: str, document: dict[str, Any]) -> str:
    """Return the page with the measurements of a document; raises ValueError."""
    before, begun, rest = page.partition(_BEGIN)
    _, ended, after = rest.partition(_END)
    if not begun or not ended:
        raise ValueError(f"the page has no {_BEGIN} ... {_END} to write between")
    lines = [_line(one) for row in document["rows"] for one in row["lines"]]
    parts = [before + _BEGIN, _facts(document), report.markdown(lines)]
    if draw(document) is not None:
        parts += [
            "The same outputs of films of several lengths:",
            f"![CPU and bytes against the film's length](pictures/{PICTURE.name})",
        ]
    return "\n\n".join([*parts, _END]) + after


def draw(document: dict[str, Any]) -> str | None:
    """Return the plot of the rows of growth, None where they were not measured."""
    rows = [row for row in document["rows"] if row["name"].startswith(_GROWTH)]
    if not rows:
        return None
    panels = [
        plot.Panel("CPU seconds of the service", _series(rows, "cpu"), _plain),
        plot.Panel("bytes that left S3", _series(rows, "read"), _bytes),
    ]
    minutes = {
        x for panel in panels for points in panel.series.values() for x, _ in points
    }
    return plot.svg(panels, sorted(minutes))


def _series(rows: list[dict[str, Any]], measure: str) -> plot.Series:
    return {
        row["name"].removeprefix(_GROWTH): sorted(
            (float(side.split()[0]), statistics.median(one[measure] for one in taken))
            for side, taken in row["samples"].items()
        )
        for row in rows
    }


def _plain(value: float) -> str:
    return f"{value:g}"


def _bytes(value: float) -> str:
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= size:
            return f"{value / size:g} {unit}"
    return f"{value:g} B"


def _line(found: dict[str, Any]) -> Line:
    words = {name: value for name, value in found.items() if name != "passes"}
    return Line(**words | {"target": Target(**found["target"])})


def _facts(document: dict[str, Any]) -> str:
    against = document["against"]
    beside = f"; the earlier build is `{against}`" if against else ""
    return (
        f"Revision `{document['revision']}`{beside}. {document['cpu']}, "
        f"{document['cores']} cores, {document['memory'] / 2**30:.0f} GiB, "
        f"Linux {document['kernel']}. The run took {document['seconds'] / 60:.0f} min."
    )


def main() -> int:
    """Write the page and the picture of the results in a file."""
    parser = argparse.ArgumentParser(prog="./dev bench page", description=__doc__)
    default = ROOT / ".data" / "bench" / "results.json"
    parser.add_argument("results", nargs="?", type=Path, default=default)
    document = json.loads(parser.parse_args().results.read_text(encoding="utf-8"))
    PAGE.write_text(write(PAGE.read_text(encoding="utf-8"), document), encoding="utf-8")
    picture = draw(document)
    if picture is not None:
        PICTURE.write_text(picture, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
