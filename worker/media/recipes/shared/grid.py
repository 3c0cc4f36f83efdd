"""Lay out storyboard tiles: cells of time, and places on sheets.

Time is divided into cells of one interval. Each cell shows at most one frame, the first
that starts in it. A cell without a frame shows the one before it. Sheets hold
``columns`` x ``rows`` cells, row by row; the last sheet has as many rows as it needs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from common.outputs.specs import StoryboardSpec
from worker.media import warning_codes
from worker.media.ffmpeg.clip import Clip
from worker.media.recipes.shared import picture

MAX_TILES = 5000
# A rounding error may put a frame at a cell's edge slightly too early.
SLACK = 0.001
_DEFAULT_INTERVAL = 10.0
_TALLEST = 3
# WebP allows 16383 pixels a side; a sheet of 32 megapixels takes 50 MB raw.
MAX_SIDE = 16_000
MAX_PIXELS = 32_000_000


@dataclass(frozen=True)
class Grid:
    """The cells of a storyboard: seconds each, sizes in pixels.

    ``cells`` is the number of cells in the clip, None if its length is unknown. If the
    grid is ``full``, all sheets have all columns and rows, and unused cells are black.
    """

    interval: float
    cells: int | None
    box: picture.Box
    columns: int
    rows: int
    warnings: tuple[str, ...] = ()
    full: bool = False

    def cell(self, seconds: float) -> int:
        """Return the cell in which a time lies."""
        return max(0, math.floor((seconds + SLACK) / self.interval))

    @property
    def per_sheet(self) -> int:
        """Return how many cells a full sheet has."""
        return self.columns * self.rows


@dataclass(frozen=True)
class StoryboardTile:
    """One tile: the frame's real time, when it is shown, and its place."""

    time: float
    start: float
    end: float
    sheet: int
    x: int
    y: int


@dataclass(frozen=True)
class Sheet:
    """One picture of tiles: its grid, and the seconds that it covers."""

    columns: int
    rows: int
    cells: int
    seconds: float


def lay(spec: StoryboardSpec, clip: Clip) -> Grid:
    """Return interval, tile size and sheet layout of a spec, within the bounds."""
    video, warnings = clip.video, []
    interval = spec.interval or _DEFAULT_INTERVAL
    cells = None
    if clip.end is not None:
        length = max(clip.end, clip.frame_seconds)
        if spec.count is not None:
            interval = max(length / spec.count, 2 * SLACK)
        elif length / interval > MAX_TILES:
            interval = length / MAX_TILES
            warnings.append(warning_codes.INTERVAL_STRETCHED)
        cells = min(MAX_TILES, max(1, math.ceil((length - SLACK) / interval)))
    box = picture.fit(
        (video.width, video.height),
        picture.MaxSize(spec.width, spec.width * _TALLEST),
        spec.width,
        even=True,
    )
    # A DASH track and Jellyfin state one layout for all sheets.
    full = bool({"dash", "jellyfin"} & set(spec.trickplay or ()))
    fixed = full or cells is None
    columns = spec.columns if fixed else min(spec.columns, cells or 1)
    most = min(
        MAX_SIDE // box.height,
        MAX_PIXELS // (box.width * box.height * columns),
    )
    rows = spec.rows
    if not fixed:
        rows = min(spec.rows, math.ceil((cells or 1) / columns))
    if rows > max(1, most):
        rows = max(1, most)
        warnings.append(warning_codes.ROWS_REDUCED)
    return Grid(interval, cells, box, columns, rows, tuple(warnings), full)


def sheets(grid: Grid, cells: int, end: float) -> list[Sheet]:
    """Return the sheets that ``cells`` cells fill; ``end`` is the video's, seconds."""
    found = []
    for first in range(0, cells, grid.per_sheet):
        count = min(grid.per_sheet, cells - first)
        last = first + count
        until = end if last == cells else last * grid.interval
        seconds = max(until - first * grid.interval, 0.001)
        rows = grid.rows if grid.full else math.ceil(count / grid.columns)
        found.append(Sheet(grid.columns, rows, count, seconds))
    return found


def tiles(grid: Grid, times: Mapping[int, float], end: float) -> list[StoryboardTile]:
    """Return a tile for each frame found; each is shown until the next one.

    ``times`` maps cells to the real time of their frame. The first is shown from the
    start, the last until ``end``.
    """
    cells = sorted(times)
    shown = [0.0, *(times[cell] for cell in cells[1:])]
    until = [*shown[1:], max(end, shown[-1] + 0.001)]
    return [
        _tile(grid, cell, times[cell], span)
        for cell, span in zip(cells, zip(shown, until, strict=True), strict=True)
    ]


def _tile(grid: Grid, cell: int, time: float, span: Sequence[float]) -> StoryboardTile:
    sheet, place = divmod(cell, grid.per_sheet)
    row, column = divmod(place, grid.columns)
    return StoryboardTile(
        time, span[0], span[1], sheet, column * grid.box.width, row * grid.box.height
    )


def gaps(
    grid: Grid, times: Mapping[int, float], start: int = 0, stop: int | None = None
) -> list[tuple[int, int]]:
    """Return the runs ``(first, last)`` of cells that have no frame yet.

    Only cells from ``start`` up to ``stop`` (None: all) are looked at. The run that
    touches the end of the video is open (``last`` is -1): a header may state too short
    a length.
    """
    last = max(times, default=-1)
    count = last + 1 if grid.cells is None else grid.cells
    runs: list[tuple[int, int]] = []
    for cell in range(start, count if stop is None else stop):
        if cell in times:
            continue
        if runs and runs[-1][1] == cell - 1:
            runs[-1] = (runs[-1][0], cell)
        else:
            runs.append((cell, cell))
    if grid.cells is None:
        runs.append((last + 1, -1))
    elif stop is None and runs and runs[-1][1] == count - 1:
        runs[-1] = (runs[-1][0], -1)
    return runs
