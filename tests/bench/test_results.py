"""The benchmark's own arithmetic."""

from __future__ import annotations

import pytest

from tests.bench import report
from tests.bench.results import (
    Measured,
    Row,
    Target,
    Unavailable,
    ratios_of,
    wanted,
)


def samples(measure, *values):
    left = list(values)
    return lambda _context: {measure: left.pop(0)}


def measured(sides, *targets, rounds=3):
    found = Measured(Row("row", "a row", [], sides, targets))
    found.take(None, rounds)
    return found


def test_a_ratio_is_taken_within_a_round_and_the_shorter_side_begins_again():
    assert ratios_of([1, 4, 9], [1, 2]) == [1, 2, 9]
    assert ratios_of([0, 3], [0]) == [1, float("inf")]


@pytest.mark.parametrize(
    ("first", "runs"),
    [({"cpu": 1}, 5), ({"cpu": 61}, 2), ({"cpu": 1, "wall": 16}, 2), ({}, 5)],
)
def test_what_costs_much_runs_fewer_times(first, runs):
    assert wanted([first], 5) == runs
    assert wanted([first], 1) == 1


def test_a_line_has_medians_and_the_range_of_the_ratios():
    sides = {"ours": samples("cpu", 1, 2, 6), "theirs": samples("cpu", 4, 4, 3)}
    target = Target("cpu", "theirs", most=0.4)

    (line,) = measured(sides, target).lines()

    assert (line.value, line.other) == (2, 4)
    assert (line.least, line.ratio, line.most) == (0.25, 0.5, 2)
    assert line.passes is False
    assert line.missed_by == pytest.approx(1.25)
    assert "row: cpu of theirs is 0.5, the target <= 0.4" in report.miss(line)


def test_a_target_without_a_side_bounds_the_measure_and_least_is_a_lower_bound():
    sides = {"ours": samples("ssim", 0.9, 0.98, 0.99)}

    bounded, shown, missed = measured(
        sides,
        Target("ssim", least=0.95),
        Target("ssim"),
        Target("ssim", least=0.99),
    ).lines()

    assert (bounded.passes, shown.passes, missed.passes) == (True, None, False)
    assert missed.missed_by == pytest.approx(0.99 / 0.98)


def test_a_bound_of_nothing_is_met_by_nothing_alone():
    none, some = (
        next(iter(measured({"ours": samples("read", n)}, target, rounds=1).lines()))
        for n, target in ((0, Target("read", most=0)), (5, Target("read", most=0)))
    )

    assert none.passes is True
    assert (some.passes, some.missed_by) == (False, float("inf"))


def test_a_side_that_is_missing_leaves_out_its_lines_and_says_why():
    def missing(_context):
        raise Unavailable("no such program")

    found = measured(
        {"ours": samples("cpu", 1, 1, 1), "theirs": missing}, Target("cpu", "theirs")
    )

    assert list(found.lines()) == []
    assert found.missing == {"theirs": "no such program"}
    assert len(found.samples["ours"]) == 3


def test_a_side_that_fails_ends_the_row_and_keeps_what_was_measured():
    sides = {"ours": samples("cpu", 1), "theirs": samples("cpu", 2, 2)}

    found = measured(sides, Target("cpu", "theirs"))

    assert found.fault == "IndexError: pop from empty list"
    assert [line.ratio for line in found.lines()] == [0.5]


def test_the_table_has_a_row_a_line_in_both_forms():
    target = Target("cpu", "theirs", most=1)
    sides = {"ours": samples("cpu", 1), "theirs": samples("cpu", 2)}
    lines = list(measured(sides, target, rounds=1).lines())

    words = "row cpu 1.00 s CPU theirs 2.00 s CPU 0.5 0.5 to 0.5 <= 1 yes"
    assert report.text(lines).splitlines()[1].split() == words.split()
    assert report.markdown(lines).splitlines()[2] == (
        "| a row | cpu | 1.00 s CPU | theirs | 2.00 s CPU | 0.5 | 0.5 to 0.5 | <= 1 "
        "| yes |"
    )
