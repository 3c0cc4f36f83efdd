"""Judge what a span of a film shows: whether it is black, flat, frozen or broken.

A run that writes a moving output also passes on a few of its frames as samples
(:func:`view`). They cost almost nothing: no packet is read and no frame decoded for
them. The warnings follow from them, and whether ``start: "auto"`` tries another span.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import ffmpeg

from worker.media import warning_codes
from worker.media.ffmpeg.plan import Done
from worker.media.recipes.best_frame import grey_planes, sampling
from worker.media.recipes.best_frame.sample import SAMPLE_BYTES, Sample
from worker.media.recipes.best_frame.score import soundness
from worker.media.recipes.shared import moving

SAMPLES = 12
# FFmpeg's blackdetect: 98 of 100 pixels are at most a tenth of white.
_BLACK_LEVEL = 25
_BLACK_SHARE = 0.98
# Standard deviations, in levels of 255.
_EVEN = 2.5
_MOVED_LEVEL = 12
_MOVED_POINTS = 6
_MUCH = 1 / 3
_BROKEN = 0.3
_GROUND = "#808080"
_LEAST_WIDTH = 16


@dataclass(frozen=True)
class Content:
    """What the samples of a span show.

    ``black`` and ``flat`` are shares of the samples, 0 to 1. ``frozen`` means that
    nothing moves, though there is something to see. ``broken`` means that even the best
    sample is noise, a test card or lost blocks.
    """

    black: float = 0.0
    flat: float = 0.0
    frozen: bool = False
    broken: bool = False

    @property
    def empty(self) -> bool:
        """Return True if at least a third is black or one even colour."""
        return self.black + self.flat >= _MUCH

    @property
    def poor(self) -> bool:
        """Return True if another span of the film may be better worth seeing."""
        return self.empty or self.frozen or self.broken

    @property
    def badness(self) -> float:
        """Return how poor it is compared with other spans; 0 is best."""
        return self.black + self.flat + 0.3 * self.frozen + 0.2 * self.broken

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return the warning codes for the user."""
        found = {
            warning_codes.BLACK: self.black >= _MUCH,
            warning_codes.FLAT: self.flat >= _MUCH,
            warning_codes.FROZEN: self.frozen,
        }
        return tuple(code for code, is_so in found.items() if is_so)


def view(
    frames: Any, count: int, width: int, *, alpha: bool = False, most: int = SAMPLES
) -> tuple[Any, moving.SideOutput | None]:
    """Split about ``count`` drawn frames into the stream itself and a few samples.

    ``width`` is that of the frames in pixels, ``alpha`` says that they may be
    transparent, ``most`` is about how many samples are wanted. Pictures of a few pixels
    have no view.
    """
    if width < _LEAST_WIDTH:
        return frames, None
    both = frames.filter_multi_output("split")
    every = max(1, round(count / most))
    # The time base of a stream with few frames a second is too coarse for samples.
    few = both[1].filter("select", f"not(mod(n,{every}))").filter("settb", "AVTB")
    # Transparent pixels may be black, which nobody sees.
    samples = sampling.views(width, few, 0, _GROUND if alpha else None)
    output = ffmpeg.output(
        samples, "pipe:1", f="rawvideo", pix_fmt="gray", fps_mode="passthrough"
    )
    return both[0], moving.SideOutput(output, (-(-count // every) + 1) * SAMPLE_BYTES)


def samples(done: Done, width: int) -> list[Sample]:
    """Return the samples of a run with a view, at the times the file plays them."""
    times = sampling.read_marks(done.log)[0]
    offsets = range(0, len(done.stdout) - SAMPLE_BYTES + 1, SAMPLE_BYTES)
    return [
        Sample(time, done.stdout[at : at + SAMPLE_BYTES], width=width)
        for time, at in zip(times, offsets, strict=False)
    ]


def read(seen: Sequence[Sample]) -> Content:
    """Return the content of one span from its samples, in order of time."""
    if not seen:
        return Content()
    black = sum(map(is_black, seen)) / len(seen)
    flat = sum(map(is_flat, seen)) / len(seen)
    if black + flat >= _MUCH:
        return Content(black, flat)
    still = len(seen) > 1 and not any(moves(*pair) for pair in pairwise(seen))
    return Content(black, flat, still, is_broken(seen))


def emptiness(seen: Sequence[Sample]) -> list[str]:
    """Return the warnings of a span that is largely black or flat, if any."""
    return [code for code in read(seen).warnings if code != warning_codes.FROZEN]


def is_black(sample: Sample) -> bool:
    """Return True if all but a few pixels are black or nearly so."""
    counts = sample.points.histogram()
    return grey_planes.share_up_to(counts, _BLACK_LEVEL) >= _BLACK_SHARE


def is_flat(sample: Sample) -> bool:
    """Return True if it is one even colour, and not black."""
    _, u, v = sample.cells
    parts = (sample.points.tobytes(), u, v)
    even = all(grey_planes.moments(part)[1] < _EVEN for part in parts)
    return even and not is_black(sample)


def moves(one: Sample, other: Sample) -> bool:
    """Return True if more than an encoder's noise differs."""
    counts = grey_planes.difference_histogram(one.points, other.points)
    return sum(counts[_MOVED_LEVEL + 1 :]) >= _MOVED_POINTS


def is_broken(seen: Sequence[Sample]) -> bool:
    """Return True if even the best sample is noise, a test card or lost blocks."""
    return all(soundness(sample) < _BROKEN for sample in seen)
