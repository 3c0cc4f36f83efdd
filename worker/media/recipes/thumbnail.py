"""The recipe of stills: one, or several by ``count`` or ``times``."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from common.errors import DecodeError, SeekPastEnd
from common.specs import ThumbnailSpec
from worker.media.recipes import encode, moment, picture
from worker.media.recipes import warnings as codes
from worker.media.recipes.moment import Shot
from worker.media.recipes.plan import Done, Made, Plan, Rung, RungRun, Step
from worker.media.recipes.source import Clip

_DEFAULT_WIDTH = 640
_DEFAULT_TIME = "50%"
_EARLIER = (0.5, 0.25, 0.1)
_DECODE_ALL_SECONDS = 1200.0
_EARLY_SECONDS = 20.0


@dataclass(frozen=True)
class _Print:
    """How every picture of one spec is drawn and written."""

    clip: Clip
    spec: ThumbnailSpec
    plain: bool = False

    @property
    def box(self) -> picture.Box:
        video = self.clip.video
        even = picture.is_even(self.spec.format)
        return picture.fit(
            (video.width, video.height), self.spec, _DEFAULT_WIDTH, even=even
        )

    @property
    def options(self) -> dict[str, Any]:
        return encode.still(self.spec.format, self.spec.quality, self.clip.threads)

    def draw(self, stream: Any) -> Any:
        return picture.draw(
            stream,
            self.clip,
            self.box,
            self.spec.format,
            background=self.spec.background,
            plain=self.plain,
        )

    def made(self, file: str, time: float | None, **details: Any) -> Made:
        return Made(
            file,
            file,
            encode.CONTENT_TYPES[self.spec.format],
            self.box.width,
            self.box.height,
            time=time,
            details=details,
        )


def plan(
    spec: ThumbnailSpec, clip: Clip, part: Any = None, parts: Sequence[Any] = ()
) -> Plan:
    """Give the rungs for a thumbnail spec; parts are not used.

    Raises NoVideoStream when there is nothing to show, SeekPastEnd when policy
    ``exact`` asks for a time after the known end.
    """
    times = _times(spec, clip)
    policy = spec.policy or ("auto" if times is None else "exact")
    warnings = [codes.TONE_MAPPED] if clip.video.hdr else []
    if times is None:
        times = [clip.within(clip.at(_DEFAULT_TIME))]
        policy = "nearby" if policy in ("auto", "exact") else policy
    if policy == "exact":
        times = [_checked(clip, time) for time in times]
    return Plan(tuple(_rungs(spec, clip, times, policy)), tuple(warnings))


def _times(spec: ThumbnailSpec, clip: Clip) -> list[float] | None:
    """Give the asked times in seconds, None when the spec leaves them to us."""
    if spec.time is not None:
        return [_at(clip, spec.time)]
    if spec.times is not None:
        return [_at(clip, time) for time in spec.times]
    if spec.count is not None:
        shares = [(place + 0.5) / spec.count for place in range(spec.count)]
        return [_at(clip, f"{share * 100:.6f}%") for share in shares]
    return None


def _at(clip: Clip, value: float | str) -> float:
    """Resolve a time; a share never lies past the end."""
    seconds = clip.at(value)
    is_share = isinstance(value, str) and value.endswith("%")
    return clip.within(seconds) if is_share else seconds


def _checked(clip: Clip, time: float) -> float:
    if clip.is_past_end(time):
        raise SeekPastEnd(
            f"the time {time:g} s lies after the end of the video ({clip.end:.3f} s)",
            pointer="/time",
            hint='give an earlier time, a share like "50%", or another policy',
        )
    return clip.within(time) if clip.end is not None and time >= clip.end else time


def _rungs(
    spec: ThumbnailSpec, clip: Clip, times: list[float], policy: str
) -> list[Rung]:
    best = _Print(clip, spec)
    plain = _Print(clip, spec, plain=True)
    clipped = (codes.HDR_CLIPPED if clip.video.hdr else codes.COLOUR_GUESSED,)
    past = (codes.TIME_PAST_END,) if any(map(clip.is_past_end, times)) else ()
    rungs = []
    if policy == "keyframe" and clip.seekable:
        rungs.append(Rung("keyframe", partial(_each, best, times, _keyframe)))
    if not past:
        rungs.append(Rung("exact", partial(_each, best, times, _exact)))
        rungs.append(Rung("exact_plain", partial(_each, plain, times, _exact), clipped))
        rungs.append(Rung("exact_early", partial(_each, best, times, _early)))
    if policy == "exact":
        sequential = partial(_each, best, times, _sequential)
        return [*rungs, Rung("exact_sequential", sequential)]
    moved = past or (codes.OTHER_TIME,)
    rungs.append(Rung("nearby", partial(_each, best, times, _nearby), moved))
    rungs.append(
        Rung("nearby_plain", partial(_each, plain, times, _nearby), moved + clipped)
    )
    return rungs


Shoot = Callable[[_Print, float, str], Generator[Step, Done, float | None]]


def _each(print_: _Print, times: list[float], shoot: Shoot) -> RungRun:
    """Make one file per time; a single one has no number in its name."""
    end = encode.extension(print_.spec.format)
    made = []
    for place, time in enumerate(times, 1):
        stem = "thumbnail" if len(times) == 1 else f"thumbnail-{place:03d}"
        file = f"{stem}.{end}"
        real = yield from shoot(print_, time, file)
        made.append(print_.made(file, real))
    return made


def _take(shot: Shot, file: str) -> Generator[Step, Done, float | None]:
    """Run a shot; raises DecodeError when it wrote nothing."""
    done = yield shot.step
    if file not in done.files:
        raise DecodeError("no frame could be decoded there")
    return shot.time(done)


def _exact(
    print_: _Print, time: float, file: str
) -> Generator[Step, Done, float | None]:
    shot = moment.exact(print_.clip, time, print_.draw, file, print_.options)
    return (yield from _take(shot, file))


def _early(
    print_: _Print, time: float, file: str
) -> Generator[Step, Done, float | None]:
    clip, draw, options = print_.clip, print_.draw, print_.options
    shot = moment.exact(clip, time, draw, file, options, early=_EARLY_SECONDS)
    return (yield from _take(shot, file))


def _sequential(
    print_: _Print, time: float, file: str
) -> Generator[Step, Done, float | None]:
    clip, draw, options = print_.clip, print_.draw, print_.options
    shot = moment.exact(clip, time, draw, file, options, early=math.inf)
    done = yield shot.step
    if file not in done.files:
        raise SeekPastEnd(
            f"the video has no frame at {time:g} s",
            pointer="/time",
            hint="give an earlier time or another policy",
        )
    return shot.time(done)


def _keyframe(
    print_: _Print, time: float, file: str
) -> Generator[Step, Done, float | None]:
    clip = print_.clip
    at = clip.within(time)
    shot = moment.keyframe(clip, at, print_.draw, file, print_.options)
    return (yield from _take(shot, file))


def _nearby(
    print_: _Print, time: float, file: str
) -> Generator[Step, Done, float | None]:
    """Take the last frame for a time past the end; else earlier ones, then any."""
    clip, draw, options = print_.clip, print_.draw, print_.options
    shots = []
    if clip.is_past_end(time):
        shots.append(moment.last(clip, draw, file, options))
        if (clip.end or 0) < _DECODE_ALL_SECONDS:
            shots.append(moment.last(clip, draw, file, options, seek=False))
    shots += [
        moment.exact(clip, time * share, draw, file, options, tolerant=True)
        for share in _EARLIER
    ]
    shots.append(moment.first(clip, draw, file, options, tolerant=True))
    for shot in shots:
        done = yield shot.step
        if file in done.files:
            return shot.time(done)
    raise DecodeError("no frame of the video could be decoded")
