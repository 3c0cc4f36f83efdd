"""Find the frame that represents a video best: policy ``auto``.

Decoding a whole film to choose one frame would take minutes. So the search has a
budget: it may cost about as much as two plain stills, and the third still is the one
that is delivered. The cost does not grow with the length of the film.

1. Sample. One FFmpeg run decodes a few frames from many places of the clip, and keeps a
   tiny copy of each (:mod:`worker.media.recipes.best_frame.sampling`). A clip of up to
   1500 frames is read in one pass. A longer film is opened at three to five times.

2. Score. Each sample gets a score between 0 and 1, the product of factors such as
   exposure, focus and calmness (:mod:`worker.media.recipes.best_frame.score`). A
   product, because one fatal fault must not be outweighed by other strengths.

3. Sample again, only if needed. If the best score is low, or next to nothing was
   decoded, up to two more runs look at other places (:func:`_second_runs`).

:func:`pick` returns the time of the best frame. The caller decodes that frame again at
full size. :func:`around` does the same for the surroundings of one time.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from common.errors import DecodeError
from worker.media.ffmpeg.clip import Clip
from worker.media.ffmpeg.plan import Done, Step
from worker.media.recipes.best_frame import sampling
from worker.media.recipes.best_frame.grey_planes import moments
from worker.media.recipes.best_frame.sample import Sample, difference
from worker.media.recipes.best_frame.score import ScoredSample, rank

_RUNNERS_UP = 3
_FEW_WINDOWS = 2
_FEW_SAMPLES = 2
_FEW_OF_SHORT = 6
# Scores below which another run is worth its cost.
_ALWAYS = 2.0
_DOUBTFUL_OF_SHORT = 0.5
_DOUBTFUL = 0.25
_POOR = 0.15
# Around a time: the penalty of the farthest frame, the difference up to which two
# frames look alike, and the factor of a frame that looks like another.
_FAR = 0.3
_ALIKE = 0.02
_AGAIN = 0.2


@dataclass(frozen=True)
class Pick:
    """The chosen frame: its ``time`` in seconds on the clip's clock.

    ``score`` is between 0 and 1, None if there was no choice; ``factors`` are what it
    is the product of. ``runners_up`` are the next best (time, score) elsewhere,
    ``sought`` the seek that is known to lead to the frame, ``contrast`` the standard
    deviation of its luma (0 to 128).
    """

    time: float
    score: float | None = None
    runners_up: tuple[tuple[float, float], ...] = ()
    factors: dict[str, float] = field(default_factory=dict)
    considered: int = 1
    sought: float | None = None
    contrast: float = 0.0

    @property
    def details(self) -> dict[str, Any]:
        """Return what the output's document shows."""
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
    """Return the frame that represents the clip best.

    Yields at most three steps. Raises DecodeError if no frame could be decoded.
    """
    if clip.video.frames == 1:
        return Pick(clip.begin)
    samples, scored = yield from survey(clip)
    if not scored:
        raise DecodeError("no frame of the video could be decoded")
    return _choose(scored, clip, len(samples))


def survey(
    clip: Clip,
) -> Generator[Step, Done, tuple[list[Sample], list[ScoredSample]]]:
    """Sample the clip; return all samples, and the best of them, best first.

    Yields at most three steps.
    """
    # Frame threads would decode more frames than needed.
    clip = replace(clip, threads=1)
    first = sampling.first_run(clip)
    samples = first.samples((yield first.step), 0)
    scored = rank(samples, clip.end)
    for enough, more in _second_runs(clip, samples):
        if scored and scored[0].score >= enough:
            break
        if (another := more()) is None:
            continue
        seen = another.samples((yield another.step), len(samples))
        samples = _distinct([*samples, *seen])
        scored = rank(samples, clip.end)
    return samples, scored


def around(
    clip: Clip, at: float, within: tuple[float, float], unlike: Sequence[Sample] = ()
) -> Generator[Step, Done, tuple[Pick, Sample]]:
    """Return the best frame near ``at``, and its sample.

    Frames close to ``at`` are preferred, and those that look like one of ``unlike``
    score lower. ``within`` is the span to search, in seconds of the clip. Yields at
    most two steps. Raises DecodeError if no frame of the span could be decoded.
    """
    clip = replace(clip, threads=1)
    since, until = within
    samples: list[Sample] = []
    scored: list[ScoredSample] = []
    # If the heads of groups show nothing good, read what is close to the time.
    for span in (within, _middle(clip, at, within)):
        seen = sampling.around(clip, *span)
        found = seen.samples((yield seen.step), len(samples))
        samples += (one for one in found if since <= one.time < until)
        scored = rank(samples, None, keep=len(samples))
        if not seen.seeks or (scored and scored[0].score >= _DOUBTFUL):
            break
    if not scored:
        raise DecodeError(f"no frame near {at:g} s could be decoded")
    reach = max(at - since, until - at, clip.frame_seconds)

    def worth(one: ScoredSample) -> float:
        far = abs(one.sample.time - at) / reach
        again = any(difference(one.sample, other) < _ALIKE for other in unlike)
        return one.score * (1 - _FAR * far) * (_AGAIN if again else 1.0)

    scored.sort(key=worth, reverse=True)
    return _choose(scored, clip, len(samples)), scored[0].sample


def _middle(clip: Clip, at: float, within: tuple[float, float]) -> tuple[float, float]:
    """Return a span around a time that is short enough to be read whole."""
    half = (clip.video.keyframe_interval or 2.0) / 2
    return max(within[0], at - half), min(within[1], at + half)


def _choose(scored: list[ScoredSample], clip: Clip, considered: int) -> Pick:
    best = scored[0]
    apart = max(0.5, ((clip.end or 0.0) - clip.begin) / 20)
    others: list[ScoredSample] = []
    for one in scored[1:]:
        near = (abs(one.sample.time - o.sample.time) < apart for o in [best, *others])
        if not any(near):
            others.append(one)
    runners_up = tuple((one.sample.time, one.score) for one in others[:_RUNNERS_UP])
    sample = best.sample
    return Pick(
        sample.time,
        best.score,
        runners_up,
        best.factors,
        considered,
        sample.sought,
        moments(sample.light)[1],
    )


def _second_runs(
    clip: Clip, samples: list[Sample]
) -> Iterator[tuple[float, Callable[[], sampling.SamplingRun | None]]]:
    """Yield a score and the run to try if the best is below it, cheapest first."""
    windows = {one.window for one in _distinct(samples)}
    if len(samples) < _FEW_SAMPLES:
        # The clip is short, damaged, or of a codec without shortcuts.
        yield _ALWAYS, partial(sampling.read, clip, whole=True)
    elif sampling.is_short(clip):
        if len(samples) >= _FEW_OF_SHORT:
            yield _DOUBTFUL_OF_SHORT, partial(sampling.scan_between, clip)
            yield _POOR, partial(sampling.read, clip)
        else:
            yield _ALWAYS, partial(sampling.read, clip)
    elif len(windows) < _FEW_WINDOWS:
        yield _ALWAYS, partial(sampling.read, clip)
    else:
        yield _DOUBTFUL, partial(sampling.visit, clip, 0.0, times=2)
        yield _DOUBTFUL, partial(sampling.visit, clip, 0.25, times=3)


def _distinct(samples: list[Sample]) -> list[Sample]:
    """Return the samples without those that another seek has found before."""
    seen: set[int] = set()
    kept = []
    for sample in samples:
        milliseconds = round(sample.time * 1000)
        if milliseconds not in seen:
            seen.add(milliseconds)
            kept.append(sample)
    return kept
