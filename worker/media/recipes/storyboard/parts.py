"""Split storyboards of long films into parts that different workers make.

A part makes whole sheets, from the keyframes of their span of time alone. So no tile
leaves a worker but on its sheet, and the joining task only writes the indexes. All
sheets are those that one task would have made.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from common.errors import DecodeError
from common.model import MediaInfo, PartFile, PartSpec
from common.outputs.specs import StoryboardSpec
from worker.media import warning_codes
from worker.media.ffmpeg.clip import Clip
from worker.media.ffmpeg.plan import Alternative, Done, Made, Plan, Step, StepRun
from worker.media.recipes.shared import grid, picture
from worker.media.recipes.shared.grid import Grid
from worker.media.recipes.shared.tile_runs import FoundTiles, TileRun
from worker.media.recipes.storyboard import recipe

# A part opens the file and reads its index once more: it must be worth that.
_LEAST_SECONDS = 600.0
_PART_SECONDS = 2.0
# The CPU seconds of a keyframe, by megapixels.
_PIXEL_COST = 0.025
_METHODS = ("keyframes", "keyframes+seeks", "decode")


def split(spec: StoryboardSpec, media: MediaInfo) -> list[PartSpec]:
    """Return the parts that different workers can make; empty if one task does it.

    Only films whose keyframes make all tiles are split, where a seek leads to one.
    """
    video, clip = media.video, Clip("source", media)
    if {"bif", "jellyfin"} & set(spec.trickplay or ()):
        return []  # what packs the pictures needs all of them
    if video is None or media.duration is None or media.duration < _LEAST_SECONDS:
        return []
    tile_grid = grid.lay(spec, clip)
    keyframes = video.keyframe_interval
    if keyframes is None or keyframes >= tile_grid.interval or media.rewritten:
        return []
    if not (video.bitstream_pts and clip.seekable and clip.indexed):
        return []
    megapixels = video.coded_width * video.coded_height / 1e6
    sheet = tile_grid.per_sheet * _PIXEL_COST * megapixels
    each = max(1, round(_PART_SECONDS / sheet))
    count = -(-(tile_grid.cells or 0) // tile_grid.per_sheet)
    if count <= each:
        return []
    seconds = tile_grid.per_sheet * tile_grid.interval
    windows = [(round(at * seconds, 6), round(seconds, 6)) for at in range(count)]
    return [
        PartSpec(first=first, windows=windows[first : first + each])
        for first in range(0, count, each)
    ]


def plan(
    spec: StoryboardSpec,
    clip: Clip,
    part: PartSpec | None = None,
    parts: Sequence[Sequence[PartFile]] = (),
) -> Plan:
    """Return the alternatives for a part, for the joining task, or for the whole."""
    if part is None and not parts:
        return recipe.plan(spec, clip)
    tile_grid = grid.lay(spec, clip)
    if part is not None:
        return _of_part(spec, clip, tile_grid, part)
    found = [file for one in parts for file in one]
    join = partial(_join, spec, clip, tile_grid, found)
    return Plan((Alternative("indexes", join),), tile_grid.warnings)


def _of_part(spec: StoryboardSpec, clip: Clip, tile_grid: Grid, part: PartSpec) -> Plan:
    first = part.first * tile_grid.per_sheet
    until = first + len(part.windows) * tile_grid.per_sheet
    last = -1 if until >= (tile_grid.cells or 0) else until - 1
    best = TileRun(spec, clip, tile_grid, first=first, last=last)
    plain = replace(best, plain=True)
    mapped, clipped = picture.colour_warnings(clip)
    return Plan(
        (
            Alternative("keyframes", partial(_make, best, keyframes=True), mapped),
            Alternative("decode", partial(_make, best, keyframes=False), mapped),
            Alternative(
                "decode_plain", partial(_make, plain, keyframes=False), clipped
            ),
        )
    )


def _make(tile_run: TileRun, *, keyframes: bool) -> StepRun:
    found = yield from recipe.find(tile_run, keyframes=keyframes)
    found.times = _own(tile_run, found.times)
    if tile_run.first and tile_run.first not in found.times:
        yield from _take_before(tile_run, found)
    cells = recipe.cells_until(tile_run, found.times)
    made = yield from recipe.lay_sheets(tile_run, found, cells)
    note = {"cells": cells, "method": found.method, "times": list(found.times.items())}
    return [replace(made[0], note=note), *made[1:]]


def _own(tile_run: TileRun, times: Mapping[int, float]) -> dict[int, float]:
    last = tile_run.last if tile_run.last >= 0 else grid.MAX_TILES
    return {
        cell: time for cell, time in times.items() if tile_run.first <= cell <= last
    }


def _take_before(tile_run: TileRun, found: FoundTiles) -> Generator[Step, Done, None]:
    """Take the frame of the cell before, which fills the first cells of the sheet."""
    before = FoundTiles(found.method)
    cell, file = tile_run.first - 1, "before.nut"
    yield from tile_run.take(before, tile_run.decode(file, cell, cell), file)
    found.files += before.files


def _join(
    spec: StoryboardSpec, clip: Clip, tile_grid: Grid, files: Sequence[PartFile]
) -> StepRun:
    """Write the indexes; this needs no FFmpeg run."""
    yield from ()
    notes: list[dict[str, Any]] = [
        file.details for file in files if "times" in file.details
    ]
    times = {int(cell): time for note in notes for cell, time in note["times"]}
    if not times:
        raise DecodeError("no frame of the video could be decoded")
    cells = max(note["cells"] for note in notes)
    method = max((note["method"] for note in notes), key=_METHODS.index)
    sizes = [file.bytes for file in files]
    shown = FoundTiles(method, times)
    made: list[Made] = recipe.indexes(spec, clip, tile_grid, shown, cells, sizes)
    if spec.count is not None and len(times) < spec.count:
        made[0] = replace(made[0], warnings=(warning_codes.FEWER_FRAMES,))
    return made
