"""Plan contact sheets: a grid of frames for people, with a header.

Each frame is drawn by its own seek. If seeks find too little, one run decodes the video
from its start and takes a frame for each place, as storyboards do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import ffmpeg

from common.errors import DecodeError
from common.outputs.specs import ContactSheetSpec
from worker.media import warning_codes
from worker.media.ffmpeg.clip import Clip, argv, number, open_clip
from worker.media.ffmpeg.plan import Alternative, Done, Made, Plan, Step, StepRun
from worker.media.recipes.contact_sheet import layout
from worker.media.recipes.contact_sheet.layout import SheetLayout
from worker.media.recipes.shared import (
    cost,
    encoders,
    fallback,
    frame_at,
    picture,
    tile_runs,
    variants,
)
from worker.media.recipes.shared.extent import extent, leaves_some
from worker.media.recipes.shared.frame_at import FrameWriter
from worker.media.recipes.shared.grid import SLACK

_STEM = "contact-sheet"
_CAPTURE = 256 * 1024
# A longer film is decoded whole only if seeks found less than half.
_DECODE_ALL_SECONDS = 600.0

# Draws the frames into the files that :func:`layout.tile` names, returns their times.
DrawTiles = Callable[[SheetLayout], Generator[Step, Done, list[float]]]


def plan(
    spec: ContactSheetSpec,
    clip: Clip,
    _part: Any = None,
    _parts: Sequence[Any] = (),
) -> Plan:
    """Return the alternatives for a contact sheet spec, which is never split.

    If there is no frame, the sheet is the fallback picture alone. Raises NoVideoStream.
    """
    files, ground = variants.scaled(spec), spec.background
    canvas = fallback.Canvas(spec.format, spec.width, background=ground, variants=files)

    def show(drawn: Any) -> StepRun:
        return (
            yield from fallback.stills(drawn, _STEM, canvas, spec.quality, clip.threads)
        )

    frames = partial(_of_frames, spec, clip)
    return fallback.plan(spec.fallback, clip, frames, canvas, show)


def _of_frames(spec: ContactSheetSpec, clip: Clip) -> Plan:
    mapped, clipped = picture.colour_warnings(clip)
    best, plain = SheetLayout(spec, clip), SheetLayout(spec, clip, plain=True)
    if clip.seekable and clip.end is not None:
        alternatives = [
            Alternative("seeks", partial(_make, best, _by_good_seeks), mapped),
            Alternative(
                "from_start",
                partial(_make, best, _most_from_start),
                (warning_codes.SEEK_UNRELIABLE, *mapped),
            ),
            Alternative("seeks_few", partial(_make, best, _by_seeks), mapped),
        ]
    else:
        alternatives = [
            Alternative("from_start", partial(_make, best, _from_start), mapped),
            Alternative(
                "from_start_plain", partial(_make, plain, _from_start), clipped
            ),
        ]
    alternatives.append(
        Alternative("seeks_plain", partial(_make, plain, _by_seeks), clipped)
    )
    notes = () if leaves_some(clip, spec) else (warning_codes.EXCLUSION_IGNORED,)
    if best.is_reduced:
        notes = (*notes, warning_codes.TILES_REDUCED)
    return Plan(tuple(alternatives), notes)


def times(spec: ContactSheetSpec, clip: Clip) -> list[float]:
    """Return the times of the frames: the middles of equal slices."""
    count = spec.columns * spec.rows
    if clip.end is None:
        return [clip.begin]
    start, end = extent(clip, spec)
    step = (end - start) / count
    return [clip.within(start + (place + 0.5) * step) for place in range(count)]


def _make(sheet: SheetLayout, take: DrawTiles) -> StepRun:
    shown = yield from take(sheet)
    if not shown:
        raise DecodeError("no frame of the video could be decoded")
    spec, box = sheet.spec, sheet.box
    columns = min(spec.columns, len(shown))
    rows = math.ceil(len(shown) / columns)
    files = variants.scaled(spec)
    done = yield layout.lay(sheet, columns, shown, _STEM)
    if any(one.file(_STEM) not in done.files for one in files):
        raise DecodeError("the contact sheet could not be drawn")
    few = len(shown) < spec.columns * spec.rows
    notes = (warning_codes.FEWER_FRAMES,) if few else ()
    details = {"times": shown, "columns": columns, "rows": rows}
    made = []
    for one in files:
        share = (one.width or spec.width) / spec.width
        tile = {
            "tile_width": round(box.width * share),
            "tile_height": round(box.height * share),
        }
        name, kind = one.file(_STEM), encoders.CONTENT_TYPES[one.format]
        made.append(
            Made(
                name,
                name,
                kind,
                one.width,
                time=shown[0],
                warnings=notes,
                details=details | tile,
            )
        )
    return made


@dataclass
class _SoughtFrames:
    """What seeks found: the frames' real times, and how many places have none."""

    shown: list[float] = field(default_factory=list)
    missed: int = 0
    damaged: bool = False


def _by_seeks(sheet: SheetLayout) -> Generator[Step, Done, list[float]]:
    return (yield from _sought(sheet)).shown


def _by_good_seeks(sheet: SheetLayout) -> Generator[Step, Done, list[float]]:
    """Draw by seeks; raise DecodeError if decoding from the start may find more.

    What is missing from a damaged video, decoding would not find either.
    """
    found = yield from _sought(sheet)
    places, missed = len(times(sheet.spec, sheet.clip)), found.missed
    short = (sheet.clip.end or 0.0) <= _DECODE_ALL_SECONDS and not found.damaged
    if missed > places / 2 or (missed and short):
        raise DecodeError(f"seeks found no frame for {missed} of {places} places")
    return found.shown


def _sought(sheet: SheetLayout) -> Generator[Step, Done, _SoughtFrames]:
    """Draw the frame on screen at each time.

    A time without a frame, or with the same frame as before, takes no place. It counts
    as missed, unless that frame is still on screen then.
    """
    clip, found = sheet.clip, _SoughtFrames()
    shown = found.shown
    for at in times(sheet.spec, clip):
        file = layout.tile(len(shown) + 1)
        grab = frame_at.exact(clip, at, _writer(sheet, file), tolerant=True)
        done = yield grab.step
        real = grab.time(done)
        found.damaged |= done.damaged
        # Without a time in the log, the file is from an earlier try.
        if file not in done.files or real is None:
            found.missed += 1
        elif not shown or (real > shown[-1] and not frame_at.is_same(real, shown[-1])):
            shown.append(real)
        elif real > at + clip.frame_seconds:
            found.missed += 1
    return found


def _most_from_start(sheet: SheetLayout) -> Generator[Step, Done, list[float]]:
    """Decode from the start; raise DecodeError if less than half of the frames came."""
    shown = yield from _from_start(sheet)
    places = sheet.spec.columns * sheet.spec.rows
    expected = min(places, sheet.clip.video.frames or places)
    if 2 * len(shown) < expected:
        raise DecodeError(f"only {len(shown)} of {expected} frames could be decoded")
    return shown


def _from_start(sheet: SheetLayout) -> Generator[Step, Done, list[float]]:
    """Draw the first frame from each time on, or every frame if they are few."""
    clip = sheet.clip
    if clip.end is None:
        last = yield from frame_at.last_time(clip, seek=False)
        end = clip.begin if last is None else last + clip.frame_seconds
        media = clip.media.model_copy(update={"duration": end})
        clip = replace(clip, media=media)
    frames = open_clip(clip)
    wanted = times(sheet.spec, clip)
    if (clip.video.frames or math.inf) > len(wanted):
        frames = _first_of_each(sheet.spec, clip, frames)
    done = yield _drawn_all(sheet, frame_at.mark(frames, "pipe:1"), len(wanted))
    seen = frame_at.marks(done.stdout.decode("ascii", "replace"))
    # The last frames may not have been drawn.
    drawn = [layout.tile(place) in done.files for place in range(1, len(seen) + 1)]
    return [mark for mark, there in zip(seen, drawn, strict=True) if there]


def _first_of_each(spec: ContactSheetSpec, clip: Clip, frames: Any) -> Any:
    """Pass on one frame for each of the evenly spaced times."""
    start, end = extent(clip, spec)
    step = max((end - start) / (spec.columns * spec.rows), 2 * SLACK)
    first = start + step / 2
    begin, until = (when - SLACK for when in (first, end + step / 2))
    frames = frames.filter("trim", start=number(max(0.0, begin)), end=number(until))
    return tile_runs.first_of_cells(frames, number(step), first)


def _drawn_all(sheet: SheetLayout, frames: Any, count: int) -> Step:
    clip = sheet.clip
    options = encoders.still("png", 100, clip.threads) | {"frames:v": count}
    del options["update"]
    words = argv(
        ffmpeg.output(_drawn(sheet, frames, lone=True), layout.TILES, **options)
    )
    seconds, silent = max(clip.seconds, count * _tile_cost(sheet)), _tile_cost(sheet)
    return Step(words, seconds, _CAPTURE, silent, tolerant=True)


def _drawn(sheet: SheetLayout, frames: Any, *, lone: bool = False) -> Any:
    return picture.draw(
        frames,
        sheet.clip,
        sheet.box,
        "png",
        background=sheet.spec.background,
        plain=sheet.plain,
        lone=lone,
    )


def _writer(sheet: SheetLayout, file: str) -> FrameWriter:
    options = encoders.still("png", 100, sheet.clip.threads)

    def write(frames: Any) -> tuple[str, ...]:
        return argv(ffmpeg.output(_drawn(sheet, frames), file, **options))

    return FrameWriter(write, silent=_tile_cost(sheet))


def _tile_cost(sheet: SheetLayout) -> float:
    return cost.still("png", sheet.box.width * sheet.box.height)
