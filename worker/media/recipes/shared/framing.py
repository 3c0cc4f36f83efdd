"""Choose which part of the picture an output shows: crop, trim and gravity.

All of it is a property of the clip. ``crop`` and ``trim`` make a :class:`Region` of it,
which :func:`picture.draw` cuts out; the clip's video then has the region's size, so
that every recipe works as if the video had been filmed so. ``gravity`` sets the point
that ``fit`` cover keeps (``Clip.focus``); smart is found by the recipe
(:mod:`worker.media.recipes.best_frame.subject`). The same cut holds for all frames of a
file, so what moves stays steady.

Coordinates are pixels of the upright picture, or shares of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Protocol

from common.errors import CropOutside
from common.outputs.specs import CropSide, Fit, Gravity
from worker.media.ffmpeg.clip import Clip, Region
from worker.media.ffmpeg.plan import Made, Plan, StepRun
from worker.media.recipes.shared import bars, picture
from worker.media.recipes.shared.bars import Shares


class FramedFields(Protocol):
    """The fields of a spec that say what of the picture is shown."""

    @property
    def fit(self) -> Fit:
        """Return how the picture is fitted into the box."""

    @property
    def gravity(self) -> Gravity:
        """Return what ``fit`` cover keeps."""

    @property
    def crop(self) -> list[CropSide] | None:
        """Return left, top, width and height of what is shown."""

    @property
    def trim(self) -> bool:
        """Return True if black bars are cut off."""


def plan(spec: FramedFields, clip: Clip, frames: Callable[[Clip], Plan]) -> Plan:
    """Return the alternatives of ``frames``, which show what the spec says.

    Raises CropOutside if nothing of the picture is inside the crop.
    """
    clip = replace(clip, focus=picture.focus(spec.gravity))
    if spec.crop is not None:
        clip = cut(clip, _inside(clip, spec.crop))
    found = frames(clip)
    if spec.fit != "cover" and spec.crop is None and not spec.trim:
        return found
    framed = [
        replace(one, run=partial(_framed, spec, clip, frames, place))
        for place, one in enumerate(found.alternatives)
    ]
    return replace(found, alternatives=tuple(framed))


def _framed(
    spec: FramedFields, clip: Clip, frames: Callable[[Clip], Plan], place: int
) -> StepRun:
    """Run one alternative, of the clip without its bars; describe what is shown."""
    if spec.trim:
        inside = yield from bars.picture_inside(clip)
        video = clip.video
        clip = cut(clip, _upright(inside, video.rotation, mirrored=video.mirrored))
    made = yield from frames(clip).alternatives[place].run()
    return [
        replace(one, details={**one.details, "crop": _shown(spec, clip, one)})
        for one in made
    ]


def _inside(clip: Clip, crop: list[CropSide]) -> Shares:
    """Return a crop as shares of the picture, without what lies beyond its edges."""
    size = (clip.video.width, clip.video.height)
    left, top, width, height = (
        float(side[:-1]) / 100 if isinstance(side, str) else side / size[place % 2]
        for place, side in enumerate(crop)
    )
    if left >= 1 or top >= 1:
        raise CropOutside(
            f"the crop {crop} begins outside of the picture, which has {size[0]} x "
            f"{size[1]} pixels",
            pointer="/crop",
            hint='give pixels of the upright picture, or shares such as "25%"',
        )
    return left, top, min(width, 1 - left), min(height, 1 - top)


def cut(clip: Clip, shares: Shares) -> Clip:
    """Return the clip as if only that part of it had been filmed.

    ``shares`` are left, top, width and height. The part has even pixels as they are
    coded, because chroma planes have half of them, and at least two a side.
    """
    if shares == bars.WHOLE:
        return clip
    video = clip.video
    full = (video.coded_width, video.coded_height)
    left, top, width, height = _coded(shares, video.rotation, mirrored=video.mirrored)
    x, across = _even(left, width, full[0])
    y, down = _even(top, height, full[1])
    region = Region(x, y, across, down, full, (video.width, video.height))
    part = (across / full[0], down / full[1])
    if video.rotation % 180:
        part = (part[1], part[0])
    size = {
        "width": max(1, round(video.width * part[0])),
        "height": max(1, round(video.height * part[1])),
    }
    media = clip.media.model_copy(update={"video": video.model_copy(update=size)})
    return replace(clip, media=media, region=region)


def _even(start: float, length: float, full: int) -> tuple[int, int]:
    """Return where a part of a side begins, and how long it is, in even pixels."""
    most = full // 2 * 2
    first = min(round(start * full / 2) * 2, max(0, most - 2))
    last = round((start + length) * full / 2) * 2
    return first, max(2, min(last, most) - first) if most else full


def _shown(spec: FramedFields, clip: Clip, made: Made) -> dict[str, int]:
    """Return the part of the upright source that a file shows, in its pixels."""
    video, region = clip.video, clip.region
    left, top, source = 0.0, 0.0, (video.width, video.height)
    if region is not None:
        source, (across, down) = region.upright, region.full
        part = (region.x / across, region.y / down)
        size = (region.width / across, region.height / down)
        shares = _upright((*part, *size), video.rotation, mirrored=video.mirrored)
        left, top = shares[0] * source[0], shares[1] * source[1]
    width, height = float(video.width), float(video.height)
    if spec.fit == "cover" and made.width and made.height:
        shape = made.width / made.height
        whole, (width, height) = (
            (width, height),
            (min(width, height * shape), min(height, width / shape)),
        )
        x, y = made.focus or clip.focus
        left += min(max(0.0, x * whole[0] - width / 2), whole[0] - width)
        top += min(max(0.0, y * whole[1] - height / 2), whole[1] - height)
    sides = {"x": left, "y": top, "width": width, "height": height}
    return {name: round(value) for name, value in sides.items()}


def _coded(shares: Shares, rotation: int, *, mirrored: bool) -> Shares:
    """Return where a part of the upright picture lies in the frame as it is coded."""
    x, y, width, height = _turned(shares, -rotation % 360)
    return (1 - x - width if mirrored else x), y, width, height


def _upright(shares: Shares, rotation: int, *, mirrored: bool) -> Shares:
    """Return where a part of the frame as it is coded lies in the upright picture."""
    x, y, width, height = shares
    return _turned(((1 - x - width if mirrored else x), y, width, height), rotation)


def _turned(shares: Shares, degrees: int) -> Shares:
    """Return where a part of a picture lies once that is turned clockwise."""
    x, y, width, height = shares
    if degrees == 90:
        return 1 - y - height, x, height, width
    if degrees == 180:
        return 1 - x - width, 1 - y - height, width, height
    return (y, 1 - x - width, height, width) if degrees == 270 else shares
