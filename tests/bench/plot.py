"""A plot of cost against the film's length, as plain SVG without any library.

Two panels with logarithmic axes: CPU seconds of the service, and bytes that left S3.
A line has its name at its end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

# A series: its name, and points of (minutes, value).
Series = Mapping[str, Sequence[tuple[float, float]]]
_WIDTH, _HEIGHT = 400, 300
_LEFT, _TOP, _RIGHT, _BOTTOM = 62, 36, 84, 44
_COLOURS = ("#0969da", "#bc4c00", "#1a7f37", "#8250df", "#57606a")
_LABEL_HEIGHT = 13.0


@dataclass(frozen=True)
class Panel:
    """One set of axes: its title, its series, and how a value is written."""

    title: str
    series: Series
    write: Callable[[float], str]


def svg(panels: Sequence[Panel], minutes: Sequence[float]) -> str:
    """Return a picture of the panels, side by side; ``minutes`` are marked below."""
    width = _WIDTH * len(panels)
    size = f'width="{width}" height="{_HEIGHT}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-size="11">',
        '<g font-family="sans-serif">',
        f'<rect width="{width}" height="{_HEIGHT}" fill="#ffffff"/>',
    ]
    for number, panel in enumerate(panels):
        lines.append(f'<g transform="translate({number * _WIDTH} 0)">')
        lines += _panel(panel, minutes)
        lines.append("</g>")
    return "\n".join([*lines, "</g></svg>", ""])


def _panel(panel: Panel, minutes: Sequence[float]) -> Iterator[str]:
    values = [y for points in panel.series.values() for _, y in points if y > 0]
    low = math.floor(math.log10(min(values)))
    high = max(math.ceil(math.log10(max(values))), low + 1)
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    span = math.log10(max(minutes) / min(minutes))

    def across(x: float) -> float:
        return _LEFT + math.log10(x / min(minutes)) / span * (right - _LEFT)

    def up(y: float) -> float:
        share = (math.log10(y) - low) / (high - low) if y > 0 else 0.0
        return bottom - share * (bottom - _TOP)

    yield f'<text x="{_LEFT}" y="18" font-weight="bold">{escape(panel.title)}</text>'
    for power in range(low, high + 1):
        y = up(10.0**power)
        yield _line(_LEFT, y, right, y)
        yield _text(_LEFT - 6, y + 4, panel.write(10.0**power), "end")
    for x in minutes:
        yield _line(across(x), _TOP, across(x), bottom)
        yield _text(across(x), bottom + 16, f"{x:g}", "middle")
    middle = (_LEFT + right) / 2
    yield _text(middle, bottom + 34, "minutes of film", "middle")
    drawn = [
        [(across(x), up(y)) for x, y in points] for points in panel.series.values()
    ]
    ends = apart([points[-1][1] for points in drawn])
    for (name, points), colour, end in zip(
        zip(panel.series, drawn, strict=True), _COLOURS, ends, strict=False
    ):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        drawing = f'fill="none" stroke="{colour}" stroke-width="2"'
        yield f'<polyline points="{path}" {drawing}/>'
        for x, y in points:
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>'
        yield _text(points[-1][0] + 7, end + 4, name, "start", colour)


def apart(wanted: Sequence[float], least: float = _LABEL_HEIGHT) -> list[float]:
    """Return the heights of labels, moved down where they would cover each other."""
    placed = list(wanted)
    order = sorted(range(len(placed)), key=placed.__getitem__)
    for before, after in pairwise(order):
        placed[after] = max(placed[after], placed[before] + least)
    return placed


def _line(x: float, y: float, to_x: float, to_y: float) -> str:
    return (
        f'<path d="M{x:.1f} {y:.1f}L{to_x:.1f} {to_y:.1f}" stroke="#d0d7de" '
        'stroke-width="1"/>'
    )


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#24292f") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">'
        f"{escape(text)}</text>"
    )
