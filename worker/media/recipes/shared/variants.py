"""Write one picture in several sizes and formats: the files of one decode.

A spec names them by ``widths`` and ``formats``. Without these there is one file, named
as ever. Stills are drawn for each size from the decoded frame (:func:`boxes`), so each
equals the still that is asked for alone. A drawn sheet is scaled (:func:`copies`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import ffmpeg

from common.errors import ResourceLimit
from common.outputs.specs import StillFormat
from worker.media import warning_codes
from worker.media.recipes.shared import encoders, picture

# The encoders of a run work at the same time, and each keeps its own picture.
MOST_PIXELS = 60_000_000


class SeveralFields(Protocol):
    """The fields of a spec that say which files its picture is written to."""

    @property
    def format(self) -> StillFormat:
        """Return the first format."""

    @property
    def formats(self) -> list[StillFormat] | None:
        """Return all formats, None for that one."""

    @property
    def widths(self) -> list[int] | None:
        """Return the widths in pixels, None for one size."""


class StillFields(SeveralFields, picture.SizeFields, Protocol):
    """The fields of a spec that say how large its stills are."""


@dataclass(frozen=True)
class Variant:
    """One file of a picture; ``width`` is in its name, None if there is one size."""

    format: StillFormat
    width: int | None = None

    def file(self, stem: str) -> str:
        """Return the name of the file."""
        size = "" if self.width is None else f"-{self.width}w"
        return f"{stem}{size}.{encoders.extension(self.format)}"


def boxes(spec: StillFields, source: tuple[int, int]) -> dict[Variant, picture.Box]:
    """Return the sizes of each file of a still, largest first in each format.

    ``source`` is the display size of the source. Widths that it cannot fill become one
    file.
    """
    found: dict[Variant, picture.Box] = {}
    for kind in _formats(spec):
        for sized in _sizes(spec):
            even = picture.is_even(kind)
            box = picture.fit(source, sized, encoders.STILL_WIDTH, even=even)
            found.setdefault(Variant(kind, box.width if spec.widths else None), box)
    return found


def scaled(spec: SeveralFields) -> tuple[Variant, ...]:
    """Return the files of a picture that is drawn once, in the largest width."""
    widths = sorted(spec.widths or [], reverse=True)
    names: list[int | None] = [width // 2 * 2 for width in widths]
    return tuple(
        Variant(kind, width) for kind in _formats(spec) for width in names or [None]
    )


def largest(spec: StillFields) -> picture.SizeFields:
    """Return the largest of the sizes that a spec asks for."""
    return _sizes(spec)[0]


def check(drawn: Mapping[Variant, picture.Box]) -> None:
    """Raise ResourceLimit if several files have too many pixels for one run."""
    pixels = sum(box.width * box.height for box in drawn.values())
    if len(drawn) > 1 and pixels > MOST_PIXELS:
        raise ResourceLimit(
            f"widths and formats ask for {pixels / 1e6:.0f} megapixels in all; the "
            f"limit is {MOST_PIXELS / 1e6:.0f}",
            pointer="/widths",
            hint="ask for smaller widths, or divide them among several outputs",
        )


def warnings(
    spec: StillFields, drawn: Mapping[Variant, picture.Box]
) -> tuple[str, ...]:
    """Return the warning that the source is smaller than some of the widths."""
    wanted = len(spec.widths or [None]) * len(_formats(spec))
    return (warning_codes.FEWER_WIDTHS,) if len(drawn) < wanted else ()


def copies(
    frames: Any, wanted: Sequence[Variant], stem: str, quality: int, **limits: int
) -> list[Any]:
    """Return the outputs that write a drawn picture to its files.

    ``limits`` are the ``threads`` and ``pixels`` of :func:`encoders.still`. Of several
    files, none is wider than the picture, and all have even sides.
    """
    several = len(wanted) > 1
    streams = frames.filter_multi_output("split", len(wanted)) if several else [frames]
    outputs = []
    for place, variant in enumerate(wanted):
        kind, size = variant.format, tuple[Any, ...]()
        if several:
            widest = "iw" if variant.width is None else f"min(iw,{variant.width})"
            size = (f"2*max(1,trunc({widest}/2))", -2)
        copy = encoders.tagged(picture.formatted(streams[place], kind, *size), kind)
        options = encoders.still(kind, quality, **limits)
        outputs.append(ffmpeg.output(copy, variant.file(stem), **options))
    return outputs


def _formats(spec: SeveralFields) -> list[StillFormat]:
    return spec.formats or [spec.format]


def _sizes(spec: StillFields) -> list[picture.SizeFields]:
    """Return the sizes of one format, largest first."""
    if spec.widths is None:
        return [spec]
    across, down = spec.width, spec.height
    return [
        picture.MaxSize(
            width,
            max(1, round(down * width / across)) if across and down else None,
            spec.fit,
            spec.enlarge,
        )
        for width in sorted(spec.widths, reverse=True)
    ]
