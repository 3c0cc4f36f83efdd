"""Policy ``auto``: find the best frame with a bounded number of decodes.

The clip is looked at in small (:mod:`worker.media.recipes.look`), at most about as
long as two stills take. Where that finds too little (one keyframe in all, only poor
frames, a length that lies) there are up to two more bounded rounds.

The frame that :func:`pick` names is to be decoded again, at full size.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from common.errors import DecodeError
from worker.media.recipes import look
from worker.media.recipes.plan import Done, Step
from worker.media.recipes.sample import Sample
from worker.media.recipes.score import Judgement, is_poor, judge
from worker.media.recipes.source import Clip

_RUNNERS_UP = 3
_FEW_WINDOWS = 2
_FEW_SAMPLES = 2
_FEW_OF_SHORT = 6
_DOUBTFUL_OF_SHORT = 0.65
_DOUBTFUL = 0.25


@dataclass(frozen=True)
class Pick:
    """The chosen frame: its ``time`` in seconds on the clip's clock.

    ``score`` is between 0 and 1, None when there was no choice; ``factors`` are
    what it is the product of, ``runners_up`` the next best (time, score) elsewhere,
    ``sought`` the seek that is known to lead to it.
    """

    time: float
    score: float | None = None
    runners_up: tuple[tuple[float, float], ...] = ()
    factors: dict[str, float] = field(default_factory=dict)
    considered: int = 1
    sought: float | None = None

    @property
    def details(self) -> dict[str, Any]:
        """Give what the output's document shows."""
        if self.score is None:
            return {}
        return {
            "score": round(self.score, 3),
            "factors": {name: round(part, 3) for name, part in self.factors.items()},
            "considered": self.considered,
            "runners_up": [
                {"time": round(time, 3), "score": round(score, 3)}
                for time, score in self.runners_up
            ],
        }


def pick(clip: Clip) -> Generator[Step, Done, Pick]:
    """Choose the frame that shows best what the clip is.

    Yields at most three steps. Raises DecodeError when no frame came of them.
    """
    if clip.video.frames == 1:
        return Pick(clip.begin)
    # Frame threads would decode further ahead than is wanted.
    clip = replace(clip, threads=1)
    first = look.look(clip)
    samples = first.samples((yield first.step), 0)
    judged = judge(samples, clip.end)
    for more in _second_looks(clip, samples, judged):
        seen = more.samples((yield more.step), len(samples))
        samples = _distinct([*samples, *seen])
        judged = judge(samples, clip.end)
        if judged and not is_poor(judged[0].score):
            break
    if not judged:
        raise DecodeError("no frame of the video could be decoded")
    return _choose(judged, clip, len(samples))


def _choose(judged: list[Judgement], clip: Clip, considered: int) -> Pick:
    best = judged[0]
    apart = max(0.5, ((clip.end or 0.0) - clip.begin) / 20)
    others: list[Judgement] = []
    for one in judged[1:]:
        near = (abs(one.sample.time - o.sample.time) < apart for o in [best, *others])
        if not any(near):
            others.append(one)
    runners_up = tuple((one.sample.time, one.score) for one in others[:_RUNNERS_UP])
    sample = best.sample
    return Pick(
        sample.time, best.score, runners_up, best.factors, considered, sample.sought
    )


def _second_looks(
    clip: Clip, samples: list[Sample], judged: list[Judgement]
) -> Iterator[look.Look]:
    """Give what may still help, cheapest first."""
    windows = {one.window for one in _distinct(samples)}
    best = judged[0].score if judged else 0.0
    if len(samples) < _FEW_SAMPLES:
        # Short, damaged, or of a kind that takes no shortcut.
        yield look.read(clip, whole=True)
    elif look.is_short(clip):
        # What noise hid costs more than a still, but is seen.
        if is_poor(best) or len(samples) < _FEW_OF_SHORT:
            yield look.read(clip)
        elif best < _DOUBTFUL_OF_SHORT and (more := look.scan_between(clip)):
            yield more
    elif len(windows) < _FEW_WINDOWS:
        yield look.read(clip)
    elif best < _DOUBTFUL:
        yield look.visit(clip, 0.0, times=2)
        yield look.visit(clip, 0.25, times=3)


def _distinct(samples: list[Sample]) -> list[Sample]:
    """Leave out windows that a seek to the same keyframe has shown before."""
    seen: set[int] = set()
    kept = []
    for sample in samples:
        moment = round(sample.time * 1000)
        if moment not in seen:
            seen.add(moment)
            kept.append(sample)
    return kept
