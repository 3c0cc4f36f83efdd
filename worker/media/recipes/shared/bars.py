"""Find the black bars that a film was padded with.

FFmpeg's ``cropdetect`` looks at a few frames of the whole film: bars are where all of
them are black. A dark scene alone, or a fade, would make bars that are none.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import replace

import ffmpeg

from worker.media.ffmpeg.clip import Clip, argv, open_clip
from worker.media.ffmpeg.plan import Done, Step

Shares = tuple[float, float, float, float]
WHOLE: Shares = (0.0, 0.0, 1.0, 1.0)
_PLACES = (0.1, 0.3, 0.5, 0.7, 0.9)
_FROM_START_SECONDS = 20.0
_STEP_SECONDS = 2.0
# Decoders hold whole frames, so of the largest films fewer are looked at.
_MOST_PIXELS = 40_000_000
# The mean of a row from which it is no bar, in levels of 255, as FFmpeg's default.
_BLACK = 24
# Bars of less than this share of a side are an encoder's edge, and what leaves less
# than a fifth of the picture is no film in bars.
_LEAST, _MOST_LEFT = 0.01, 0.2
_CAPTURE = 16 * 1024
_EDGE = re.compile(rb"lavfi\.cropdetect\.(x1|x2|y1|y2)=(\d+)")


def picture_inside(clip: Clip) -> Generator[Step, Done, Shares]:
    """Return the part of the coded frame within the bars, all of it if there are none.

    The part is left, top, width and height, as shares. Yields one step.
    """
    done = yield _step(replace(clip, threads=1))
    size = (clip.video.coded_width, clip.video.coded_height)
    found = [frame for frame in _frames(done.stdout) if _is_lit(frame)]
    if not found:
        return WHOLE
    left, top = min(one["x1"] for one in found), min(one["y1"] for one in found)
    right, bottom = max(one["x2"] for one in found), max(one["y2"] for one in found)
    x, across = _kept(left, right + 1, size[0])
    y, down = _kept(top, bottom + 1, size[1])
    return (x, y, across, down) if across * down >= _MOST_LEFT else WHOLE


def _step(clip: Clip) -> Step:
    """Return the run that looks at frames of the clip."""
    video = clip.video
    size = (video.coded_width, video.coded_height)
    opened = []
    if clip.seekable and clip.end is not None:
        room = max(1, _MOST_PIXELS // max(1, size[0] * size[1]))
        length = 2 * clip.lead + 1.0
        for place in _PLACES[: max(2, min(len(_PLACES), room))]:
            at = clip.within(clip.begin + place * (clip.end - clip.begin))
            one = open_clip(clip, start=at, length=length, noaccurate_seek=None)
            opened.append(one.filter("trim", end_frame=1))
    else:
        later = f"isnan(prev_selected_t)+gte(t-prev_selected_t,{_STEP_SECONDS})"
        frames = open_clip(clip, length=clip.begin + _FROM_START_SECONDS)
        opened.append(frames.filter("select", later))
    alike = [
        one.filter("scale", *size, out_range="full")
        .filter("format", "gray")
        .filter("setsar", 1)
        .filter("setpts", "N/25/TB")
        for one in opened
    ]
    frames = ffmpeg.concat(*alike, n=len(alike)) if len(alike) > 1 else alike[0]
    # Each frame for itself, from the first on.
    frames = frames.filter("cropdetect", limit=_BLACK, round=2, reset=1, skip=0)
    frames = frames.filter("metadata", "print", file="pipe:1", direct=1)
    words = argv(ffmpeg.output(frames, "-", f="null", fps_mode="passthrough"))
    seconds = 2.0 * len(opened) if len(opened) > 1 else _FROM_START_SECONDS
    return Step(words, seconds, _CAPTURE, tolerant=True)


def _frames(output: bytes) -> list[dict[str, int]]:
    """Return the edges of each frame's picture."""
    frames: list[dict[str, int]] = []
    for block in output.split(b"frame:")[1:]:
        edges = {name.decode(): int(value) for name, value in _EDGE.findall(block)}
        if len(edges) == 4:
            frames.append(edges)
    return frames


def _is_lit(frame: dict[str, int]) -> bool:
    return frame["x1"] < frame["x2"] and frame["y1"] < frame["y2"]


def _kept(first: int, end: int, full: int) -> tuple[float, float]:
    """Return where the picture begins on a side and how long it is, as shares."""
    begin = first if first >= _LEAST * full else 0
    until = end if full - end >= _LEAST * full else full
    return begin / full, (until - begin) / full
