"""Plan snippets: one short animation for each window of the whole video.

The windows are split into parts for several workers. A part carries its windows' times,
so that all workers agree on them. The joining task writes the manifest. Every second of
the video lies in exactly one window; the last one ends with it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any, Literal

from common.errors import DecodeError
from common.model import MediaInfo, PartFile, PartSpec, VideoInfo
from common.outputs.specs import SnippetsSpec
from worker.media import warning_codes
from worker.media.ffmpeg.clip import Clip, no_video
from worker.media.ffmpeg.plan import Alternative, Done, Made, Plan, Step, StepRun
from worker.media.recipes.best_frame import content
from worker.media.recipes.shared import cost, moving, picture
from worker.media.recipes.shared.moving import Rendition
from worker.media.recipes.shared.span import Span, frames_of, sample, stillness

MANIFEST = "snippets.json"
MOST_WINDOWS = 1000
# The CPU seconds of a part, and those of a second of video: a base for the encoder,
# and decoding by megapixels of 30 frames.
_PART_SECONDS = 15.0
_BASE_COST = 0.06
_PIXEL_COST = 0.09
# One frame a second is enough for the palette of half a minute.
_PALETTE_SECONDS = 1.0
# A last window shorter than this becomes part of the one before.
_LEAST_SECONDS = 0.1


@dataclass(frozen=True)
class _SnippetStyle:
    """How snippets are written; the defaults are those of animations."""

    format: Literal["gif", "webp", "avif", "mp4", "webm"]
    loop: int
    dither: str
    bayer_scale: int = 5
    palette: str = "full"


def window_seconds(spec: SnippetsSpec, begin: float, end: float) -> float:
    """Return the length of a window: as requested, longer if they are too many."""
    return max(spec.window, (end - begin) / MOST_WINDOWS)


def windows(spec: SnippetsSpec, begin: float, end: float) -> list[Span]:
    """Return the windows from ``begin`` to ``end``, without a gap.

    Windows grow if there would be more than a thousand.
    """
    length = window_seconds(spec, begin, end)
    count = max(1, math.ceil((end - begin - _LEAST_SECONDS) / length))
    edges = [begin + place * length for place in range(count)]
    edges.append(max(end, begin + _LEAST_SECONDS))
    return [Span(start, until - start) for start, until in pairwise(edges)]


def split(spec: SnippetsSpec, media: MediaInfo) -> list[PartSpec]:
    """Return the parts that different workers can make.

    Empty if one task can do it all, or if the length is unknown.
    """
    video = media.video
    if video is None or media.duration is None:
        return []
    found = windows(spec, 0.0, media.duration)
    each = max(1, int(_PART_SECONDS / _cost(found[0].length, video)))
    if len(found) <= each:
        return []
    return [
        PartSpec(
            first=first,
            windows=[
                (round(window.start, 6), round(window.length, 6))
                for window in found[first : first + each]
            ],
        )
        for first in range(0, len(found), each)
    ]


def _cost(seconds: float, video: VideoInfo) -> float:
    """Return the estimated CPU seconds of one window."""
    megapixels = video.coded_width * video.coded_height / 1e6
    frames = (video.fps or 30.0) / 30.0
    return seconds * (_BASE_COST + _PIXEL_COST * megapixels * frames)


def plan(
    spec: SnippetsSpec,
    clip: Clip,
    part: PartSpec | None = None,
    parts: Sequence[Sequence[PartFile]] = (),
) -> Plan:
    """Return the alternatives for a part, for the joining task, or for the whole.

    Raises NoVideoStream, and TooLong if decoding the whole video exceeds the limit.
    """
    clip.check_decoding("snippets")
    if part is None and parts:
        return _joining(spec, clip, parts)
    if clip.media.video is None:
        hint = "snippets show windows of the video, and there is none to show"
        raise no_video(clip.media, hint)
    if part is not None:
        first = part.first
        found = [Span(start, length) for start, length in part.windows]
    else:
        first, found = 0, windows(spec, 0.0, _until(spec, clip))
    mapped_run = _SnippetRun(spec, clip, first, tuple(found), whole=part is None)
    plain = _SnippetRun(spec, clip, first, tuple(found), whole=part is None, plain=True)
    mapped, clipped = picture.colour_warnings(clip)
    alternatives = [
        Alternative("windows", mapped_run.make, mapped),
        Alternative("windows_plain", plain.make, clipped),
    ]
    if part is not None:
        # A damaged part of the video must not fail the other parts' snippets.
        alternatives.append(
            Alternative("nothing", _nothing, (warning_codes.WINDOW_MISSING,))
        )
    return Plan(tuple(alternatives), _notes(spec, clip))


def _until(spec: SnippetsSpec, clip: Clip) -> float:
    """Return the clip's end in seconds.

    If the length is unknown, windows are tried until one has no frame.
    """
    return spec.window * MOST_WINDOWS if clip.end is None else clip.end


def _notes(spec: SnippetsSpec, clip: Clip) -> tuple[str, ...]:
    """Return the warnings that follow from the clip's facts."""
    notes = []
    if clip.video.frames == 1:
        notes.append(warning_codes.SINGLE_FRAME)
    if window_seconds(spec, 0.0, _until(spec, clip)) > spec.window:
        notes.append(warning_codes.INTERVAL_STRETCHED)
    if _rate(spec, clip) < spec.fps:
        notes.append(warning_codes.FPS_REDUCED)
    return tuple(notes)


def _box(spec: SnippetsSpec, clip: Clip) -> picture.Box:
    size = (clip.video.width, clip.video.height)
    even = picture.is_even(spec.format)
    return picture.fit(size, picture.MaxSize(spec.width), spec.width, even=even)


def _rate(spec: SnippetsSpec, clip: Clip) -> float:
    """Return the rate of all snippets: as requested, or what a task can afford."""
    end = _until(spec, clip)
    plays = min(window_seconds(spec, 0.0, end), end)
    return cost.rate(spec.fps, spec.format, _box(spec, clip), plays)


@dataclass(frozen=True)
class _SnippetRun:
    """The windows that one task makes; ``whole`` adds the manifest."""

    spec: SnippetsSpec
    clip: Clip
    first: int
    windows: tuple[Span, ...]
    whole: bool = False
    plain: bool = False

    @property
    def rendition(self) -> Rendition:
        """Return size, rate, colours and quality of every snippet."""
        spec, box = self.spec, _box(self.spec, self.clip)
        fps = _rate(spec, self.clip)
        every = max(1, round(fps * _PALETTE_SECONDS))
        has_alpha = picture.keeps_alpha(self.clip, spec.format, None)
        return Rendition(box, fps, spec.colors, spec.quality, every, has_alpha)

    def make(self) -> StepRun:
        """Make the snippets one after another.

        A window without a decodable frame is left out, and the manifest says so. Raises
        DecodeError if no window of the task has one.
        """
        made: list[Made] = []
        for place, window in enumerate(self.windows, self.first):
            one = yield from self._one(place, window)
            if not one and made and self.clip.end is None:
                break
            made += one
        if not made:
            raise DecodeError("no window of the video has a decodable frame")
        if not self.whole:
            return made
        results = [
            PartFile(
                name=one.name, bytes=one.details["bytes"], details=dict(one.details)
            )
            for one in made
        ]
        found = len(made) if self.clip.end is None else len(self.windows)
        return [*made, _manifest(self.spec, self.clip, results, found)]

    def _one(self, place: int, window: Span) -> Generator[Step, Done, list[Made]]:
        spec, rendition, clip = self.spec, self.rendition, self.clip
        name = moving.file_name(f"snippet-{place + 1:04d}", spec.format)
        width = rendition.box.width
        shown = rendition.box.scaled[0]
        frames = sample(clip, window, rendition.fps, width=shown)
        frames = picture.draw(
            frames, clip, rendition.box, spec.format, plain=self.plain
        )
        count = frames_of(clip, window.length, rendition.fps)
        has_alpha = picture.keeps_alpha(clip, spec.format, None)
        frames, view = content.view(frames, count, width, alpha=has_alpha)
        style = _SnippetStyle(spec.format, spec.loop, spec.dither)
        timing = moving.Timing(window.length, window.length, tolerant=True)
        threads = clip.threads
        done = yield from moving.encode(
            frames, name, style, rendition, timing, threads, view=view
        )
        if name not in done.files or done.returncode != 0 or not _holds(done, name):
            return []
        details: dict[str, Any] = {
            "index": place,
            "start": round(window.start, 3),
            # The last window may be longer than what is left of the film.
            "end": round(min(window.end, clip.end or window.end), 3),
        }
        seen = content.samples(done, width)
        shows = () if clip.video.frames == 1 else content.emptiness(seen)
        details["shows"] = shows[0] if shows else None
        if self.whole:
            details["bytes"] = done.files[name].bytes
        still = yield from stillness(clip, window)
        time = round(window.start, 3)
        one = moving.made(name, name, spec.format, rendition, time, details)
        return [replace(one, warnings=(*still, *shows))]


def _holds(done: Done, name: str) -> bool:
    """Return True if a file has frames: MP4 and WebM are written without any, too."""
    try:
        return bool(done.files[name].frames)
    except DecodeError:
        return False


def _nothing() -> StepRun:
    yield from ()
    return []


def _joining(
    spec: SnippetsSpec, clip: Clip, parts: Sequence[Sequence[PartFile]]
) -> Plan:
    """Return the alternative that writes the manifest of all parts' files."""
    results = [file for part in parts for file in part]
    # A spec is split only if the length is known.
    count = len(windows(spec, 0.0, clip.end or 0.0))
    note = (warning_codes.WINDOW_MISSING,) if len(results) < count else ()
    join = partial(_join, spec, clip, results, count)
    return Plan((Alternative("manifest", join, note),), _notes(spec, clip))


def _join(
    spec: SnippetsSpec, clip: Clip, results: Sequence[PartFile], count: int
) -> StepRun:
    """Write the manifest; this needs no FFmpeg run."""
    yield from ()
    if not results:
        raise DecodeError("no window of the video has a decodable frame")
    return [_manifest(spec, clip, results, count)]


def _manifest(
    spec: SnippetsSpec, clip: Clip, results: Sequence[PartFile], count: int
) -> Made:
    """Return the manifest, which describes every snippet in order of time.

    ``count`` is the number of windows; ``missing`` lists those without a snippet.
    ``window`` is their length, longer than ``asked_window`` if there would be too many.
    ``shows`` is ``black`` or ``flat`` if that is at least a third of a snippet.
    """
    seconds = window_seconds(spec, 0.0, _until(spec, clip))
    entries = sorted(
        (
            {
                "index": result.details["index"],
                "start": result.details["start"],
                "end": result.details["end"],
                "file": result.name,
                "bytes": result.bytes,
                "shows": result.details.get("shows"),
            }
            for result in results
        ),
        key=lambda entry: int(entry["index"]),
    )
    known = {int(entry["index"]) for entry in entries}
    missing = [place for place in range(count) if place not in known]
    document = {
        "version": 1,
        "format": spec.format,
        "fps": _rate(spec, clip),
        "window": round(seconds, 6),
        "asked_window": spec.window,
        "duration": entries[-1]["end"],
        "snippets": entries,
        "missing": missing,
    }
    details = {"snippets": len(entries), "missing": len(missing)}
    text = json.dumps(document, indent=1)
    return Made(MANIFEST, MANIFEST, "application/json", text=text, details=details)
