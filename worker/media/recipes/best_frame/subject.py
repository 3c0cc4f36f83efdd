"""Look at a clip to find the subject that ``gravity`` smart keeps.

A look is one more run of FFmpeg: it decodes what leads to a time, as cheaply as the
decoder can, and keeps small copies of the frame then and of two just before it. Motion
between them tells a subject from its ground.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import replace

import ffmpeg

from common.outputs.specs import Gravity
from worker.media.ffmpeg.clip import Clip, argv, number, open_clip
from worker.media.ffmpeg.plan import Done, Step
from worker.media.recipes.best_frame import saliency
from worker.media.recipes.best_frame.saliency import Look
from worker.media.recipes.shared import frame_at, picture
from worker.media.recipes.shared.picture import Box

SMART = "smart"
_RATE = 8
_FRAMES = 3


def aimed(
    clip: Clip, gravity: Gravity, box: Box, times: Iterable[float]
) -> Generator[Step, Done, Clip]:
    """Return the clip with its focus at the subject that it shows at some times.

    One crop of the size of ``box`` has to suit all of them. Yields one step for each
    time. With another gravity than smart nothing is looked at. A clip of which nothing
    could be decoded keeps its focus: the run that draws it tells what is wrong.
    """
    if gravity != SMART or not box.crops:
        return clip
    looks: list[Look] = []
    for time in times:
        looks += yield from _look(clip, time)
    if not looks:
        return clip
    window = (box.width / box.scaled[0], box.height / box.scaled[1])
    return replace(clip, focus=saliency.focus(looks, window))


def _look(clip: Clip, at: float) -> Generator[Step, Done, list[Look]]:
    """Return the frame at a time and those before it; nothing if there is none."""
    video = clip.video
    wide = video.width >= video.height
    size = (saliency.LONG, saliency.SHORT) if wide else (saliency.SHORT, saliency.LONG)
    # The rate's slots begin half of one before their time.
    start = max(clip.begin, at - (_FRAMES - 0.5) / _RATE)
    seek = max(0.0, start - clip.lead)
    length = start - seek + _FRAMES / _RATE
    cheap = frame_at.skipping(clip) | {"skip_loop_filter": "all"}
    frames = open_clip(replace(clip, threads=1), start=seek, length=length, **cheap)
    frames = frames.filter("setpts", f"PTS-{number(start)}/TB")
    frames = frames.filter("fps", _RATE, start_time=0, eof_action="pass")
    frames = frames.filter("trim", end_frame=_FRAMES)
    drawn = picture.draw(frames, clip, Box(size, *size), "raw", background="#808080")
    drawn = picture.scale(drawn, out_range="full").filter("format", "yuv444p")
    raw = {"f": "rawvideo", "pix_fmt": "yuv444p", "fps_mode": "passthrough"}
    each = 3 * size[0] * size[1]
    words = argv(ffmpeg.output(drawn, "pipe:1", **raw))
    done = yield Step(words, length, _FRAMES * each, tolerant=True)
    found = [done.stdout[k : k + each] for k in range(0, len(done.stdout), each)]
    if not found or len(found[-1]) != each:
        return []
    place = min(len(found) - 1, max(0, round((at - start) * _RATE - 0.5)))
    near = tuple(other for k, other in enumerate(found) if k != place)
    return [Look(found[place], size[0], near)]
