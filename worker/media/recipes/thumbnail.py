"""Plan stills: one, or several by ``count`` or ``times``."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import ffmpeg

from common.errors import DecodeError, SeekPastEnd
from common.outputs.specs import ThumbnailSpec
from worker.media import warning_codes
from worker.media.ffmpeg.clip import CENTER, Clip, argv
from worker.media.ffmpeg.plan import Alternative, Done, Made, Plan, Step, StepRun
from worker.media.recipes.best_frame import auto, scenes, subject
from worker.media.recipes.best_frame.grey_planes import moments
from worker.media.recipes.best_frame.sample import Sample
from worker.media.recipes.shared import (
    cost,
    encoders,
    fallback,
    frame_at,
    framing,
    picture,
    placeholder,
    variants,
)
from worker.media.recipes.shared.variants import Variant

_DEFAULT_TIME = "50%"
_SCENE_TIME = "10%"
_EARLIER = (0.5, 0.25, 0.1)
_DECODE_ALL_SECONDS = 1200.0
_EARLY_SECONDS = 20.0
_LATE_SECONDS = 0.5
# How far policy auto searches from a time in the spec.
_NEAR_SECONDS = 10.0


@dataclass(frozen=True)
class _GrabbedFrame:
    """A frame that was written: its time, and the details for the document.

    ``focus`` is the point that its crop keeps.
    """

    time: float | None
    details: dict[str, Any] = field(default_factory=dict)
    focus: tuple[float, float] = CENTER


GrabRun = Generator[Step, Done, _GrabbedFrame]
Grabber = Callable[["_StillRenderer", float, str], GrabRun]


@dataclass(frozen=True)
class _StillRenderer:
    """How every picture of one spec is drawn and written."""

    clip: Clip
    spec: ThumbnailSpec
    plain: bool = False

    @cached_property
    def boxes(self) -> dict[Variant, picture.Box]:
        """Return the sizes of the picture's files; the first is the main one."""
        video = self.clip.video
        return variants.boxes(self.spec, (video.width, video.height))

    @cached_property
    def tiny(self) -> tuple[int, int]:
        """Return the size of the small copy that the placeholder is made from."""
        box = next(iter(self.boxes.values()))
        scale = min(1.0, placeholder.SMALL / max(box.width, box.height))
        return max(1, round(box.width * scale)), max(1, round(box.height * scale))

    def aimed(self, time: float) -> Generator[Step, Done, _StillRenderer]:
        """Return the renderer whose crop keeps what the spec says, at that time."""
        box = next(iter(self.boxes.values()))
        clip = yield from subject.aimed(self.clip, self.spec.gravity, box, [time])
        return self if clip is self.clip else replace(self, clip=clip)

    def wrote(self, stem: str, done: Done) -> bool:
        """Return True if a run left all files of the picture."""
        return all(variant.file(stem) in done.files for variant in self.boxes)

    def writer(self, stem: str) -> frame_at.FrameWriter:
        """Return what writes the picture's files, and its small copy to stdout."""
        pixels = [
            (variant.format, box.width * box.height)
            for variant, box in self.boxes.items()
        ]
        return frame_at.FrameWriter(
            partial(self._write, stem=stem),
            self._tiny_bytes,
            sum(cost.still(*one) for one in pixels),
            sum(cost.reserved(*one) for one in pixels),
        )

    @property
    def _tiny_bytes(self) -> int:
        return self.tiny[0] * self.tiny[1] * 4

    def _write(self, frames: Any, stem: str) -> tuple[str, ...]:
        several = len(self.boxes) > 1
        copies = frames.filter_multi_output("split", len(self.boxes))
        outputs: list[Any] = []
        for place, variant in enumerate(self.boxes):
            copy = copies[place] if several else frames
            outputs[place:place] = self._outputs(copy, variant, stem, first=not place)
        return argv(*outputs)

    def _outputs(
        self, frames: Any, variant: Variant, stem: str, *, first: bool
    ) -> list[Any]:
        """Return the output of a file; with the first, that of the small copy."""
        spec, kind = self.spec, variant.format
        drawn = picture.draw(
            frames,
            self.clip,
            self.boxes[variant],
            kind,
            background=spec.background,
            plain=self.plain,
        )
        smaller = []
        if first:
            both = drawn.filter_multi_output("split")
            tiny = picture.scale(both[1], *self.tiny, kernel="area")
            raw = {"f": "rawvideo", "frames:v": 1, "fps_mode": "passthrough"}
            small = ffmpeg.output(tiny.filter("format", "rgba"), "pipe:1", **raw)
            drawn, smaller = both[0], [small]
        has_alpha = picture.keeps_alpha(self.clip, kind, spec.background)
        streams = encoders.streams(drawn, kind, has_alpha=has_alpha)
        pixels = sum(
            box.width * box.height
            for other, box in self.boxes.items()
            if other.format == kind
        )
        options = encoders.still(kind, spec.quality, self.clip.threads, pixels)
        return [ffmpeg.output(*streams, variant.file(stem), **options), *smaller]

    def grabbed(self, grab: frame_at.FrameGrab, done: Done) -> _GrabbedFrame:
        """Return the time and the small copy that a grab left."""
        details: dict[str, Any] = {}
        if len(done.stdout) == self._tiny_bytes:
            kind = self.spec.placeholder
            details = dict(placeholder.describe(done.stdout, *self.tiny, kind))
        return _GrabbedFrame(grab.time(done), details, self.clip.focus)

    def contrast(self, done: Done) -> float:
        """Return the standard deviation of the small copy's green, 0 to 128."""
        return moments(done.stdout[1::4])[1]

    def made(self, stem: str, name: str, grabbed: _GrabbedFrame) -> list[Made]:
        """Return the files as they are published, under names with that stem."""
        return [
            Made(
                variant.file(stem),
                variant.file(name),
                encoders.CONTENT_TYPES[variant.format],
                box.width,
                box.height,
                time=grabbed.time,
                details=grabbed.details,
                focus=grabbed.focus,
            )
            for variant, box in self.boxes.items()
        ]


def plan(
    spec: ThumbnailSpec, clip: Clip, _part: Any = None, _parts: Sequence[Any] = ()
) -> Plan:
    """Return the alternatives for a thumbnail spec; parts are not used.

    Raises NoVideoStream if there is nothing to show. If policy ``exact`` asks for a
    time after the known end, the alternative that would show a frame raises
    SeekPastEnd.
    """
    canvas = fallback.still_canvas(spec)

    def show(drawn: Any) -> StepRun:
        return (
            yield from fallback.stills(
                drawn, "thumbnail", canvas, spec.quality, clip.threads
            )
        )

    frames = partial(framing.plan, spec, clip, partial(_of_frames, spec))
    return fallback.plan(spec.fallback, clip, frames, canvas, show)


def _of_frames(spec: ThumbnailSpec, clip: Clip) -> Plan:
    times = _times(spec, clip)
    policy: str = spec.policy or ("auto" if times is None else "exact")
    if times is None:
        requested = _SCENE_TIME if policy == "scene" else _DEFAULT_TIME
        times = [clip.within(clip.at(requested))]
    elif policy == "auto":
        policy = "near"
    boxes = _StillRenderer(clip, spec).boxes
    variants.check(boxes)
    notes = variants.warnings(spec, boxes)
    if policy == "exact":
        many = spec.times is not None
        checked = [
            _checked(clip, time, f"/times/{place}" if many else "/time")
            for place, time in enumerate(times)
        ]
        return Plan(tuple(_exact_alternatives(spec, clip, checked)), notes)
    return Plan(tuple(_lenient_alternatives(spec, clip, times, policy)), notes)


def _times(spec: ThumbnailSpec, clip: Clip) -> list[float] | None:
    """Return the requested times in seconds, None if the spec names none."""
    if spec.time is not None:
        return [_at(clip, spec.time)]
    if spec.times is not None:
        return [_at(clip, time) for time in spec.times]
    if spec.count is not None:
        shares = [(place + 0.5) / spec.count for place in range(spec.count)]
        return [_at(clip, f"{share * 100:.6f}%") for share in shares]
    return None


def _at(clip: Clip, value: float | str) -> float:
    """Return a time in seconds; a share never lies past the end."""
    seconds = clip.at(value)
    is_share = isinstance(value, str) and value.endswith("%")
    return clip.within(seconds) if is_share else seconds


def _checked(clip: Clip, time: float, pointer: str) -> float:
    if clip.is_past_end(time):
        raise SeekPastEnd(
            f"the time {time:g} s is after the end of the video ({clip.end:.3f} s)",
            pointer=pointer,
            hint='give an earlier time, a share like "50%", another policy, or a '
            '"fallback" that shows something else',
        )
    return clip.within(time) if clip.end is not None and time >= clip.end else time


def _exact_alternatives(
    spec: ThumbnailSpec, clip: Clip, times: list[float]
) -> list[Alternative]:
    best, plain = _StillRenderer(clip, spec), _StillRenderer(clip, spec, plain=True)
    mapped, clipped = picture.colour_warnings(clip)
    seek, early = _on_time(_exact), _on_time(_early)
    return [
        Alternative("exact", partial(_each, best, times, seek), mapped),
        Alternative("exact_plain", partial(_each, plain, times, seek), clipped),
        Alternative("exact_early", partial(_each, best, times, early), mapped),
        Alternative(
            "exact_sequential",
            partial(_each, best, times, _sequential),
            (warning_codes.SEEK_UNRELIABLE, *mapped),
        ),
        Alternative(
            "exact_late",
            partial(_each, best, times, _exact),
            (warning_codes.OTHER_TIME, *mapped),
        ),
    ]


def _lenient_alternatives(
    spec: ThumbnailSpec, clip: Clip, times: list[float], policy: str
) -> list[Alternative]:
    best, plain = _StillRenderer(clip, spec), _StillRenderer(clip, spec, plain=True)
    mapped, clipped = picture.colour_warnings(clip)
    past = (warning_codes.TIME_PAST_END,) if any(map(clip.is_past_end, times)) else ()
    first: dict[str, Callable[[_StillRenderer, list[float]], StepRun]] = {
        "auto": partial(_each, grabber=_auto),
        "near": _each_best,
        "scene": _scenes,
    }
    if clip.seekable:
        first["keyframe"] = partial(_each, grabber=_keyframe)
    alternatives = []
    if policy in first and not past:
        run = partial(first[policy], best, times)
        alternatives.append(
            Alternative("auto" if policy == "near" else policy, run, mapped)
        )
    note = (warning_codes.NO_SCENE_CHANGE,) if policy == "scene" else ()
    if not past:
        exact = partial(_each, best, times, _exact)
        alternatives.append(Alternative("exact", exact, mapped + note))
        exact = partial(_each, plain, times, _exact)
        alternatives.append(Alternative("exact_plain", exact, clipped + note))
    moved = past or (warning_codes.OTHER_TIME,)
    nearby = partial(_each, best, times, _nearby)
    alternatives.append(Alternative("nearby", nearby, mapped + moved))
    nearby = partial(_each, plain, times, _nearby)
    alternatives.append(Alternative("nearby_plain", nearby, clipped + moved))
    return alternatives


def _aiming(grabber: Grabber) -> Grabber:
    """Return a grabber that first looks at what the crop at the time has to keep."""

    def grab_aimed(renderer: _StillRenderer, time: float, stem: str) -> GrabRun:
        aimed = yield from renderer.aimed(time)
        return (yield from grabber(aimed, time, stem))

    return grab_aimed


def _each(renderer: _StillRenderer, times: list[float], grabber: Grabber) -> StepRun:
    """Make one file per time; a single one has no number in its name.

    With ``count``, a frame that was grabbed before makes no second file. A frame that
    was grabbed twice is warned about, unless the times are ``exact``.
    """
    exact = renderer.spec.count is None and renderer.spec.policy in (None, "exact")
    made: list[Made] = []
    repeated = False
    for place, time in enumerate(times, 1):
        stem = _stem(times, place)
        grabbed = yield from grabber(renderer, time, stem)
        again = any(frame_at.is_same(grabbed.time, one.time) for one in made)
        repeated |= again and not exact
        if renderer.spec.count is None or not again:
            name = _stem(times, len(made) // len(renderer.boxes) + 1)
            made += renderer.made(stem, name, grabbed)
    if repeated:
        made[0] = replace(made[0], warnings=(warning_codes.FEWER_FRAMES,))
    return made


def _stem(times: Sequence[float], place: int) -> str:
    return "thumbnail" if len(times) == 1 else f"thumbnail-{place:03d}"


def _run_grab(renderer: _StillRenderer, grab: frame_at.FrameGrab, stem: str) -> GrabRun:
    """Run a grab; raise DecodeError if it wrote nothing."""
    done = yield grab.step
    if not renderer.wrote(stem, done):
        raise DecodeError("no frame could be decoded at that time")
    return renderer.grabbed(grab, done)


@_aiming
def _exact(renderer: _StillRenderer, time: float, stem: str) -> GrabRun:
    grab = frame_at.exact(renderer.clip, time, renderer.writer(stem))
    return (yield from _run_grab(renderer, grab, stem))


@_aiming
def _early(renderer: _StillRenderer, time: float, stem: str) -> GrabRun:
    grab = frame_at.exact(
        renderer.clip, time, renderer.writer(stem), early=_EARLY_SECONDS
    )
    return (yield from _run_grab(renderer, grab, stem))


def _on_time(grabber: Grabber) -> Grabber:
    """Return a grabber that refuses a frame that starts well after the time.

    A false index leads to such a frame. In a long film it is accepted: decoding all of
    it may cost minutes, and a pause in a stream looks the same.
    """

    def grab_on_time(renderer: _StillRenderer, time: float, stem: str) -> GrabRun:
        grabbed = yield from grabber(renderer, time, stem)
        clip, real = renderer.clip, grabbed.time
        short = (clip.end or 0.0) < _DECODE_ALL_SECONDS and time >= clip.begin
        slack = max(_LATE_SECONDS, 2 * clip.frame_seconds)
        if short and real is not None and real - time > slack:
            raise DecodeError(f"the seek to {time:g} s led to the frame at {real:g} s")
        return grabbed

    return grab_on_time


@_aiming
def _sequential(renderer: _StillRenderer, time: float, stem: str) -> GrabRun:
    renderer.clip.check_decoding("exact stills")
    grab = frame_at.exact(
        renderer.clip, time, renderer.writer(stem), early=math.inf, tolerant=True
    )
    done = yield grab.step
    if renderer.wrote(stem, done):
        return renderer.grabbed(grab, done)
    if done.returncode != 0:
        raise DecodeError(f"no frame could be decoded at {time:g} s")
    raise SeekPastEnd(
        f"the video has no frame at {time:g} s",
        pointer="/time",
        hint="give an earlier time or another policy",
    )


@_aiming
def _keyframe(renderer: _StillRenderer, time: float, stem: str) -> GrabRun:
    clip = renderer.clip
    grab = frame_at.keyframe(clip, clip.within(time), renderer.writer(stem))
    return (yield from _run_grab(renderer, grab, stem))


def _scenes(renderer: _StillRenderer, times: list[float]) -> StepRun:
    """Show the scenes that begin, and frames between them if there are fewer.

    Raises DecodeError if none begins at all.
    """
    several = renderer.spec.count is not None and len(times) > 1
    choose = scenes.spread if several else scenes.after
    found, missed = yield from choose(renderer.clip, times)
    if missed == len(times):
        raise DecodeError("no new scene begins after these times")
    made = yield from _each(renderer, found, _exact)
    if missed:
        notes = (*made[0].warnings, warning_codes.NO_SCENE_CHANGE)
        made[0] = replace(made[0], warnings=notes)
    return made


def _each_best(renderer: _StillRenderer, times: list[float]) -> StepRun:
    """Take the best frame near each time, none that looks like another."""
    clip, seen = renderer.clip, list[Sample]()

    def grabber(renderer: _StillRenderer, time: float, stem: str) -> GrabRun:
        within = _around(clip, time, times, most=None if spread else _NEAR_SECONDS)
        try:
            pick, sample = yield from auto.around(clip, time, within, seen)
        except DecodeError:
            return (yield from _exact(renderer, time, stem))
        seen.append(sample)
        return (yield from _grab_pick(renderer, pick, stem))

    spread = renderer.spec.count is not None
    return (yield from _each(renderer, times, grabber))


def _around(
    clip: Clip, time: float, times: Sequence[float], most: float | None
) -> tuple[float, float]:
    """Return the span around a time: half the way to its neighbours.

    At most ``most`` seconds to each side: a client that states a time wants what is
    there.
    """
    end = clip.seconds
    before = max((one for one in times if one < time), default=None)
    after = min((one for one in times if one > time), default=None)
    since = clip.begin if before is None else (before + time) / 2
    until = end if after is None else (time + after) / 2
    if most is not None:
        since, until = max(since, time - most), min(until, time + most)
    return max(clip.begin, since), max(min(until, end), since + clip.frame_seconds)


def _auto(renderer: _StillRenderer, _time: float, stem: str) -> GrabRun:
    """Take the frame with the best score; the other alternatives use the time."""
    pick = yield from auto.pick(renderer.clip)
    return (yield from _grab_pick(renderer, pick, stem))


def _grab_pick(renderer: _StillRenderer, pick: auto.Pick, stem: str) -> GrabRun:
    """Write the picked frame; raise DecodeError if no seek leads to it.

    If its keyframe is damaged, a seek leads to an even grey instead of what was seen
    after the groups before it. Reading from the start leads to it again.
    """
    renderer = yield from renderer.aimed(pick.time)
    writer = renderer.writer(stem)
    grabs = [
        grab_of_pick(renderer.clip, renderer.spec, pick, stem),
        frame_at.exact(renderer.clip, pick.time, writer, tolerant=True),
    ]
    if pick.sought is None:
        # Seeks may also miss it in a film that starts inside a group of pictures.
        early = frame_at.exact(
            renderer.clip, pick.time, writer, early=math.inf, tolerant=True
        )
        grabs.append(early)
    for grab in grabs:
        done = yield grab.step
        if renderer.wrote(stem, done) and renderer.contrast(done) >= pick.contrast / 3:
            grabbed = renderer.grabbed(grab, done)
            return replace(grabbed, details={**grabbed.details, **pick.details})
    raise DecodeError("the chosen frame could not be decoded a second time")


def grab_of_pick(
    clip: Clip, spec: ThumbnailSpec, pick: auto.Pick, stem: str
) -> frame_at.FrameGrab:
    """Return the fastest grab of a picked frame."""
    one = replace(clip, threads=1)
    writer = _StillRenderer(clip, spec).writer(stem)
    return frame_at.known(one, pick.time, writer, pick.sought)


@_aiming
def _nearby(renderer: _StillRenderer, time: float, stem: str) -> GrabRun:
    """Take the last frame for a time past the end; else earlier ones, then any."""
    clip, writer = renderer.clip, renderer.writer(stem)
    grabs = []
    if clip.is_past_end(time):
        found = yield from frame_at.last_time(clip)
        if found is None and (clip.end or 0) < _DECODE_ALL_SECONDS:
            found = yield from frame_at.last_time(clip, seek=False)
        if found is not None:
            grabs.append(frame_at.exact(clip, found, writer, tolerant=True))
    else:
        grabs.append(
            frame_at.exact(clip, time, writer, early=_EARLY_SECONDS, tolerant=True)
        )
    grabs += [
        frame_at.exact(clip, clip.within(time * share), writer, tolerant=True)
        for share in _EARLIER
    ]
    grabs.append(frame_at.first(clip, writer, tolerant=True))
    for grab in grabs:
        done = yield grab.step
        if renderer.wrote(stem, done):
            return renderer.grabbed(grab, done)
    raise DecodeError("no frame of the video could be decoded")
