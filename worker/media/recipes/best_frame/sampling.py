"""Sample a clip: build the FFmpeg runs that decode small copies of a few frames.

Their cost is measured against the still that a user would take by hand: a seek, half a
group of pictures decoded in full, one JPEG. The decoder may skip deblocking and frames
that no other refers to. It also gets no more packets than are needed: the bitstream
filter ``noise`` drops the rest by an expression.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any

import ffmpeg

from worker.media.ffmpeg.clip import Clip, argv, number, open_clip
from worker.media.ffmpeg.plan import Done, Step
from worker.media.recipes.best_frame.sample import (
    CELLS,
    POINTS,
    SAMPLE_BYTES,
    Sample,
    nearness,
)
from worker.media.recipes.shared import frame_at, picture

# The unit of work is one frame that is not a keyframe. Measured with H.264: it takes
# 0.7 ms of CPU per megapixel, and a keyframe takes six times as long.
_KEYFRAME_WORK = 6.0
_STILL_WORK = 40.0
_GROUP_WORK = 0.95
_START_WORK = 4.0
_MOST_GROUP = 300.0
_MOST_WORK = 600.0
_FEWEST_PACKETS = 8
_INTRA = 1.5
_INTRA_LOOKS = 3
# Streams of these codecs have no frames that could be skipped, so they get less.
_CODEC_SHARE = {"vp8": 0.6, "vp9": 0.6}
_MOST_PACKETS = 16
# After a group's keyframe, nothing natural needs as many bits a pixel. Noise does, and
# decoding it would cost as much as thirteen stills.
_MOST_BITS = 2.0
_FEWEST_WINDOWS = 4
_FEWEST_OPENED = 3
_MOST_WINDOWS = 10
# Every window of a long film opens the file again (4 ms). In an MP4 that parses the
# whole index (1 ms for ten thousand frames). A frame takes 0.7 ms a megapixel.
_MOST_OPENED = 5
_OPENED_GROUP = 24.0
_OPEN_MS = 4.0
_INDEX_MS = 1e-4
_FRAME_MS = 0.7
_DECODER_MEGAPIXELS = 60.0
_FRAMES_HELD = 6
_SHORT_FRAMES = 1500.0
_SAMPLES = 20
_SHORTEST_STEP = 0.08
_LOOKS = 2.5
_NEVER = 1e9
_UNKNOWN_STEP = 0.25
_AFTER_SEEK = 0.1
_USUAL_GROUP = 2.0
_TOGETHER = 0.4
_GOLDEN = 0.618034
# In a span: how many groups of pictures are few, and how much of them is read.
_FEW_GROUPS = 2.0
_SHORTEST_READ = 1.0
_SAMPLES_AROUND = 8
_UNSEEKABLE = ("gif", "apng", "h264", "hevc", "vvc", "m4v", "h263", "obu", "vc1")
_MARK = re.compile(r"pts_time:(-?[\d.]+(?:e[-+]?\d+)?)|\bwindow=(\d+)")


@dataclass(frozen=True)
class SamplingRun:
    """A step that samples the clip, and the seek of each of its windows, in seconds.

    ``seeks`` means that the windows were sought, so that the same seek leads to one of
    their frames again. ``step_seconds`` is the time between two samples, ``width`` that
    of the frames in pixels.
    """

    step: Step
    starts: tuple[float, ...]
    step_seconds: float
    width: int
    seeks: bool = False

    def samples(self, done: Done, first: int) -> list[Sample]:
        """Return the samples in standard output; windows are numbered from ``first``.

        Frames that lie far apart start a new window: nothing follows from the change
        between them.
        """
        marks = read_marks(done.log)
        data = done.stdout
        apart = max(_TOGETHER, 2.2 * self.step_seconds)
        at, number_ = 0, first - 1
        found: list[Sample] = []
        for place, start in enumerate(self.starts):
            before = None
            for mark in marks[place]:
                chunk = data[at : at + SAMPLE_BYTES]
                at += SAMPLE_BYTES
                if len(chunk) != SAMPLE_BYTES:
                    continue
                if before is None or mark - before > apart:
                    number_ += 1
                before = mark
                sought = start if self.seeks else None
                found.append(Sample(mark, chunk, number_, sought, self.width))
        return found


def read_marks(log: str) -> dict[int, list[float]]:
    """Return the times that :func:`views` logged, by window, in seconds."""
    marks: dict[int, list[float]] = defaultdict(list)
    time = 0.0
    for match in _MARK.finditer(log):
        if match[1] is not None:
            time = frame_at.seconds(match[1])
        else:
            marks[int(match[2])].append(time)
    return marks


def first_run(clip: Clip, phase: float = 0.5) -> SamplingRun:
    """Return the first run for a clip, by its length; ``phase`` moves its windows."""
    return scan(clip) if is_short(clip) else visit(clip, phase)


def is_short(clip: Clip) -> bool:
    """Return True if reading the packets of the whole clip costs almost nothing."""
    extent = _extent(clip)
    container = clip.media.container
    if extent is None or container.split(",")[0] in _UNSEEKABLE:
        return True
    frames = extent / clip.frame_seconds
    if clip.video.frames:
        frames = min(frames, clip.video.frames)
    return frames <= _SHORT_FRAMES


def scan(clip: Clip) -> SamplingRun:
    """Sample a whole short clip: all groups of pictures, or the heads of some."""
    return _scan(clip, first=None) or read(clip)


def scan_between(clip: Clip) -> SamplingRun | None:
    """Sample other groups than :func:`scan`; None if that read the whole clip."""
    return _scan(clip, first=0.5)


def _scan(clip: Clip, first: float | None) -> SamplingRun | None:
    """Sample the heads of groups, starting at a share of their distance."""
    extent = _extent(clip)
    groups = _groups(clip)
    if extent is None or groups is None or not clip.video.bitstream_pts:
        return None
    windows, packets = _share_out(clip, groups)
    head = packets * clip.frame_seconds
    if windows * head >= extent:
        return None
    step = max(_SHORTEST_STEP, min(windows * head / _SAMPLES, head / _LOOKS))
    # The longest group gives the least number of groups: if every one is wanted, so are
    # shorter ones.
    apart = extent / windows / (2 if windows >= int(groups) else 1)
    since = None if first is None else clip.begin + first * apart
    drop = _heads(clip, packets, apart, since=since)
    frames = open_clip(clip, **_cheap(clip), **drop)
    return _read(clip, frames, step, extent)


def read(clip: Clip, *, whole: bool = False) -> SamplingRun:
    """Sample frames from the start on, as far as the budget allows.

    ``whole`` uses no shortcuts, for streams that do not support them.
    """
    extent = _extent(clip)
    reach = max(1.0, _MOST_WORK / _megapixels(clip) * clip.frame_seconds)
    length = min(reach, extent) if extent else reach
    step = max(_SHORTEST_STEP, length / _SAMPLES) if extent else _UNKNOWN_STEP
    options = {} if whole else _cheap(clip)
    frames = open_clip(clip, length=clip.begin + length + 1.0, **options)
    return _read(clip, frames, step, length)


def _read(clip: Clip, frames: Any, step: float, length: float) -> SamplingRun:
    most = 2 * _SAMPLES
    later = f"isnan(prev_selected_t)+gte(t-prev_selected_t,{number(step)})"
    frames = frames.filter("select", later).filter("trim", end_frame=most)
    seen = views(clip.video.coded_width, frames, 0)
    run = _run([seen], length, most)
    return SamplingRun(run, (0.0,), step, clip.video.coded_width)


def around(clip: Clip, since: float, until: float) -> SamplingRun:
    """Sample a span of the clip, in its seconds.

    A span of few groups of pictures is read, at most a group's length of it; of a
    longer one, the heads of some groups are sampled.
    """
    group = clip.video.keyframe_interval or _USUAL_GROUP
    if until - since > _FEW_GROUPS * group and clip.seekable:
        return visit(clip, within=(since, until))
    room = (until - since - max(group, _SHORTEST_READ)) / 2
    start, length = since + max(0.0, room), until - since - 2 * max(0.0, room)
    step = max(_SHORTEST_STEP, length / _SAMPLES_AROUND)
    frames = open_clip(clip, start=start, length=length, **_cheap(clip))
    return _read(clip, frames, step, length)


def visit(
    clip: Clip,
    phase: float = 0.5,
    times: int = 1,
    within: tuple[float, float] | None = None,
) -> SamplingRun:
    """Sample keyframes spread over a long clip, and a few frames after each.

    The times are spread without a rhythm, because films may have one. ``times`` as many
    windows as in a first run are opened, as far as memory allows. With ``within``, a
    span of the clip in seconds, there are three.
    """
    begin, end = within or (clip.begin, clip.begin + (_extent(clip) or 0.0))
    windows, packets = _share_out(clip, _MOST_OPENED, _open_work(clip))
    if within is not None:
        windows = _FEWEST_OPENED
    room = max(2, round(_DECODER_MEGAPIXELS / _megapixels(clip) / _FRAMES_HELD))
    windows = min(windows * times, room)
    starts = tuple(
        begin + (end - begin) * (place + (phase + place * _GOLDEN) % 1.0) / windows
        for place in range(windows)
    )
    step = max(_SHORTEST_STEP, packets * clip.frame_seconds / _LOOKS)
    parts = [
        views(clip.video.coded_width, _window(clip, start, packets, step), place)
        for place, start in enumerate(starts)
    ]
    run = _run(parts, 2.0 * windows, windows * packets)
    # Some packets after the window reach the decoder before FFmpeg stops reading.
    run = replace(run, holed=clip.video.bitstream_pts)
    return SamplingRun(run, starts, step, clip.video.coded_width, seeks=True)


def _window(clip: Clip, start: float, packets: int, step: float) -> Any:
    """Return the first frames of the group in which ``start`` lies.

    ``-t`` stops reading that long after ``start``, and frames that long after the first
    one (ffmpeg_filter.c trims to a duration if seeks are not accurate).
    """
    after = _AFTER_SEEK + packets * clip.frame_seconds
    after += 0.0 if clip.indexed else clip.lead
    options = _cheap(clip)
    if clip.video.bitstream_pts:
        options |= _heads(clip, packets, _NEVER, until=start + after)
    frames = open_clip(clip, start=start, length=after, noaccurate_seek=None, **options)
    later = f"isnan(prev_selected_t)+gte(t-prev_selected_t,{number(step)})"
    return frames.filter("trim", end_frame=packets).filter("select", later)


def _heads(
    clip: Clip,
    packets: int,
    apart: float,
    *,
    until: float | None = None,
    since: float | None = None,
) -> dict[str, Any]:
    """Keep the first ``packets`` of groups of pictures ``apart`` seconds apart.

    The first group is the first of all, or of those from ``since`` seconds on. Variable
    0 counts the packets of a group that is kept, 1 says that one was seen, 2 is its
    keyframe's time, 3 is when the next may begin. What an open group shows before its
    keyframe refers to a group that was dropped, so it is dropped, too. A group of noise
    ends at its keyframe, and if all packets are keyframes only some are kept. FFmpeg
    notices the end of ``-t`` by a packet that is not dropped (ffmpeg_demux.c), so
    nothing is dropped from ``until`` seconds on.
    """
    opening = "" if since is None else f"*gte(pts*tb,{number(clip.stamp(since))})"
    wanted = f"key*(not(ld(1)){opening}+gte(pts*tb,ld(3))*ld(1))"
    begin = f"st(0,1)+st(1,1)*0+st(2,pts)*0+st(3,pts*tb+{number(apart)})*0"
    noise = f"not(key)*gt(size,{round(_MOST_BITS * 1e6 / 8 * _megapixels(clip))})"
    step = f"gt(ld(0),0)*(1+{noise}*{number(_NEVER)})"
    count = f"if({wanted},{begin},st(0,ld(0)+{step}))"
    drop = f"not(between({count},1,{packets}))+lt(pts,ld(2))*ld(1)"
    every = _stride(clip)
    if every > 1:
        drop += f"+mod(ld(0)-1,{every})"
    early = "" if until is None else f"*lt(dts*tb,{number(clip.stamp(until))})"
    return {"bsf:v": f"noise=drop='({drop}){early}'"}


def _extent(clip: Clip) -> float | None:
    """Return how long the video lasts, in seconds, None if unknown."""
    if clip.end is None or clip.end <= clip.begin:
        return None
    return clip.end - clip.begin


def _megapixels(clip: Clip) -> float:
    video = clip.video
    return max(0.01, video.coded_width * video.coded_height / 1e6)


def _groups(clip: Clip) -> float | None:
    """Return the least number of groups of pictures, None if unknown."""
    longest = clip.video.keyframe_interval
    extent = _extent(clip)
    if extent is None or longest is None:
        return None
    return extent / max(longest, clip.frame_seconds)


def _share_out(clip: Clip, most: float, opening: float = 0.0) -> tuple[int, int]:
    """Return how many windows of how many packets cost about as much as a still.

    ``most`` is how many windows there can be, ``opening`` the work to open the file:
    windows that are opened are few, whatever the length of the groups.
    """
    group = (clip.video.keyframe_interval or _USUAL_GROUP) / clip.frame_seconds
    work = _STILL_WORK + _START_WORK / _megapixels(clip) + opening
    work += _GROUP_WORK * min(_OPENED_GROUP if opening else _MOST_GROUP, group)
    work *= _CODEC_SHARE.get(clip.video.codec, 1.0)
    each = _KEYFRAME_WORK * (_INTRA_LOOKS if _stride(clip) > 1 else 1) + opening
    fewest = _FEWEST_OPENED if opening else _FEWEST_WINDOWS
    count = max(fewest, work / (each + _FEWEST_PACKETS))
    windows = round(min(count, _MOST_WINDOWS, max(1.0, most)))
    packets = max(_FEWEST_PACKETS, round(work / windows - each))
    if windows >= int(most) and not opening:
        return windows, packets
    return windows, _FEWEST_PACKETS if opening else min(packets, _MOST_PACKETS)


def _stride(clip: Clip) -> int:
    """Return one in how many packets is kept; more than 1 if all are keyframes."""
    gap = clip.video.keyframe_interval
    if gap is None or gap > _INTRA * clip.frame_seconds:
        return 1
    return _FEWEST_PACKETS // _INTRA_LOOKS


def _open_work(clip: Clip) -> float:
    """Return the work of opening the file, which grows with a long MP4's index."""
    spent = _OPEN_MS
    if clip.media.container.startswith("mov"):
        spent += _INDEX_MS * (_extent(clip) or 0.0) / clip.frame_seconds
    return spent / (_FRAME_MS * _megapixels(clip))


def _cheap(clip: Clip) -> dict[str, Any]:
    """Return decoder options for pictures that are only sampled.

    ``-nofind_stream_info`` would save 3 ms, but without that search FFmpeg does not
    know where a container's clock starts, and all times are off by that.
    """
    # A frame that the decoder finds damaged is not a candidate.
    return frame_at.skipping(clip) | {
        "skip_loop_filter": "all",
        "err_detect:v": "explode",
    }


def views(width: int, frames: Any, window: int, ground: str | None = None) -> Any:
    """Append the marks and the views of :mod:`worker.media.recipes.best_frame.sample`.

    ``width`` is that of the frames in pixels. ``ground`` is the colour behind frames
    that may be transparent. It is applied to the small views, because a large picture
    would be held three times more.
    """
    frames = frames.filter("metadata", "add", key="window", value=str(window))
    frames = frames.filter("metadata", "print", file="pipe:2", direct=1)
    # Times may run backwards before the seek point; the sink wants them in order.
    copies = frames.filter("setpts", "N/25/TB").filter_multi_output("split", 3)
    near = nearness(width)
    cropped = [
        copies[place].filter("crop", f"iw-{near}", "ih", left, 0)
        for place, left in enumerate((0, near))
    ]
    stack = [
        _small(one, POINTS, "neighbor", ground)
        .filter("format", "gray")
        .filter("setsar", 1)
        for one in cropped
    ]
    cells = _small(copies[2], CELLS, "area", ground).filter("format", "yuv444p")
    cells = cells.filter_multi_output("extractplanes", "y+u+v")
    row = ffmpeg.filter([cells[k] for k in range(3)], "hstack", 3)
    return ffmpeg.filter([*stack, row.filter("setsar", 1)], "vstack", 3)


def _small(frames: Any, size: tuple[int, int], how: str, ground: str | None) -> Any:
    """Scale frames to a view; transparent pixels show the ground."""
    small = frames.filter("scale", *size, flags=how, out_range="full")
    if ground is None:
        return small
    return picture.flatten(small, ground).filter("scale", out_range="full")


def _run(parts: list[Any], seconds: float, most: int) -> Step:
    frames = parts[0] if len(parts) == 1 else ffmpeg.concat(*parts, n=len(parts))
    out = ffmpeg.output(
        frames, "pipe:1", f="rawvideo", pix_fmt="gray", fps_mode="passthrough"
    )
    out = out.global_args("-filter_complex_threads", "1")
    return Step(argv(out), seconds, capture=most * SAMPLE_BYTES, tolerant=True)
