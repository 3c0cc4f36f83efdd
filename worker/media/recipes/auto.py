"""Policy ``auto``: find the best frame with a bounded number of decodes.

A short clip is decoded once from end to end, without the frames that no other
needs. A longer one is opened at several times in *one* process, and each time only
the keyframe there and a few frames after it are decoded: the cost does not grow
with the length. Where that finds too little (one keyframe in all, only poor
frames, a length that lies) there is one more bounded round.

The frame that :func:`pick` names is to be decoded again, at full size.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import ffmpeg

from common.errors import DecodeError
from worker.media.recipes.plan import Done, Step
from worker.media.recipes.sample import CELLS, POINTS, SAMPLE_BYTES, Sample
from worker.media.recipes.score import Judgement, is_poor, judge
from worker.media.recipes.source import Clip, argv, number, open_clip

# Work is counted in frames of a million pixels; one costs about 1 ms of CPU.
_SHORT_WORK = 160.0
_MOST_WORK = 600.0
_SAMPLES = 30
_SHORTEST_STEP = 0.08
_UNKNOWN_STEP = 0.25
_WINDOWS = 7
_WINDOW_WORK = 10.0
_WINDOW_FRAMES = 5
_WINDOW_EVERY = 2
_RUNNERS_UP = 3
# Streams whose headers tell all that a decoder needs: reading ahead is left out.
_SELF_DESCRIBING = ("mov", "mp4", "matroska", "webm")
_UNSEEKABLE = ("gif", "apng", "h264", "hevc", "vvc", "m4v", "h263", "obu", "vc1")
_MARK = re.compile(r"pts_time:(-?[\d.]+(?:e[-+]?\d+)?)|\bwindow=(\d+)")


@dataclass(frozen=True)
class Pick:
    """The chosen frame: its ``time`` in seconds on the clip's clock.

    ``score`` is between 0 and 1, None when there was no choice; ``factors`` are
    what it is the product of, ``runners_up`` the next best (time, score) elsewhere.
    """

    time: float
    score: float | None = None
    runners_up: tuple[tuple[float, float], ...] = ()
    factors: dict[str, float] = field(default_factory=dict)
    considered: int = 1

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


@dataclass(frozen=True)
class _Look:
    """A step, and where the clock of each of its windows has its 0."""

    step: Step
    starts: tuple[float, ...]

    def samples(self, done: Done, first: int) -> list[Sample]:
        """Cut standard output into samples; windows are numbered from ``first``."""
        marks = _read_marks(done.log)
        data = done.stdout
        at = 0
        found = []
        for window, start in enumerate(self.starts):
            for mark in marks[window]:
                piece = data[at : at + SAMPLE_BYTES]
                at += SAMPLE_BYTES
                if len(piece) == SAMPLE_BYTES:
                    found.append(Sample(start + mark, piece, first + window))
        return found


def _read_marks(log: str) -> dict[int, list[float]]:
    marks: dict[int, list[float]] = defaultdict(list)
    time = 0.0
    for match in _MARK.finditer(log):
        if match[1] is not None:
            time = float(match[1])
        else:
            marks[int(match[2])].append(time)
    return marks


def pick(clip: Clip) -> Generator[Step, Done, Pick]:
    """Choose the frame that shows best what the clip is.

    Yields at most three steps. Raises DecodeError when no frame came of them.
    """
    if clip.video.frames == 1:
        return Pick(clip.begin)
    # Frame threads would decode further ahead than is wanted.
    clip = replace(clip, threads=1)
    short = _is_short(clip)
    look = _scan(clip, _SHORT_WORK) if short else _visit(clip, _shares(clip, 0.5))
    samples = look.samples((yield look.step), 0)
    judged = judge(samples, clip.end)
    for look in _second_looks(clip, samples, judged, short=short):
        more = look.samples((yield look.step), 100)
        samples = _distinct([*samples, *more])
        judged = judge(samples, clip.end)
        if judged:
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
    return Pick(best.sample.time, best.score, runners_up, best.factors, considered)


def _second_looks(
    clip: Clip, samples: list[Sample], judged: list[Judgement], *, short: bool
) -> Iterable[_Look]:
    """Give what may still help, cheapest first."""
    if not samples:
        return [_scan(clip, _MOST_WORK, whole=True)]
    if short:
        return []
    windows = {one.window for one in _distinct(samples)}
    poor = not judged or is_poor(judged[0].score)
    if len(windows) <= (_window_count(clip) // 2 if poor else 2):
        return [_scan(clip, _MOST_WORK)]
    if poor:
        return [_visit(clip, _shares(clip, 0.0))]
    return []


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


def _megapixels(clip: Clip) -> float:
    video = clip.video
    return max(0.01, video.coded_width * video.coded_height / 1e6)


def _extent(clip: Clip) -> float | None:
    """Give how long the video lasts, in seconds, None when unknown."""
    if clip.end is None or clip.end <= clip.begin:
        return None
    return clip.end - clip.begin


def _is_short(clip: Clip) -> bool:
    extent = _extent(clip)
    container = clip.media.container
    if extent is None or container.split(",")[0] in _UNSEEKABLE:
        return True
    frames = extent / clip.frame_seconds
    if clip.video.frames:
        frames = min(frames, clip.video.frames)
    return frames * _megapixels(clip) <= _SHORT_WORK


def _window_count(clip: Clip) -> int:
    """Give how many decoders may be open: fewer for large frames (their memory)."""
    return max(2, min(_WINDOWS, round(_WINDOW_WORK / _megapixels(clip))))


def _shares(clip: Clip, phase: float) -> list[float]:
    count = _window_count(clip)
    return [(place + phase) / count for place in range(count)]


def _cheap(clip: Clip) -> dict[str, Any]:
    """Give decoder options for pictures that are looked at in small only."""
    words: dict[str, Any] = {"skip_frame": "noref", "skip_loop_filter": "all"}
    if clip.media.container.split(",")[0] in _SELF_DESCRIBING:
        words["nofind_stream_info"] = None
    return words


def _scan(clip: Clip, work: float, *, whole: bool = False) -> _Look:
    """Look at frames from the start on, as far as ``work`` goes.

    ``whole`` leaves out every shortcut, for streams that cannot take them.
    """
    extent = _extent(clip)
    reach = max(1.0, work / _megapixels(clip) * clip.frame_seconds)
    length = min(reach, extent) if extent else reach
    step = max(_SHORTEST_STEP, length / _SAMPLES) if extent else _UNKNOWN_STEP
    frames = open_clip(
        clip,
        length=clip.begin + length + 1.0,
        **({} if whole else _cheap(clip)),
    )
    later = f"isnan(prev_selected_t)+gte(t-prev_selected_t,{number(step)})"
    frames = frames.filter("select", later).filter("trim", end_frame=2 * _SAMPLES)
    return _look([_sample(frames, 0)], (0.0,), length, 2 * _SAMPLES)


def _visit(clip: Clip, shares: list[float]) -> _Look:
    """Look at the keyframes before those shares of the clip, and just after them."""
    extent = _extent(clip) or 0.0
    starts = tuple(clip.begin + share * extent for share in shares)
    parts = []
    for window, start in enumerate(starts):
        frames = open_clip(clip, start=start, noaccurate_seek=None, **_cheap(clip))
        frames = frames.filter("trim", end_frame=_WINDOW_FRAMES)
        frames = frames.filter("select", f"not(mod(n,{_WINDOW_EVERY}))")
        parts.append(_sample(frames, window))
    most = len(starts) * _WINDOW_FRAMES
    return _look(parts, tuple(clip.clock(at) for at in starts), 2.0 * len(starts), most)


def _sample(frames: Any, window: int) -> Any:
    """Append the marks and the two views of :mod:`worker.media.recipes.sample`."""
    frames = frames.filter("metadata", "add", key="window", value=str(window))
    frames = frames.filter("metadata", "print", file="pipe:2", direct=1)
    # Times may run backwards before the seek point; the sink wants them in order.
    both = frames.filter("setpts", "N/25/TB").filter_multi_output("split")
    points = both[0].filter("scale", *POINTS, flags="neighbor", out_range="full")
    cells = both[1].filter("scale", *CELLS, flags="area", out_range="full")
    cells = cells.filter("format", "yuv444p").filter("pad", POINTS[0], CELLS[1])
    stack = [points.filter("format", "yuv444p").filter("setsar", 1)]
    stack.append(cells.filter("setsar", 1))
    return ffmpeg.filter(stack, "vstack")


def _look(
    parts: list[Any], starts: tuple[float, ...], seconds: float, most: int
) -> _Look:
    frames = parts[0] if len(parts) == 1 else ffmpeg.concat(*parts, n=len(parts))
    out = ffmpeg.output(
        frames, "pipe:1", f="rawvideo", pix_fmt="yuv444p", fps_mode="passthrough"
    )
    out = out.global_args("-filter_complex_threads", "1")
    step = Step(argv(out), seconds, capture=most * SAMPLE_BYTES, tolerant=True)
    return _Look(step, starts)
