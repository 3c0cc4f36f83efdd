"""Lay out a contact sheet: its sizes, the times on its frames, its header.

All texts come from files in the work folder (``drawtext`` without expansion), so that
no name can become a filter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ffmpeg

from common.outputs.specs import ContactSheetSpec
from worker.media.ffmpeg.clip import Clip, argv
from worker.media.ffmpeg.formats import PROTOCOLS
from worker.media.ffmpeg.plan import Step
from worker.media.recipes.contact_sheet import header
from worker.media.recipes.shared import cost, picture, variants

FONT = "FramemillSans.ttf"
# The files that the frames are drawn into before they are laid out.
TILES = "tile-%03d.png"
# A unique name, because commands go to all filters with that name.
_STAMP = "drawtext@stamp"
_STAMPS, _TITLE, _DETAILS = "stamps.txt", "title.txt", "details.txt"
_TALLEST = 2.5
MAX_SIDE = 16_000
# Encoding a larger AVIF takes over 960 MiB.
AVIF_PIXELS = 60_000_000
_LAY_SECONDS = 10.0
_MOST_DECIMALS = 3


@dataclass(frozen=True)
class SheetLayout:
    """Sizes of a sheet in pixels, and what is drawn on it."""

    spec: ContactSheetSpec
    clip: Clip
    plain: bool = False

    @property
    def margin(self) -> int:
        """Return the border around the grid."""
        return max(6, self.spec.width // 64)

    @property
    def gap(self) -> int:
        """Return the space between two frames."""
        return max(2, self.margin // 3)

    @property
    def box(self) -> picture.Box:
        """Return the size of one frame: even, and low enough for all rows."""
        return self._within(self._most)

    @property
    def is_reduced(self) -> bool:
        """Return True if the frames are smaller than the sheet's width allows."""
        return self.box != self._within(math.inf)

    @property
    def _most(self) -> int:
        """Return how high the sheet may be, pixels."""
        if "avif" not in (self.spec.formats or [self.spec.format]):
            return MAX_SIDE
        return min(MAX_SIDE, AVIF_PIXELS // self.spec.width)

    def _within(self, most: float) -> picture.Box:
        spec, video = self.spec, self.clip.video
        room = spec.width - 2 * self.margin - (spec.columns - 1) * self.gap
        width = max(2, room // spec.columns)
        # The border and the header take six margins.
        height = (most - 6 * self.margin) / spec.rows - self.gap
        # The spec asks for the sheet's width, so small frames are enlarged to fill it.
        tallest = int(min(height, round(width * _TALLEST)))
        cell = picture.MaxSize(width, tallest, enlarge=True)
        box = picture.fit((video.width, video.height), cell, width, even=True)
        # Rounding up to an even size must not push the grid over the border.
        return box if box.width <= width else _narrow(box)

    @property
    def font_size(self) -> int:
        """Return the header's letter height."""
        return max(12, self.spec.width // 48)

    @property
    def small_size(self) -> int:
        """Return the letter height of the details under the title."""
        return max(10, round(self.font_size * 0.68))

    @property
    def stamp_size(self) -> int:
        """Return the letter height of the times on the frames."""
        return max(8, min(self.small_size, self.box.width // 12, self.box.height // 6))


def _narrow(box: picture.Box) -> picture.Box:
    width = box.width - 2
    return picture.Box((width, box.scaled[1]), width, box.height)


def _style(size: int, colour: str) -> dict[str, Any]:
    return {
        "fontfile": FONT,
        "expansion": "none",
        "fontsize": size,
        "fontcolor": picture.colour_word(colour),
    }


def tile(place: int) -> str:
    """Return the file of the frame at that place, from 1."""
    return TILES % place


def lay(sheet: SheetLayout, columns: int, shown: Sequence[float], stem: str) -> Step:
    """Return the step that lays out frames, border and header, and encodes them."""
    spec, margin, count = sheet.spec, sheet.margin, len(shown)
    texts = _header(sheet) if spec.header else {}
    height = sum(_lead(sheet, name) for name in texts) + (margin // 2 if texts else 0)
    colour = picture.colour_word(spec.background)
    tiles = ffmpeg.input(
        f"file:{TILES}", f="image2", framerate=1, protocol_whitelist=PROTOCOLS
    )
    rows = math.ceil(count / columns)
    # The last file may hold a frame that has no place on the sheet.
    frames = tiles["v"].filter("trim", end_frame=count)
    if spec.timestamps:
        frames = _stamped(sheet, frames)
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
        words = _style(size, spec.foreground) | {"textfile": name}
        if name == _DETAILS:
            words["alpha"] = 0.75
        frames = frames.filter("drawtext", **words, x=left, y=top, y_align="font")
        top += _lead(sheet, name)
    pixels = spec.width * (rows * (sheet.box.height + sheet.gap) + 2 * margin + height)
    files, threads = variants.scaled(spec), sheet.clip.threads
    run = argv(
        *variants.copies(
            frames, files, stem, spec.quality, threads=threads, pixels=pixels
        )
    )
    if spec.timestamps:
        texts = texts | {_STAMPS: _commands(shown, sheet.clip)}
    silent = sum(cost.still(one.format, pixels) for one in files)
    reserved = sum(cost.reserved(one.format, pixels) for one in files)
    return Step(run, _LAY_SECONDS, 0, silent, reserved, texts=texts, assets=(FONT,))


def _stamped(sheet: SheetLayout, frames: Any) -> Any:
    """Write each frame's time into its corner: commands change one filter's text."""
    size = sheet.stamp_size
    words = _style(size, "#ffffff") | {
        "text": " ",
        "x": f"w-tw-{max(3, round(size * 0.6))}",
        "y": f"h-{max(3, round(size * 0.55))}-max(th,{size})",
        "box": 1,
        "boxcolor": "black@0.55",
        "boxborderw": max(2, round(size * 0.3)),
    }
    return frames.filter("sendcmd", filename=_STAMPS).filter(_STAMP, **words)


def _commands(shown: Sequence[float], clip: Clip) -> str:
    """Return sendcmd's lines; the frames' clock counts them, one a second."""
    return "".join(
        f"{max(0.0, place - 0.5)} {_STAMP} text '{text}';\n"
        for place, text in enumerate(stamps(shown, clip.end))
    )


def stamps(shown: Sequence[float], end: float | None) -> list[str]:
    """Return the times of the frames, with enough decimals to differ."""
    decimals = header.decimals(end)
    while True:
        texts = [header.length(seconds, decimals) for seconds in shown]
        if len(set(texts)) == len(texts) or decimals == _MOST_DECIMALS:
            return texts
        decimals += 1


def _header(sheet: SheetLayout) -> dict[str, str]:
    """Return the header's lines by their file, top first."""
    title, details = header.lines(sheet.clip, _letters(sheet))
    return {_TITLE: title, _DETAILS: details} if title else {_DETAILS: details}


def _lead(sheet: SheetLayout, name: str) -> int:
    """Return the height of a header line with the space under it."""
    if name == _TITLE:
        return round(1.45 * sheet.font_size)
    return round(1.5 * sheet.small_size)


def _letters(sheet: SheetLayout) -> int:
    """Return how many letters of the title fit, see :func:`header.breadth`."""
    room = sheet.spec.width - 2 * sheet.margin
    return max(12, int(room / (0.6 * sheet.font_size)))
