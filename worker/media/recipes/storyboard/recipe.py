"""Plan storyboards: tiles on sheets, and the indexes to find them.

Only the keyframes that are shown reach the decoder: a bitstream filter drops every
other packet. Cells of time without a keyframe get their exact frame by a seek. If there
are many such cells, all frames are decoded. ``details["method"]`` names the method:
``keyframes``, ``keyframes+seeks`` or ``decode``, or ``standin`` if a fallback picture
is the only tile.

Each run writes its tiles into a NUT file whose clock counts cells. The last step
interleaves these files and lays out the sheets. Times are those of decoded frames.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import ffmpeg

from common.errors import DecodeError
from common.outputs.specs import StoryboardSpec, TileFormat
from worker.media import warning_codes
from worker.media.ffmpeg.clip import Clip, argv
from worker.media.ffmpeg.formats import FORMATS, PROTOCOLS
from worker.media.ffmpeg.plan import Alternative, Done, Made, Plan, Step, StepRun
from worker.media.recipes.shared import (
    cost,
    encoders,
    fallback,
    grid,
    keyframe_index,
    picture,
)
from worker.media.recipes.shared.grid import Grid
from worker.media.recipes.shared.tile_runs import FoundTiles, TileRun
from worker.media.recipes.shared.variants import Variant
from worker.media.recipes.storyboard import index, trickplay

# Seeking is worthwhile if it decodes clearly less than all; a seek costs about as much
# as decoding three seconds.
_SEEK_SECONDS = 3.0
_SEEK_SHARE = 0.6
# Seeking and decoding one keyframe takes as long as decoding so many seconds.
_APART_SECONDS = 2.0
# The last step opens one file per batch.
_MOST_BATCHES = 150
_MOST_SEEKS = 40
# How long the last frame is shown if the header's duration ends before it.
_LAST_SECONDS = 0.04
_DECODE_ALL_SECONDS = 600.0


def plan(spec: StoryboardSpec, clip: Clip) -> Plan:
    """Return the alternatives for all of a storyboard in one task.

    If there is no frame, its one tile is the fallback picture. Raises NoVideoStream.
    """
    canvas = fallback.Canvas(
        spec.format,
        spec.width,
        background="#000000",
        variants=_standins(spec),
    )
    frames = partial(_of_frames, spec, clip)
    show = partial(_show, spec, clip, canvas)
    return fallback.plan(spec.fallback, clip, frames, canvas, show)


def _standins(spec: StoryboardSpec) -> tuple[Variant, ...]:
    """Return the files of a fallback picture: the sheet, and a JPEG for the BIF."""
    more = trickplay.wants(spec, "bif") and spec.format != "jpeg"
    return (Variant(spec.format), *((Variant("jpeg"),) if more else ()))


def _show(
    spec: StoryboardSpec, clip: Clip, canvas: fallback.Canvas, drawn: Any
) -> StepRun:
    """Lay out a sheet of one tile that is shown from the start to the end."""
    stills = yield from fallback.stills(
        drawn, "storyboard-001", canvas, spec.quality, clip.threads
    )
    sheet = stills[0]
    width, height = sheet.width or 1, sheet.height or 1
    end = clip.end or _LAST_SECONDS
    tile_grid = Grid(end, 1, picture.Box((width, height), width, height), 1, 1)
    tiles, sheets = grid.tiles(tile_grid, {0: 0.0}, end), grid.sheets(tile_grid, 1, end)
    packed = yield from trickplay.archives(
        spec, tile_grid, [sheet.name], [stills[-1].file]
    )
    more = _more(spec, tile_grid, sheets, [sheet.bytes])
    indexes = index.files(tile_grid, tiles, sheets, [sheet.name], "standin", more)
    return [replace(sheet, details={}), *packed, *indexes]


def _more(
    spec: StoryboardSpec,
    tile_grid: Grid,
    sheets: Sequence[grid.Sheet],
    sizes: Sequence[int],
) -> dict[str, tuple[str, str]]:
    """Return the indexes that the spec asks for beside the usual three."""
    if not trickplay.wants(spec, "dash"):
        return {}
    text = trickplay.manifest(tile_grid, sheets, sizes, spec.format)
    return {trickplay.MPD: ("application/dash+xml", text)}


def _of_frames(spec: StoryboardSpec, clip: Clip) -> Plan:
    tile_grid = grid.lay(spec, clip)
    mapped, clipped = picture.colour_warnings(clip)
    best = TileRun(spec, clip, tile_grid)
    plain = TileRun(spec, clip, tile_grid, plain=True)
    alternatives = [
        Alternative("decode", partial(_make, best, keyframes=False), mapped),
        Alternative("decode_plain", partial(_make, plain, keyframes=False), clipped),
    ]
    if clip.video.bitstream_pts:
        alternatives.insert(
            0, Alternative("keyframes", partial(_make, best, keyframes=True), mapped)
        )
    return Plan(tuple(alternatives), tile_grid.warnings)


def _make(tile_run: TileRun, *, keyframes: bool) -> StepRun:
    found = yield from find(tile_run, keyframes=keyframes)
    return (yield from _lay(tile_run, found))


def find(tile_run: TileRun, *, keyframes: bool) -> Generator[Step, Done, FoundTiles]:
    """Take the tiles of a run; raise DecodeError if no frame could be decoded."""
    found = yield from (_by_keyframes if keyframes else _by_decoding)(tile_run)
    if not found.times:
        raise DecodeError("no frame of the video could be decoded")
    return found


def _by_decoding(tile_run: TileRun) -> Generator[Step, Done, FoundTiles]:
    """Decode the whole clip; raise TooLong if that exceeds the limit."""
    tile_run.clip.check_decoding("storyboards")
    found = FoundTiles("decode")
    step = tile_run.decode("all.nut", tile_run.first, tile_run.last)
    yield from tile_run.take(found, step, "all.nut")
    return found


def _by_keyframes(tile_run: TileRun) -> Generator[Step, Done, FoundTiles]:
    """Take keyframes, then fill the gaps; decode all if that is cheaper.

    Raises DecodeError if no keyframe came, or if they are not in order of time.
    """
    tile_grid = tile_run.grid
    found, damaged = yield from _keyframes(tile_run)
    if damaged and (tile_run.clip.end or 0.0) < _DECODE_ALL_SECONDS:
        # The frames before a damaged keyframe may still show what it lacks.
        raise DecodeError("some of the keyframes are damaged")
    if found.shuffled and _is_worth_seeks(tile_run):
        yield from _apart(tile_run, found)
    if not found.times:
        raise DecodeError("no keyframes could be decoded in order of time")
    stop = None if tile_run.last < 0 else tile_run.last + 1
    runs = grid.gaps(tile_grid, found.times, tile_run.first, stop)
    if not _is_cheap(runs, tile_run):
        return (yield from _by_decoding(tile_run))
    for first, last in runs:
        file = f"gap-{first}.nut"
        before = len(found.times)
        step = tile_run.decode(file, first, last)
        yield from tile_run.take(found, step, file)
        if len(found.times) > before:
            found.method = "keyframes+seeks"
    return found


def _keyframes(tile_run: TileRun) -> Generator[Step, Done, tuple[FoundTiles, bool]]:
    """Take the first keyframe of every cell; return also whether one is damaged.

    Of a file with holes, only these keyframes are read, if its index lists them, their
    times turn out to be those that it implied, and the decoder does not complain.
    """
    file, clip = "keyframes.nut", tile_run.clip
    if clip.holed and _may_be_listed(clip):
        listed = yield keyframe_index.step(clip.video.index)
        chosen = keyframe_index.first_of_cells(
            keyframe_index.read(listed), tile_run.packets_cell
        )
        if chosen:
            found = FoundTiles("keyframes")
            step = tile_run.keyframes(file, list(chosen.values()))
            damaged = yield from tile_run.take(found, step, file, alone=True)
            as_listed = keyframe_index.came(chosen, found.times, clip.stamp(0.0))
            if as_listed and not damaged:
                return found, damaged
    found = FoundTiles("keyframes")
    step = tile_run.keyframes(file)
    damaged = yield from tile_run.take(found, step, file, alone=True)
    return found, damaged


def _may_be_listed(clip: Clip) -> bool:
    """Return True if an index may list every frame, and each is of one stream."""
    if clip.video.mosaic is not None or clip.video.alpha_mosaic is not None:
        return False
    media = clip.media
    return media.container.startswith("mov,") and not media.by_fragments


def _is_worth_seeks(tile_run: TileRun) -> bool:
    """Return True if a seek for every cell costs clearly less than decoding all."""
    tile_grid, clip = tile_run.grid, tile_run.clip
    if tile_grid.cells is None or not (clip.seekable and clip.indexed):
        return False
    few = tile_grid.cells <= _MOST_BATCHES * tile_run.at_once
    return few and tile_grid.interval > _APART_SECONDS


def _apart(tile_run: TileRun, found: FoundTiles) -> Generator[Step, Done, None]:
    """Take the keyframe of every cell by its own seek and decoder."""
    stop = tile_run.last + 1 if tile_run.last >= 0 else tile_run.grid.cells or 0
    cells = range(tile_run.first, stop)
    for first in range(0, len(cells), tile_run.at_once):
        batch = cells[first : first + tile_run.at_once]
        yield from tile_run.take_apart(found, batch, f"apart-{first}.nut")
    found.method = "keyframes+seeks"


def _is_cheap(runs: list[tuple[int, int]], tile_run: TileRun) -> bool:
    """Return True if seeking to the gaps costs clearly less than decoding all."""
    tile_grid, end = tile_run.grid, tile_run.clip.seconds
    unsure = not (tile_run.clip.seekable and tile_run.clip.indexed)
    if len(runs) > _MOST_SEEKS or (runs and unsure):
        return False
    seconds = len(runs) * _SEEK_SECONDS
    for first, last in runs:
        until = end if last < 0 else (last + 1) * tile_grid.interval
        seconds += max(0.0, until - first * tile_grid.interval)
    return len(runs) == 1 or seconds < _SEEK_SHARE * tile_run.seconds


def _lay(tile_run: TileRun, found: FoundTiles) -> StepRun:
    """Lay out the sheets and write the indexes."""
    tile_grid, spec = tile_run.grid, tile_run.spec
    cells = cells_until(tile_run, found.times)
    times = {cell: time for cell, time in found.times.items() if cell < cells}
    made = yield from lay_sheets(tile_run, found, cells)
    if spec.count is not None and len(times) < spec.count:
        made[0] = replace(made[0], warnings=(warning_codes.FEWER_FRAMES,))
    frames = [trickplay.FRAMES % place for place in range(1, cells + 1)]
    names, sizes = [one.name for one in made], [one.bytes for one in made]
    made += yield from trickplay.archives(spec, tile_grid, names, frames)
    shown = replace(found, times=times)
    return made + indexes(spec, tile_run.clip, tile_grid, shown, cells, sizes)


def cells_until(tile_run: TileRun, times: Mapping[int, float]) -> int:
    """Return how many cells the storyboard has, up to the last one of this run."""
    if tile_run.last >= 0:
        return tile_run.last + 1
    cells = max(times, default=tile_run.first) + 1
    if tile_run.grid.cells is not None and tile_run.clip.video.frames is not None:
        # All packets were counted, so a very long last frame is a real slide.
        cells = max(cells, tile_run.grid.cells)
    return min(cells, grid.MAX_TILES)


def lay_sheets(tile_run: TileRun, found: FoundTiles, cells: int) -> StepRun:
    """Write the sheets of the run's cells; ``cells`` is where the last one ends."""
    tile_grid, spec = tile_run.grid, tile_run.spec
    end = cells * tile_grid.interval
    done = tile_run.first // tile_grid.per_sheet
    sheets = grid.sheets(tile_grid, cells, end)[done:]
    pixels = tile_grid.box.width * tile_grid.box.height
    tile = cost.still(spec.format, pixels)
    count = cells - tile_run.first
    came = yield Step(
        _sheet_words(tile_run, found, sheets),
        seconds=max(float(count), count * tile),
        silent=tile_grid.per_sheet * tile,
        reserved=len(sheets) * cost.reserved(spec.format, tile_grid.per_sheet * pixels),
    )
    names = sheet_names(spec, done + len(sheets))[done:]
    return [
        Made(
            name,
            name,
            encoders.CONTENT_TYPES[spec.format],
            sheet.columns * tile_grid.box.width,
            sheet.rows * tile_grid.box.height,
            bytes=came.files[name].bytes if name in came.files else 0,
        )
        for name, sheet in zip(names, sheets, strict=True)
    ]


def sheet_names(spec: StoryboardSpec, count: int) -> list[str]:
    """Return the names of the first ``count`` sheets."""
    suffix = encoders.extension(spec.format)
    return [f"storyboard-{place:03d}.{suffix}" for place in range(1, count + 1)]


def indexes(
    spec: StoryboardSpec,
    clip: Clip,
    tile_grid: Grid,
    found: FoundTiles,
    cells: int,
    sizes: Sequence[int],
) -> list[Made]:
    """Return the indexes of a storyboard whose cells have the frames that were found.

    ``sizes`` are the bytes of the sheets.
    """
    times = found.times
    end = max(clip.end or 0.0, max(times.values()) + _LAST_SECONDS)
    if tile_grid.cells is not None and tile_grid.cells > cells:
        end = min(end, cells * tile_grid.interval)
    sheets = grid.sheets(tile_grid, cells, end)
    tiles = grid.tiles(tile_grid, times, end)
    names, more = sheet_names(spec, len(sheets)), _more(spec, tile_grid, sheets, sizes)
    return index.files(tile_grid, tiles, sheets, names, found.method, more)


def _sheet_words(
    tile_run: TileRun, found: FoundTiles, sheets: Sequence[grid.Sheet]
) -> tuple[str, ...]:
    """Return the words that interleave the files, fill cells and encode sheets."""
    tile_grid, spec = tile_run.grid, tile_run.spec
    inputs = [
        ffmpeg.input(
            f"file:{file}", protocol_whitelist=PROTOCOLS, format_whitelist=FORMATS
        )["v"]
        for file in found.files
    ]
    frames = (
        ffmpeg.filter(inputs, "interleave", nb_inputs=len(inputs), duration="longest")
        if len(inputs) > 1
        else inputs[0]
    )
    cells = sum(sheet.cells for sheet in sheets)
    begin = tile_run.first
    frames = frames.filter("fps", 1, start_time=begin, eof_action="pass")
    if begin + cells > max(found.times, default=begin) + 1:
        frames = frames.filter("tpad", stop=-1, stop_mode="clone")
    frames = frames.filter("trim", end_frame=cells)
    singles = []
    if trickplay.wants(spec, "bif"):
        both = frames.filter_multi_output("split")
        frames, options = both[0], _sheet_options(spec, tile_run.clip.threads, "jpeg")
        each = _encodable(both[1], "jpeg")
        singles.append(ffmpeg.output(each, trickplay.FRAMES, **options))
    frames = _encodable(frames, spec.format)
    pixels = tile_grid.per_sheet * tile_grid.box.width * tile_grid.box.height
    options = _sheet_options(spec, tile_run.clip.threads, spec.format, pixels)
    suffix = encoders.extension(spec.format)
    place = begin // tile_grid.per_sheet
    full, last = sheets[:-1], sheets[-1]
    both = frames.filter_multi_output("split") if full else [frames]
    outputs = []
    if full:
        head = both[0].filter("trim", end_frame=len(full) * tile_grid.per_sheet)
        head = head.filter("tile", f"{tile_grid.columns}x{tile_grid.rows}")
        numbers = {"start_number": place + 1} if place else {}
        outputs.append(
            ffmpeg.output(head, f"storyboard-%03d.{suffix}", **options, **numbers)
        )
    tail = both[-1].filter("trim", start_frame=len(full) * tile_grid.per_sheet)
    tail = tail.filter("tile", f"{last.columns}x{last.rows}")
    file = sheet_names(spec, place + len(sheets))[-1]
    outputs.append(ffmpeg.output(tail, file, **options, update=1))
    return argv(*outputs, *singles)


def _encodable(frames: Any, kind: TileFormat) -> Any:
    """Return tiles in the range and with the tags that a format has."""
    if kind == "jpeg":
        frames = picture.scale(frames, in_range="limited", out_range="full")
        frames = frames.filter("format", "yuvj420p")
    return encoders.tagged(frames, kind)


def _sheet_options(
    spec: StoryboardSpec, threads: int, kind: TileFormat, pixels: int = 0
) -> dict[str, Any]:
    """Return the encoder options for a run of pictures, one file each."""
    options = encoders.still(kind, spec.quality, threads, pixels)
    options = {k: v for k, v in options.items() if k not in ("frames:v", "update")}
    if kind == "avif":
        # "still-picture" ends the encoder after one frame.
        del options["still-picture"]
        options |= {"f": "image2", "usage": "allintra"}
        # The image2 muxer asks for no global header, and its AVIF files then have an
        # empty av1C box: FFmpeg opens them, libavif and browsers do not.
        options["flags:v"] += "+global_header"
    return options
