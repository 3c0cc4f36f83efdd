"""Open a clip safely, and keep one timeline for it.

Times here are seconds on the clip's timeline. Its 0 is one timestamp of the file
(:attr:`VideoInfo.zero`), wherever a seek goes. FFmpeg passes the file's timestamps on
unchanged (``-copyts``, see :func:`worker.media.ffmpeg.binary.head`), and
:func:`open_clip` subtracts that one timestamp. So the time of a frame depends on the
frame alone, and never on where a seek was expected to lead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ffmpeg

from common.errors import MediaError, NoVideoStream, TooLong, UnsupportedFormat
from common.model import MediaInfo, Mosaic, VideoInfo
from common.outputs.times import parse_time
from worker.media.ffmpeg.formats import ANIMATED_WEBP, FORMATS, MAX_STREAMS, PROTOCOLS
from worker.media.warning_codes import ODD_ROTATION, SEEK_UNRELIABLE

CENTER = (0.5, 0.5)
_FALLBACK_HINT = 'ask for a fallback, for example ["frame", "artwork", "waveform"]'
_SHORTEST_LEAD = 0.1
_LEAD_FRAMES = 120
_SHORTEST_LEAD_LIMIT = 1.0
_ITEM_TICK = 1.0
_END_SLACK = 0.05
_UNKNOWN_SECONDS = 3600.0
# The same as in the probe (child.py).
_UNTIMED = ("avi", "mxf")
_REORDERED = ("h264", "hevc")
_UNINDEXED = ("mpegts", "mpeg")
_KEYFRAME_SECONDS = 3.0
_KEYFRAME_LIMIT = 15.0
_LEAST_SEEK = 0.2
_ON_SCREEN = 0.9
_MICROSECONDS = 1_000_000
_USUAL_FPS = 30.0
# The same as in the probe (fragments.py).
_BY_FRAGMENTS = {"use_mfra_for": "pts"}
# FFmpeg's own VP8 and VP9 decoders ignore the alpha plane; libvpx reads it.
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}

# FFmpeg's decoder of JPEG multiplies CMYK's ink by its black and rounds down: white
# would be 254, and all else without black one too dark. By format, the filter that
# lifts it: of the three colours, or of the luminance.
_INKED = {"gbrap": "lutrgb", "yuva444p": "lutyuv"}
_LIFTED = "val+gt(val,0)"


@dataclass(frozen=True)
class Region:
    """The part of a frame that is shown, in pixels as it is coded.

    ``full`` is the size of the whole frame as it is coded, ``upright`` as shown.
    """

    x: int
    y: int
    width: int
    height: int
    full: tuple[int, int]
    upright: tuple[int, int]


@dataclass(frozen=True)
class Clip:
    """The local file, what the probe found, and the limits of decoding it.

    ``pixels`` is the most one frame may have, ``title`` the display name.
    ``decoded_seconds`` is the longest duration, in seconds, that is decoded as a whole.
    ``holed`` means that the file has holes, and what a run reads of them is fetched.
    ``region`` is the part of each frame that is shown, None for all of it, and
    ``focus`` the point of it that a crop keeps, as shares of the sides.
    """

    path: str
    media: MediaInfo
    threads: int = 2
    pixels: int = 8192 * 4320
    title: str | None = None
    decoded_seconds: float = math.inf
    holed: bool = False
    region: Region | None = None
    focus: tuple[float, float] = CENTER

    @property
    def video(self) -> VideoInfo:
        """Return the chosen video stream; raise :func:`no_video` if there is none."""
        if self.media.video is None:
            raise no_video(self.media)
        return self.media.video

    @property
    def begin(self) -> float:
        """Return the time of the first frame that is shown at or after 0."""
        return max(0.0, self.video.start_time)

    @property
    def first_packet(self) -> float:
        """Return the time of the first packet, which may have no decodable frame."""
        start = self.video.stream_start
        return self.begin if start is None else start

    @property
    def end(self) -> float | None:
        """Return the time at which the last frame ends, None if it is unknown."""
        return self.media.duration

    @property
    def seconds(self) -> float:
        """Return how many seconds there are to decode, an hour if unknown."""
        return self.end or _UNKNOWN_SECONDS

    def check_decoding(self, what: str) -> None:
        """Raise TooLong if decoding the whole clip exceeds the limit.

        ``what`` names the outputs that need it in the error, for example "snippets".
        """
        seconds = decoding_seconds(self.media)
        if seconds > self.decoded_seconds:
            raise TooLong(
                f"{what} need the whole video decoded: {seconds:.0f} seconds at 30 "
                f"frames a second; the limit is {self.decoded_seconds:.0f}",
                hint="other kinds of output work at any length; "
                "the setting is FRAMEMILL_LIMITS_DECODED_SECONDS",
            )

    @property
    def seekable(self) -> bool:
        """Return True if the probe found frames where a seek leads.

        FFmpeg 9.0.2 finds none in an animated WebP, which is read from its start.
        """
        animated = self.media.container == ANIMATED_WEBP
        return SEEK_UNRELIABLE not in self.media.warnings and not animated

    @property
    def indexed(self) -> bool:
        """Return True if a seek leads to a keyframe, False if to any packet."""
        return self.media.rewritten or not self.media.container.startswith(_UNINDEXED)

    @property
    def frame_seconds(self) -> float:
        """Return how long a frame is shown on average, 1/25 s if unknown."""
        fps = self.video.fps
        return 1 / fps if fps and fps > 0 else 0.04

    @property
    def lead(self) -> float:
        """Return how long before a time its frame may have started, in seconds.

        At most 120 average frames, so that one long pause in a long film does not make
        every seek decode it. In a transport stream FFmpeg seeks to any frame, so there
        a keyframe must lie in between.
        """
        longest = max(self.video.longest_frame or 0.0, 2 * self.frame_seconds)
        limit = max(_SHORTEST_LEAD_LIMIT, _LEAD_FRAMES * self.frame_seconds)
        lead = min(max(longest * 1.05, _SHORTEST_LEAD), limit)
        if self.indexed:
            return lead
        known = self.video.keyframe_interval
        keyframe = _KEYFRAME_SECONDS if known is None else known * 1.05
        return lead + min(keyframe, _KEYFRAME_LIMIT)

    def stamp(self, time: float) -> float:
        """Return the timestamp of a time in the file, for filters that see packets."""
        return time + self.video.zero

    def at(self, value: float | str) -> float:
        """Return a spec's time in seconds; a share refers to the video's extent."""
        number, is_share = parse_time(value)
        if not is_share:
            return number
        if self.end is None:
            return self.begin
        return self.begin + number * (self.end - self.begin)

    def within(self, seconds: float) -> float:
        """Return ``seconds``, or the last frame's time if that is earlier."""
        if self.end is None:
            return max(seconds, self.begin)
        last = self.end - 0.5 * self.frame_seconds
        return max(self.begin, min(seconds, last))

    def is_past_end(self, seconds: float) -> bool:
        """Return True if ``seconds`` lies after the known end of the video."""
        if self.end is None or self.is_photo:
            return False
        return seconds > self.end + _END_SLACK

    @property
    def is_photo(self) -> bool:
        """Return True if the file is one picture, which is shown at any time.

        The time base of a picture in AVIF and HEIC is one second; that of a film with
        one frame is not.
        """
        video, container = self.media.video, self.media.container
        if video is None or video.frames != 1:
            return False
        item = container.startswith("mov,") and video.tick == _ITEM_TICK
        return item or container == "gif" or container.endswith("_pipe")


def no_video(media: MediaInfo, hint: str = _FALLBACK_HINT) -> MediaError:
    """Return the error for a file without a video that can be decoded.

    NoVideoStream if there is none at all, UnsupportedFormat with the codec's name or
    tag if there is no decoder for it.
    """
    if media.undecodable:
        names = ", ".join(f'"{name}"' for name in media.undecodable)
        return UnsupportedFormat(
            f"the video's codec {names} is not supported",
            hint="convert the video to a common codec, for example H.264",
        )
    has = "audio only" if media.audio is not None else "neither video nor audio"
    return NoVideoStream(f"the source ({media.container}) has {has}", hint=hint)


def decoding_seconds(media: MediaInfo) -> float:
    """Return the cost of decoding a whole video, in seconds at 30 frames a second.

    Never more than the duration: higher frame rates do not count extra.
    """
    video, seconds = media.video, media.duration or 0.0
    if video is None:
        return 0.0
    frames = video.frames or seconds * (video.fps or _USUAL_FPS)
    return min(seconds, frames / _USUAL_FPS)


def input_options(clip: Clip, *, decode: bool = True) -> dict[str, Any]:
    """Return the options before ``-i`` that every run gets.

    Autorotation is off: :mod:`worker.media.recipes.shared.picture` turns the small
    picture instead of the large frame. Only an angle that is not a quarter turn is left
    to FFmpeg.
    """
    options: dict[str, Any] = {
        "protocol_whitelist": PROTOCOLS,
        "format_whitelist": FORMATS,
        "max_streams": MAX_STREAMS,
        "threads": clip.threads,
    }
    video = clip.media.video
    if video is not None and video.coded_rate:
        options["framerate"] = video.coded_rate
    if clip.media.by_fragments:
        options |= _BY_FRAGMENTS
    if decode:
        options["max_pixels"] = clip.pixels
        # A new size in mid-stream must not restart the clock and the palette; the
        # scale filter takes any size.
        options["reinit_filter"] = 0
    if clip.media.container == "jpeg_pipe" and clip.is_photo:
        # FFmpeg reads such a file as one packet and decodes its first picture.
        options |= {"f": "image2", "pattern_type": "none"}
        options["format_whitelist"] = "image2"
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
    """Return the clip's video stream (or ``stream``) as an ffmpeg-python stream.

    ``start`` seeks before decoding (accurately, unless ``options`` say otherwise),
    ``length`` limits what is read, both in seconds; further ``options`` precede ``-i``
    too. The frames carry times of the clip's timeline, in microseconds, also in a file
    that cannot be sought and is decoded from its start.
    """
    words, start = input_options(clip), start or 0.0
    accurate = "noaccurate_seek" not in options
    since = _sought(clip, start, accurate=accurate)
    if since:
        words["ss"] = number(since)
    if length is not None and clip.video.first_field:
        length += 0.5 * clip.frame_seconds  # for the last frame's second field
    if length is not None:
        words["t"] = number(start + length - since)
    words |= _timing(clip)
    if "bsf:v" in words and "bsf:v" in options:
        options["bsf:v"] = f"{words['bsf:v']},{options['bsf:v']}"
    opened = ffmpeg.input(f"file:{clip.path}", **{**words, **options})
    frames = _picture(opened, clip.video) if stream is None else opened[str(stream)]
    if clip.video.first_field:
        frames = _woven(frames, clip.video.first_field, alone="skip_frame" in options)
    frames = _on_timeline(clip, frames)
    if start > since and (accurate or not clip.seekable):
        return frames.filter("trim", start=number(start))
    if not since and clip.video.start_time < 0:
        # Of the frames before 0, keep only one that may still be on screen at 0.
        least = number(-_ON_SCREEN * clip.frame_seconds)
        return frames.filter("trim", start=least)
    return frames


def _sought(clip: Clip, start: float, *, accurate: bool) -> float:
    """Return where to seek for a time, 0 for nowhere.

    FFmpeg seeks to a little before the requested time, and in an AVI a seek to before
    the start leads to the wrong place. So frames near the start are decoded from there.
    """
    if start <= 0 or not clip.seekable:
        return 0.0
    astray = accurate or clip.media.container == "avi"
    return 0.0 if astray and start <= _LEAST_SEEK else start


def _timing(clip: Clip) -> dict[str, str]:
    """Return the options that give packets presentation times, as in the probe.

    AVI has none, the H.264 of some MXF has wrong ones, and a program stream omits some.
    If at most one reference frame is held back, they follow from the decoding order
    (``genpts``). For H.264 and HEVC a filter reads them from the slices.
    """
    if clip.video.codec not in _REORDERED:
        return {"fflags": "+genpts"}
    untimed = clip.media.container in _UNTIMED
    return {"bsf:v": "dts2pts"} if untimed else {}


def _on_timeline(clip: Clip, frames: Any) -> Any:
    """Convert the file's timestamps to microseconds of the clip's timeline."""
    zero = round(clip.video.zero * _MICROSECONDS)
    frames = frames.filter("settb", "AVTB")
    return frames.filter("setpts", f"PTS{-zero:+d}") if zero else frames


def _picture(opened: Any, video: VideoInfo) -> Any:
    """Return the stream of whole pictures, assembled from tiles and alpha."""
    frames = opened[str(video.index)]
    if video.codec == "mjpeg" and video.pixel_format in _INKED:
        frames = _lifted(frames, video.pixel_format)
    if video.mosaic is not None:
        frames = _stacked(opened, video.mosaic)
    if video.alpha_mosaic is None:
        return frames
    alpha = _stacked(opened, video.alpha_mosaic)
    alpha = alpha.filter(
        "scale", video.coded_width, video.coded_height, out_range="full"
    )
    return ffmpeg.filter([frames, alpha.filter("format", "gray")], "alphamerge")


def _lifted(frames: Any, pixels: str) -> Any:
    bands = "rgb" if _INKED[pixels] == "lutrgb" else "y"
    return frames.filter(_INKED[pixels], **dict.fromkeys(bands, _LIFTED))


def _woven(fields: Any, first: str, *, alone: bool) -> Any:
    """Weave two fields into one frame, starting with the first field of a pair.

    ``alone`` means that fields are missing. Then each upper field (or lower one, if it
    is ``first``) is doubled to a frame.
    """
    kind = "TOPFIRST" if first == "top" else "BOTTOMFIRST"
    begins = f"eq(interlace_type,{kind})"
    if alone:
        frames = fields.filter("select", begins)
        return frames.filter("scale", "iw", "2*ih", flags="neighbor")
    fields = fields.filter("select", f"if(isnan(prev_selected_t),{begins},1)")
    # "weave" stamps a frame with its second field's time, in ticks twice as long.
    fields = fields.filter("settb", "AVTB")
    fields = fields.filter("setpts", "if(mod(N,2),PREV_INPTS,PTS)")
    return fields.filter("weave", first_field=first)


def _stacked(opened: Any, mosaic: Mosaic) -> Any:
    tiles = [opened[str(tile.stream)] for tile in mosaic.tiles]
    frames = tiles[0]
    if len(tiles) > 1:
        layout = "|".join(f"{tile.x}_{tile.y}" for tile in mosaic.tiles)
        frames = ffmpeg.filter(
            tiles, "xstack", inputs=len(tiles), layout=layout, fill="black"
        )
        # Pictures may leave the right and lower edge of their canvas empty.
        across, down = mosaic.x + mosaic.width, mosaic.y + mosaic.height
        frames = frames.filter("pad", f"max(iw,{across})", f"max(ih,{down})")
    return frames.filter("crop", mosaic.width, mosaic.height, mosaic.x, mosaic.y)


def number(value: float) -> str:
    """Return a number as FFmpeg reads it: microseconds, no exponent."""
    return f"{value:.6f}".rstrip("0").rstrip(".") or "0"


def argv(*outputs: Any) -> tuple[str, ...]:
    """Return the words after the program's name for ffmpeg-python outputs."""
    node = outputs[0] if len(outputs) == 1 else ffmpeg.merge_outputs(*outputs)
    words: Sequence[str] = ffmpeg.compile(node, cmd="ffmpeg")
    return tuple(words[1:])
