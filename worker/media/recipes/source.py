"""The clip a recipe works on, and the hardened way to open it.

Times here are seconds on the clip's clock: 0 is the container's start, as a player
shows it. FFmpeg's ``-ss`` before ``-i`` uses the same clock.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ffmpeg

from common.errors import MediaError, NoVideoStream, UnsupportedFormat
from common.model import MediaInfo, Mosaic, VideoInfo
from common.times import parse_time
from worker.media.recipes.formats import ANIMATED_WEBP, FORMATS, MAX_STREAMS, PROTOCOLS
from worker.media.recipes.warnings import ODD_ROTATION, SEEK_UNRELIABLE

_STAND_INS = 'ask for a fallback, for example ["frame", "artwork", "waveform"]'
_SHORTEST_LEAD = 0.1
_LEAD_FRAMES = 120
_SHORTEST_LEAD_LIMIT = 1.0
_END_SLACK = 0.05
_UNKNOWN_SECONDS = 3600.0
_UNINDEXED = ("mpegts", "mpeg")
_JUMPING = ("mpegts", "mpeg", "ogg")
_KEYFRAME_SECONDS = 3.0
_KEYFRAME_LIMIT = 15.0
_FINE_TICK = 0.0011
_TICK_SLACK = 1e-4
# FFmpeg's own VP8 and VP9 decoders leave the alpha plane out; libvpx reads it.
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


@dataclass(frozen=True)
class Clip:
    """The local file, what the probe found, and what decoding it may use.

    ``pixels`` is the most one frame may have, ``title`` a name for people.
    """

    path: str
    media: MediaInfo
    threads: int = 2
    pixels: int = 8192 * 4320
    title: str | None = None

    @property
    def video(self) -> VideoInfo:
        """Give the chosen video stream; raises what :func:`no_video` returns."""
        if self.media.video is None:
            raise no_video(self.media)
        return self.media.video

    @property
    def begin(self) -> float:
        """Give the time of the first frame."""
        return self.video.start_time

    @property
    def first_packet(self) -> float:
        """Give the time of the first packet: of some, no frame can be made."""
        start = self.video.stream_start
        return self.begin if start is None else start

    @property
    def end(self) -> float | None:
        """Give the time where the last frame ends, None when it is unknown."""
        return self.media.duration

    @property
    def seconds(self) -> float:
        """Give how long decoding all of it goes on, an hour where that is unknown."""
        return self.end or _UNKNOWN_SECONDS

    @property
    def seekable(self) -> bool:
        """Tell whether the probe found frames where a seek leads.

        FFmpeg 9.0.2 finds none in an animated WebP, which is read from its start.
        """
        animated = self.media.container == ANIMATED_WEBP
        return SEEK_UNRELIABLE not in self.media.warnings and not animated

    @property
    def indexed(self) -> bool:
        """Tell whether a seek leads to a keyframe, and not just to any packet."""
        return not self.media.container.startswith(_UNINDEXED)

    @property
    def frame_seconds(self) -> float:
        """Give how long a frame is shown on average; 1/25 when it is unknown."""
        fps = self.video.fps
        return 1 / fps if fps and fps > 0 else 0.04

    @property
    def lead(self) -> float:
        """Give how far before a time its frame may have begun to be shown.

        Bounded to 120 average frames, so that one long pause in a long film does
        not make every seek decode it. FFmpeg seeks in transport streams to any
        frame, so there a keyframe must lie in between.
        """
        longest = max(self.video.longest_frame or 0.0, 2 * self.frame_seconds)
        limit = max(_SHORTEST_LEAD_LIMIT, _LEAD_FRAMES * self.frame_seconds)
        lead = min(max(longest * 1.05, _SHORTEST_LEAD), limit)
        if self.indexed:
            return lead
        known = self.video.keyframe_interval
        keyframe = _KEYFRAME_SECONDS if known is None else known * 1.05
        return lead + min(keyframe, _KEYFRAME_LIMIT)

    @property
    def is_coarse(self) -> bool:
        """Tell whether the unit of the stream's timestamps is over a millisecond."""
        return (self.video.tick or 0.0) > _FINE_TICK

    def on_tick(self, start: float) -> float:
        """Give the last time up to ``start`` that the stream's clock can tell.

        FFmpeg moves all timestamps by the time of a seek, rounded to the stream's
        unit: 1/24 s in an AVI. Between two ticks all times would be wrong.
        """
        tick = self.video.tick
        if tick is None or not self.is_coarse or start <= 0:
            return start
        return math.floor(start / tick + _TICK_SLACK) * tick

    def clock(self, start: float) -> float:
        """Give the clip's time at which a stream opened at ``start`` reads 0.

        In formats whose timestamps may jump, FFmpeg starts the clock at the first
        packet of the streams that are used (correct_input_start_times, ffmpeg_demux.c).
        """
        if self.media.container.startswith(_JUMPING):
            return max(self.on_tick(start), self.first_packet)
        return max(self.on_tick(start), 0.0)

    def at(self, value: float | str) -> float:
        """Turn a spec's time into seconds; a share is one of the video's extent."""
        number, is_share = parse_time(value)
        if not is_share:
            return number
        if self.end is None:
            return self.begin
        return self.begin + number * (self.end - self.begin)

    def within(self, seconds: float) -> float:
        """Give ``seconds``, or the last frame's time where it lies after it."""
        if self.end is None:
            return max(seconds, self.begin)
        last = self.end - 0.5 * self.frame_seconds
        return max(self.begin, min(seconds, last))

    def is_past_end(self, seconds: float) -> bool:
        """Tell whether the known end of the video lies before ``seconds``."""
        return self.end is not None and seconds > self.end + _END_SLACK


def no_video(media: MediaInfo, hint: str = _STAND_INS) -> MediaError:
    """Return the error of a file without a video that can be decoded.

    NoVideoStream where there is none at all, UnsupportedFormat with the codec's name
    or tag where there is no decoder for it.
    """
    if media.undecodable:
        names = ", ".join(f'"{name}"' for name in media.undecodable)
        return UnsupportedFormat(
            f"the video's codec {names} is not supported",
            hint="convert the video to a common codec, for example H.264",
        )
    has = "audio only" if media.audio is not None else "neither video nor audio"
    return NoVideoStream(f"the source ({media.container}) has {has}", hint=hint)


def input_options(clip: Clip, *, decode: bool = True) -> dict[str, Any]:
    """Give the options before ``-i`` that every run gets.

    Autorotation is off: :mod:`worker.media.recipes.picture` turns the small picture
    instead of the large frame. Only an angle that is no quarter turn is left to it.
    """
    options: dict[str, Any] = {
        "protocol_whitelist": PROTOCOLS,
        "format_whitelist": FORMATS,
        "max_streams": MAX_STREAMS,
        "threads": clip.threads,
    }
    video = clip.media.video
    if decode:
        options["max_pixels"] = clip.pixels
        # A new size in mid-stream must not restart the clock and the palette; the
        # scale filter takes any size.
        options["reinit_filter"] = 0
    if decode and video is not None:
        if ODD_ROTATION not in clip.media.warnings:
            options["noautorotate"] = None
        if video.alpha and video.codec in _ALPHA_DECODERS:
            options["c:v"] = _ALPHA_DECODERS[video.codec]
    return options


def open_clip(
    clip: Clip,
    *,
    start: float | None = None,
    length: float | None = None,
    stream: int | None = None,
    **options: Any,
) -> Any:
    """Open the clip's video stream (or ``stream``) as an ffmpeg-python stream.

    ``start`` seeks before decoding (accurately, unless ``options`` say otherwise),
    ``length`` bounds what is read; further ``options`` go before ``-i`` too. The
    stream's clock is 0 at ``clip.clock(start)``, also in a file that cannot be
    sought, which is decoded from its begin.
    """
    words = input_options(clip)
    asked = start or 0.0
    start = clip.on_tick(asked)
    length = None if length is None else length + asked - start
    late = start > 0 and not clip.seekable
    if start > 0 and not late:
        words["ss"] = number(start)
    if length is not None:
        words["t"] = number(start + length if late else length)
    opened = ffmpeg.input(f"file:{clip.path}", **words, **options)
    frames = _picture(opened, clip.video) if stream is None else opened[str(stream)]
    if late:
        skip = number(max(0.0, start - clip.clock(0)))
        frames = frames.filter("trim", start=skip).filter("setpts", f"PTS-{skip}/TB")
    return frames


def _picture(opened: Any, video: VideoInfo) -> Any:
    """Put together what makes one picture of the streams of an input."""
    frames = opened[str(video.index)]
    if video.mosaic is not None:
        frames = _stacked(opened, video.mosaic)
    if video.alpha_mosaic is None:
        return frames
    alpha = _stacked(opened, video.alpha_mosaic)
    alpha = alpha.filter(
        "scale", video.coded_width, video.coded_height, out_range="full"
    )
    return ffmpeg.filter([frames, alpha.filter("format", "gray")], "alphamerge")


def _stacked(opened: Any, mosaic: Mosaic) -> Any:
    tiles = [opened[str(tile.stream)] for tile in mosaic.tiles]
    frames = tiles[0]
    if len(tiles) > 1:
        layout = "|".join(f"{tile.x}_{tile.y}" for tile in mosaic.tiles)
        frames = ffmpeg.filter(
            tiles, "xstack", inputs=len(tiles), layout=layout, fill="black"
        )
        # Pictures may leave the right and lower edge of their canvas free.
        across, down = mosaic.x + mosaic.width, mosaic.y + mosaic.height
        frames = frames.filter("pad", f"max(iw,{across})", f"max(ih,{down})")
    return frames.filter("crop", mosaic.width, mosaic.height, mosaic.x, mosaic.y)


def number(value: float) -> str:
    """Write a number for FFmpeg: microseconds, without an exponent."""
    return f"{value:.6f}".rstrip("0").rstrip(".") or "0"


def argv(*outputs: Any) -> tuple[str, ...]:
    """Compile ffmpeg-python outputs into the words after the program's name."""
    node = outputs[0] if len(outputs) == 1 else ffmpeg.merge_outputs(*outputs)
    words: Sequence[str] = ffmpeg.compile(node, cmd="ffmpeg")
    return tuple(words[1:])
