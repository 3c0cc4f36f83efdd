"""Search for a better start of an animation whose usual span is poor.

The clip is sampled as for policy ``auto`` of stills, so the cost is bounded at any
length. A start is returned only if its samples lack the fault of the usual span, so no
other span is drawn in vain.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from worker.media.ffmpeg.clip import Clip
from worker.media.ffmpeg.plan import Done, Step
from worker.media.recipes.best_frame import auto, sampling
from worker.media.recipes.best_frame.content import (
    Content,
    is_black,
    is_broken,
    is_flat,
    moves,
)
from worker.media.recipes.best_frame.sample import Sample
from worker.media.recipes.best_frame.score import ScoredSample, rank

_MOST_STARTS = 2
_EMPTY = 1 / 3
# How much less of a span must be empty if the usual one is.
_CLEARLY = 0.05
# Factors for a span that starts empty, and for one in which nothing moves.
_EMPTY_FIRST = 0.7
_STILL = 0.4


@dataclass(frozen=True)
class _SeenSample:
    """A sample with its score."""

    sample: Sample
    scored: ScoredSample
    empty: bool


def find(
    clip: Clip, length: float, instead_of: Content
) -> Generator[Step, Done, list[float]]:
    """Return up to two starts of spans of ``length`` seconds, best first.

    In seconds on the clip's clock; none if nothing better was seen. Yields at most
    three steps.
    """
    short = sampling.is_short(clip)
    known = clip.end is None or clip.end - clip.begin > length + clip.frame_seconds
    if not known or not (short or clip.seekable):
        return []
    samples, _ = yield from auto.survey(clip)
    scored = rank(samples, clip.end, keep=len(samples))
    by_sample = {id(one.sample): one for one in scored}
    seen = [
        _SeenSample(one, by_sample[id(one)], is_black(one) or is_flat(one))
        for one in sorted(samples, key=lambda one: one.time)
        if id(one) in by_sample
    ]
    offers = {}
    for start in _starts(clip, seen, length, short=short):
        shown = _shown(seen, start, length)
        if shown and _is_better(shown, instead_of):
            offers[start] = _worth(shown, start, length)
    best = sorted(offers, key=lambda start: -offers[start])
    return _apart(best, length)


def _starts(
    clip: Clip, seen: Sequence[_SeenSample], length: float, *, short: bool
) -> set[float]:
    """Return starts that show a sample at once, or in the middle of the span."""
    end = clip.end
    if end is None:
        end = max((one.sample.time for one in seen), default=0.0)
    last = max(clip.begin, end - length)
    early = (0.0, length / 2) if short else (0.0,)
    starts = (one.sample.time - before for one in seen for before in early)
    return {max(clip.begin, min(start, last)) for start in (*starts, last)}


def _shown(
    seen: Sequence[_SeenSample], start: float, length: float
) -> list[_SeenSample]:
    """Return what is on screen at the start, and what follows in the span."""
    before = [one for one in seen if one.sample.time <= start]
    inside = [one for one in seen if start < one.sample.time < start + length]
    return [*before[-1:], *inside]


def _is_better(shown: Sequence[_SeenSample], instead_of: Content) -> bool:
    """Return True if the samples lack the fault of the usual span, or have less of it.

    If most of a film is black, a span that ends with a picture is better than none.
    """
    empty = sum(one.empty for one in shown) / len(shown)
    usual = instead_of.black + instead_of.flat
    if empty >= min(1.0, max(_EMPTY, usual - _CLEARLY)):
        return False
    if instead_of.frozen and not _moving(shown):
        return False
    return not (instead_of.broken and is_broken([one.sample for one in shown]))


def _moving(shown: Sequence[_SeenSample]) -> bool:
    return any(moves(one.sample, other.sample) for one, other in pairwise(shown))


def _worth(shown: Sequence[_SeenSample], start: float, length: float) -> float:
    """Return the mean of the scores, weighted by time on screen."""
    times = [start, *(one.sample.time for one in shown[1:]), start + length]
    worth = sum(
        one.scored.score * (until - since)
        for one, (since, until) in zip(shown, pairwise(times), strict=True)
    )
    worth *= _EMPTY_FIRST if shown[0].empty else 1.0
    return worth / length * (1.0 if _moving(shown) else _STILL)


def _apart(starts: Sequence[float], length: float) -> list[float]:
    """Return the first few that do not show much of the same."""
    taken: list[float] = []
    for start in starts:
        if all(abs(start - other) > length / 2 for other in taken):
            taken.append(start)
    return taken[:_MOST_STARTS]
