"""The page and the plot are made of what was measured."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from tests.bench import page, plot, report
from tests.bench.results import Measured, Row, Target

FACTS = {
    "revision": "abc",
    "against": "def",
    "cpu": "a CPU",
    "cores": 2,
    "memory": 2**34,
    "kernel": "6.1",
    "seconds": 120,
}


def document():
    costs = {"180 min": 2.0, "20 min": 1.5, "1 min": 1.0}
    sides = {
        side: lambda _context, cost=cost: {"cpu": cost, "read": cost * 1e6}
        for side, cost in costs.items()
    }
    rows = []
    for name in ("growth-still", "growth-gif"):
        target = Target("cpu", "1 min", most=1.5)
        rows.append(Measured(Row(name, "a still", [], sides, [target])))
        rows[-1].take(None, 1)
    return report.document(FACTS, rows)


def test_the_page_gets_the_machine_and_the_table_and_keeps_the_rest():
    old = "# Title\n<!-- measured -->\nold\n<!-- end of measured -->\nrest\n"

    written = page.write(old, document())

    assert written.startswith("# Title\n<!-- measured -->\n\nRevision `abc`; the earl")
    assert "2 cores, 16 GiB, Linux 6.1. The run took 2 min." in written
    assert "| a still | cpu | 2.00 s CPU | 1 min | 1.00 s CPU | 2 |" in written
    assert written.endswith("length.svg)\n\n<!-- end of measured -->\nrest\n")
    assert "old" not in written
    assert page.write(written, document()) == written


def test_a_page_without_its_markers_is_refused():
    with pytest.raises(ValueError, match="the page has no <!-- measured -->"):
        page.write("# Title\n", document())


def test_the_plot_has_a_line_a_row_and_a_point_a_length_in_each_panel():
    root = ET.fromstring(page.draw(document()))  # noqa: S314 - it is our own
    lines = root.findall(".//{*}polyline")
    points = [
        [float(word.split(",")[0]) for word in line.get("points").split()]
        for line in lines
    ]

    assert len(lines) == 4
    assert all(len(one) == 3 and one == sorted(one) for one in points)
    assert {"still", "gif", "10 MB", "180"} <= {e.text for e in root.iter()}


def test_without_rows_of_growth_there_is_no_plot():
    assert page.draw({"rows": []}) is None


def test_names_at_the_ends_of_lines_do_not_cover_each_other():
    assert plot.apart([100, 40, 101], 13) == [100, 40, 113]
    assert plot.apart([10, 50], 13) == [10, 50]
