"""The recipe of contact sheets: a grid of frames for people, with a header.

Each frame is drawn by a seek of its own, with its time in a corner; the last step
lays the grid and writes the header. All texts come from files in the work folder
(``drawtext`` without expansion), so that no name can become a filter.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import ffmpeg

from common.errors import DecodeError
from common.specs import ContactSheetSpec, Fit
from worker.media.recipes import encode, headline, moment, picture, standin
from worker.media.recipes import warnings as codes
from worker.media.recipes.extent import extent, leaves_some
from worker.media.recipes.formats import PROTOCOLS
from worker.media.recipes.moment import Pen
from worker.media.recipes.plan import Done, Made, Plan, Rung, RungRun, Step
from worker.media.recipes.source import Clip, argv

FONT = "FramemillSans.ttf"
_STAMP, _TITLE, _DETAILS = "stamp.txt", "title.txt", "details.txt"
_STEM = "contact-sheet"
_TALLEST = 2.5
_MAX_SIDE = 16_000


@dataclass(frozen=True)
class _Cell:
    """A box that keeps the shape; the sheet's width is asked, so it may grow."""

    width: int
    height: int
    fit: Fit = "contain"
    enlarge: bool = True


@dataclass(frozen=True)
class _Sheet:
    """Sizes of a sheet in pixels, and what is drawn on it."""

    spec: ContactSheetSpec
    clip: Clip
    plain: bool = False

    @property
    def margin(self) -> int:
        """Give the border around the grid."""
        return max(6, self.spec.width // 64)

    @property
    def gap(self) -> int:
        """Give the space between two frames."""
        return max(2, self.margin // 3)

    @property
    def box(self) -> picture.Box:
        """Give the size of one frame: even, and low enough for all rows."""
        spec, video = self.spec, self.clip.video
        room = spec.width - 2 * self.margin - (spec.columns - 1) * self.gap
        width = max(2, room // spec.columns)
        height = (_MAX_SIDE - 4 * self.margin) // spec.rows - self.gap
        cell = _Cell(width, min(height, round(width * _TALLEST)))
        box = picture.fit((video.width, video.height), cell, width, even=True)
        # Rounding up to an even size may not push the grid over the border.
        return box if box.width <= width else _narrow(box)

    @property
    def font_size(self) -> int:
        """Give the header's letter height."""
        return max(12, self.spec.width // 48)

    @property
    def small_size(self) -> int:
        """Give the letter height of the details under the title."""
        return max(10, round(self.font_size * 0.68))

    @property
    def stamp_size(self) -> int:
        """Give the letter height of the times on the frames."""
        return max(8, min(self.small_size, self.box.width // 12))


def _narrow(box: picture.Box) -> picture.Box:
    width = box.width - 2
    return picture.Box((width, box.scaled[1]), width, box.height)


def plan(
    spec: ContactSheetSpec,
    clip: Clip,
    _part: Any = None,
    _parts: Sequence[Any] = (),
) -> Plan:
    """Give the rungs for a contact sheet spec; it is never cut into parts.

    Where there is no frame, the sheet is the stand-in alone. Raises NoVideoStream.
    """
    canvas = standin.Canvas(spec.format, spec.width, background=spec.background)

    def show(drawn: Any) -> RungRun:
        kind, quality, threads = spec.format, spec.quality, clip.threads
        made = yield from standin.still(drawn, _STEM, kind, quality, threads)
        return [made]

    frames = partial(_of_frames, spec, clip)
    return standin.plan(spec.fallback, clip, frames, canvas, show)


def _of_frames(spec: ContactSheetSpec, clip: Clip) -> Plan:
    mapped, clipped = picture.colour_warnings(clip)
    best, plain = _Sheet(spec, clip), _Sheet(spec, clip, plain=True)
    frames = clip.video.frames
    notes = []
    if frames is not None and frames < spec.columns * spec.rows:
        notes.append(codes.FEWER_FRAMES)
    if not leaves_some(clip, spec):
        notes.append(codes.EXCLUSION_IGNORED)
    return Plan(
        (
            Rung("seeks", partial(_make, best), mapped),
            Rung("seeks_plain", partial(_make, plain), clipped),
        ),
        tuple(notes),
    )


def times(spec: ContactSheetSpec, clip: Clip) -> list[float]:
    """Give the times of the frames: the middles of equal slices."""
    count = spec.columns * spec.rows
    if clip.end is None:
        return [clip.begin]
    start, end = extent(clip, spec)
    step = (end - start) / count
    return [clip.within(start + (place + 0.5) * step) for place in range(count)]


def _make(sheet: _Sheet) -> RungRun:
    shown = yield from _frames(sheet)
    if not shown:
        raise DecodeError("no frame of the video could be decoded")
    spec, box = sheet.spec, sheet.box
    columns = min(spec.columns, len(shown))
    rows = math.ceil(len(shown) / columns)
    file = f"{_STEM}.{encode.extension(spec.format)}"
    done = yield _assemble(sheet, columns, len(shown), file)
    if file not in done.files:
        raise DecodeError("the contact sheet could not be laid")
    details = {
        "times": shown,
        "columns": columns,
        "rows": rows,
        "tile_width": box.width,
        "tile_height": box.height,
    }
    kind = encode.CONTENT_TYPES[spec.format]
    return [Made(file, file, kind, time=shown[0], details=details)]


def _frames(sheet: _Sheet) -> Generator[Step, Done, list[float]]:
    """Draw the frames into ``tile-001.png`` and so on; give their real times.

    A time that gives no frame, or the frame before once more, takes no place.
    """
    shown: list[float] = []
    tenths = (sheet.clip.end or 0.0) < headline.TENTHS
    for at in times(sheet.spec, sheet.clip):
        file = f"tile-{len(shown) + 1:03d}.png"
        shot = moment.exact(sheet.clip, at, _pen(sheet, file), tolerant=True)
        stamp = {_STAMP: headline.length(at, tenths=tenths)}
        done = yield replace(shot.step, texts=stamp, assets=(FONT,))
        real = shot.time(done)
        # Without a time in the log, the file is one that took no place before.
        if file not in done.files or real is None:
            continue
        if not shown or (real > shown[-1] and not moment.is_same(real, shown[-1])):
            shown.append(real)
    return shown


def _pen(sheet: _Sheet, file: str) -> Pen:
    spec, size = sheet.spec, sheet.stamp_size

    def write(frames: Any) -> tuple[str, ...]:
        frames = picture.draw(
            frames,
            sheet.clip,
            sheet.box,
            "png",
            background=spec.background,
            plain=sheet.plain,
        )
        if spec.timestamps:
            frames = frames.filter(
                "drawtext",
                **_text(_STAMP, size, "#ffffff"),
                x=f"w-tw-{max(3, round(size * 0.6))}",
                y=f"h-{max(3, round(size * 0.55))}-max(th,{size})",
                box=1,
                boxcolor="black@0.55",
                boxborderw=max(2, round(size * 0.3)),
            )
        options = encode.still("png", 100, sheet.clip.threads)
        return argv(ffmpeg.output(frames, file, **options))

    return Pen(write)


def _text(file: str, size: int, colour: str) -> dict[str, Any]:
    return {
        "fontfile": FONT,
        "textfile": file,
        "expansion": "none",
        "fontsize": size,
        "fontcolor": picture.colour_word(colour),
    }


def _assemble(sheet: _Sheet, columns: int, count: int, file: str) -> Step:
    """Lay ``count`` frames, the border and the header; encode the sheet."""
    spec, margin = sheet.spec, sheet.margin
    texts = _header(sheet) if spec.header else {}
    height = sum(_lead(sheet, name) for name in texts) + (margin // 2 if texts else 0)
    colour = picture.colour_word(spec.background)
    tiles = ffmpeg.input(
        "file:tile-%03d.png", f="image2", framerate=1, protocol_whitelist=PROTOCOLS
    )
    rows = math.ceil(count / columns)
    # The last of the files may hold a frame that took no place.
    frames = tiles["v"].filter("trim", end_frame=count)
    frames = frames.filter("tile", f"{columns}x{rows}", padding=sheet.gap, color=colour)
    left = (spec.width - spec.columns * (sheet.box.width + sheet.gap) + sheet.gap) // 2
    # Even sizes, since most formats halve the colour planes.
    frames = frames.filter(
        "pad",
        f"2*floor(max({spec.width},iw+{2 * margin})/2)",
        f"2*ceil((ih+{2 * margin + height})/2)",
        max(left, 0),
        margin + height,
        color=colour,
    )
    top = margin
    for name in texts:
        size = sheet.font_size if name == _TITLE else sheet.small_size
        words = _text(name, size, spec.foreground)
        if name == _DETAILS:
            words["alpha"] = 0.75
        frames = frames.filter("drawtext", **words, x=left, y=top, y_align="font")
        top += _lead(sheet, name)
    frames = frames.filter("scale", **picture.target(spec.format))
    frames = frames.filter("format", picture.OPAQUE[spec.format])
    options = encode.still(spec.format, spec.quality, sheet.clip.threads)
    run = argv(ffmpeg.output(frames, file, **options))
    return Step(run, seconds=10.0, texts=texts, assets=(FONT,))


def _header(sheet: _Sheet) -> dict[str, str]:
    """Give the header's lines by their file, top first."""
    title, details = headline.lines(sheet.clip, _letters(sheet))
    return {_TITLE: title, _DETAILS: details} if title else {_DETAILS: details}


def _lead(sheet: _Sheet, name: str) -> int:
    """Give the height of a header line with the space under it."""
    if name == _TITLE:
        return round(1.45 * sheet.font_size)
    return round(1.5 * sheet.small_size)


def _letters(sheet: _Sheet) -> int:
    """Give how many letters of the title fit, see :func:`headline.breadth`."""
    room = sheet.spec.width - 2 * sheet.margin
    return max(12, int(room / (0.6 * sheet.font_size)))
