"""Probe a file: turn the facts that a child process reads into a MediaInfo.

The child is :mod:`worker.media.probe.child`. :func:`media_info` is pure: it turns facts
into a MediaInfo, or raises the MediaError that says what is wrong with the file.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from common.errors import (
    DecodeError,
    DiskFull,
    Encrypted,
    InternalError,
    TooLarge,
    TooLong,
    TooManyPixels,
    UnsupportedFormat,
)
from common.model import AudioInfo, Colour, MediaInfo, VideoInfo
from common.settings.load import Settings
from worker.media import warning_codes
from worker.media.ffmpeg import binary, process
from worker.media.ffmpeg.formats import ANIMATED_WEBP, FORMATS
from worker.media.probe import (
    colour,
    decoded,
    description,
    geometry,
    isobmff,
    mosaics,
    outline,
    tiff,
)
from worker.media.probe.sniff import Sniffed, sniff
from worker.media.source_file import SourceFile

# By name: this process does not need PyAV.
_CHILD = "worker.media.probe.child"
_CAPTURE = 16 * 1024 * 1024
_SCAN_BYTES = 24 * 1024 * 1024
_SCAN_SECONDS = 3.0
_CHAINED = 1.2
_CUT_SECONDS = 0.25
_SLIDE_SECONDS = 60.0
_LONGEST_SANE = 100 * 366 * 86_400.0
# Streams without times, and those whose rate FFmpeg does not read itself.
_UNTIMED = ("h263", "m4v", "mjpeg", "mpegvideo", "obu", "vc1", "cavsvideo")
_RATED = ("h264", "hevc", "vvc")
_WEBP, _MILLISECOND = "webp_pipe", 0.001
# The facts of a frame with unknown colours and orientation.
_PLAIN_FRAME: dict[str, Any] = {
    "bits": 8,
    "interlaced": False,
    "range": 0,
    "space": 0,
    "primaries": 0,
    "transfer": 0,
    "matrix": None,
    "rotation": 0,
    "side_data": [],
}
_ENCRYPTED_TAGS = {"encv", "drmi", "enca"}


def probe(
    source: SourceFile,
    settings: Settings,
    should_stop: Callable[[], bool] = lambda: False,
) -> MediaInfo:
    """Return what a file holds, in at most ``engine.probe_seconds``.

    Raises UnsupportedFormat, DecodeError, Encrypted, TooLarge, TooLong, TooManyPixels,
    Timeout, ResourceLimit, or what ``source.ensure`` raises. For a file without a video
    stream, ``video`` of the result is None; the spec decides what that means.
    """
    head = sniff(source)
    if head.size > settings.limits.source_bytes:
        raise TooLarge(
            f"the source has {head.size} bytes; "
            f"the limit is {settings.limits.source_bytes}",
            hint="send a smaller file; the setting is FRAMEMILL_LIMITS_SOURCE_BYTES",
        )
    if not head.size:
        raise UnsupportedFormat(
            "the file is empty", hint="upload the whole video file again"
        )
    _check_head(head, settings)
    facts = _read(source, settings, should_stop)
    videos = facts.get("videos", [])
    if facts.get("container", "").startswith("mov") and len(videos) > 1:
        facts["videos"] = mosaics.join(videos, isobmff.read(source))
    _note_outline(source, facts)
    if facts.get("container") == "tiff_pipe":
        turned = {"matrix": tiff.matrix(source)}
        for video in videos:
            video["frames"] = [one | turned for one in video["frames"]]
    _decode(source, facts, settings, should_stop)
    return media_info(head, facts, settings)


def _note_outline(source: SourceFile, facts: dict[str, Any]) -> None:
    """Add to the facts that the file was cut off, and what a second file changes."""
    found = outline.read(source, facts.get("samples_end", 0))
    facts["cut_off"] = found.cut_off
    second = found.second_file
    if second == "hidden":
        facts["changes"] = True
    elif second == "restarts" or (second == "read" and not facts.get("complete")):
        # The clock restarts in a part that was not read.
        facts["videos"] = [one | {"jumps": 1} for one in facts.get("videos", [])]


def _read(
    source: SourceFile, settings: Settings, should_stop: Callable[[], bool]
) -> dict[str, Any]:
    options = {
        "formats": FORMATS,
        "pixels": settings.limits.source_pixels,
        "scan_bytes": _SCAN_BYTES,
        "scan_seconds": _SCAN_SECONDS,
    }
    # The name must not matter: FFmpeg guesses formats from extensions.
    with tempfile.TemporaryDirectory(prefix="probe-") as folder:
        link = Path(folder) / "source"
        link.symlink_to(source.path.resolve())
        done = process.run(
            process.Main(_CHILD, [str(link), json.dumps(options)]),
            cwd=Path(folder),
            bounds=binary.probe_bounds(settings, _CAPTURE),
            should_stop=should_stop,
            source=source,
        )
    if done.returncode == 0:
        facts: dict[str, Any] = json.loads(done.stdout)
        return facts
    if done.returncode < 0 or "MemoryError" in done.log:
        raise DecodeError("the file crashed the probe: it is corrupt or malicious")
    if "No space left" in done.log:
        raise DiskFull("no space left on the disk while probing the file")
    raise InternalError(f"the probe failed: {done.log.strip()[-300:]}")


def media_info(head: Sniffed, facts: dict[str, Any], settings: Settings) -> MediaInfo:
    """Return the MediaInfo that the child's facts describe, or raise what is wrong."""
    _check_opened(head, facts)
    videos = [video for video in facts["videos"] if video.get("width") is not None]
    warnings = [warning_codes.CUT_OFF] if facts.get("cut_off") else []
    chosen = _choose(videos, facts, head, settings)
    video = None if chosen is None else _video(chosen, facts, warnings)
    undecodable = facts.get("undecodable", [])
    if chosen and any(one["default"] for one in undecodable):
        warnings.append(warning_codes.OTHER_TRACK)
    duration = _duration(video, facts, warnings)
    limit = settings.limits.source_seconds
    if video is not None and duration is not None and duration > limit:
        _check_length(duration, chosen or {}, limit)
    return MediaInfo(
        container=facts["container"],
        duration=duration,
        size=head.size,
        bit_rate=facts["bit_rate"],
        video=video,
        audio=_audio(facts),
        artwork=facts["artwork"],
        undecodable=[
            description.codec_name(facts["description"], one["index"])
            for one in undecodable
        ],
        streams=facts["streams"],
        by_fragments=facts.get("by_fragments", False),
        warnings=warnings,
    )


def _too_many_pixels(width: int, height: int, settings: Settings) -> TooManyPixels:
    return TooManyPixels(
        f"the video is {width}x{height} pixels; "
        f"the limit is {settings.limits.source_pixels} pixels",
        hint="send a smaller video; the setting is FRAMEMILL_LIMITS_SOURCE_PIXELS",
    )


def _check_head(head: Sniffed, settings: Settings) -> None:
    if head.text:
        raise UnsupportedFormat(
            f"the file is {head.text}, not a video",
            hint="send the video file itself",
        )
    if head.pixels:
        width, height = head.pixels
        if width * height > settings.limits.source_pixels:
            raise _too_many_pixels(width, height, settings)


def _check_opened(head: Sniffed, facts: dict[str, Any]) -> None:
    if "refused" not in facts:
        return
    if head.protected:
        raise Encrypted("the file is encrypted (DRM)", hint="send an unencrypted copy")
    if head.media:
        raise DecodeError(
            f"the file is damaged or incomplete: {facts['refused']}",
            hint="upload the whole file again; an MP4 needs its index (moov)",
        )
    raise UnsupportedFormat(
        "the file is not in a supported video format",
        hint="send MP4, MOV, MKV, WebM, AVI, TS, MPEG, FLV, WMV, OGG, MXF or GIF",
    )


def _rank(
    video: dict[str, Any], facts: dict[str, Any], longest: float
) -> tuple[Any, ...]:
    """Return the sort key of a candidate for the film.

    A moving stream of nearly full length comes before others, then a default one, the
    largest and the first. A track of MP4 and MOV that is not enabled (ISO/IEC 14496-12,
    tkhd) is not a default, and neither is one of Matroska whose FlagDefault is 0.
    """
    frame = video["frames"][0]
    pixels = frame["width"] * frame["height"]
    length = _length(video, facts) or 0.0
    still = video["packets"] == 1 or video["declared_frames"] == 1
    whole = length >= longest * 0.2 and not still
    return (whole, video["default"], pixels, -video["index"])


def _length(video: dict[str, Any], facts: dict[str, Any]) -> float | None:
    """Return how long the stream's frames are shown, in seconds."""
    step = 1 / video["fps"] if video["fps"] else 0.0
    counted = video["packets"] * step
    if video["first"] is None or video["end"] is None:
        # A raw stream has no times: FFmpeg spaces its frames at that rate.
        return _sane(video["duration"] or (facts["complete"] and counted))
    length = float(video["end"] - video["first"])
    if facts["container"] == "ogg" and counted > _CHAINED * length:
        # Chained streams, each with a clock that starts at 0.
        return float(counted)
    # After a clock jump, the length of the last frame may be any number.
    declared = (facts["duration"] or 0.0) + facts["start"] - video["first"]
    shown = float(video["last"] - video["first"])
    lies = length - shown > 2 * step and shown < declared < length
    return float(declared) if lies else length


def _rounded(seconds: float | None) -> float | None:
    """Return what is stated of a length: microseconds, without the noise of sums."""
    return None if seconds is None else round(seconds, 6)


def _sane(seconds: float | None) -> float | None:
    if seconds is None or not math.isfinite(seconds) or seconds <= 0:
        return None
    return seconds if seconds <= _LONGEST_SANE else None


def _choose(
    videos: list[dict[str, Any]],
    facts: dict[str, Any],
    head: Sniffed,
    settings: Settings,
) -> dict[str, Any] | None:
    """Return the film among the video streams; None if there is none."""
    if not videos:
        return None
    for video in videos:
        if video["tag"] in _ENCRYPTED_TAGS:
            raise Encrypted(
                "the video stream is encrypted (DRM)", hint="send an unencrypted copy"
            )
    longest = max((_length(video, facts) or 0.0 for video in videos), default=0.0)
    shown = [video for video in videos if video["frames"]]
    ranked = sorted(shown, key=lambda v: _rank(v, facts, longest), reverse=True)
    if ranked and not head.protected:
        canvas = ranked[0].get("mosaic")
        if (
            canvas
            and canvas["width"] * canvas["height"] > settings.limits.source_pixels
        ):
            raise _too_many_pixels(canvas["width"], canvas["height"], settings)
        return ranked[0]
    return _undecoded(videos, facts, head, settings)


def _undecoded(
    videos: list[dict[str, Any]],
    facts: dict[str, Any],
    head: Sniffed,
    settings: Settings,
) -> dict[str, Any] | None:
    """Raise why no stream gave a frame; return None if another may be the film."""
    for video in videos:
        if video["width"] * video["height"] > settings.limits.source_pixels:
            raise _too_many_pixels(video["width"], video["height"], settings)
    if head.protected:
        raise Encrypted(
            "the video stream is encrypted (DRM)", hint="send an unencrypted copy"
        )
    if facts.get("undecodable"):
        return None
    if not any(video["packets"] for video in videos):
        raise DecodeError("the video stream has no frames")
    raise DecodeError("no frame of the video stream could be decoded")


def _decode(
    source: SourceFile,
    facts: dict[str, Any],
    settings: Settings,
    should_stop: Callable[[], bool],
) -> None:
    """Correct the facts of streams that PyAV decodes differently from FFmpeg."""
    for video in facts.get("videos", []):
        fields = _is_of_fields(video)
        if (video.get("layered") and video["frames"]) or fields:
            seen = decoded.decode(source, video["index"], settings, should_stop)
            if seen.frame is not None:
                video["frames"] = [one | seen.frame for one in video["frames"]]
            if fields:
                video.update(_woven(video))
        elif facts["container"] == _WEBP and not video.get("frames"):
            seen = decoded.decode(source, 0, settings, should_stop, whole=True)
            if seen.frame is not None and seen.packets:
                facts["container"], facts["complete"] = ANIMATED_WEBP, True
                facts["duration"] = sum(seen.packets[-1])
                video.update(_animation(seen.frame, seen.packets))


def _is_of_fields(video: dict[str, Any]) -> bool:
    """Return True if every picture of a stream is one field.

    FFmpeg's HEVC decoder marks pictures as interlaced only for this (pic_struct 1, 2
    and 9 to 12 of ITU-T H.265, D.3.3). It joins the fields of H.264 and MPEG-2 itself.
    """
    frames = video.get("frames") or [{"interlaced": False}]
    return bool(video.get("codec") == "hevc" and frames[0]["interlaced"])


def _woven(video: dict[str, Any]) -> dict[str, Any]:
    """Return the facts of the frames that pairs of fields form."""
    frames = [one | {"height": 2 * one["height"]} for one in video["frames"]]
    counted = ("packets", "timed", "declared_frames")
    return {
        "frames": frames,
        "fps": video["fps"] / 2,
        "gap": 2 * video["gap"],
        **{name: math.ceil(video[name] / 2) for name in counted},
    }


def _animation(
    frame: dict[str, Any], packets: list[tuple[float, float]]
) -> dict[str, Any]:
    """Return the facts of an animated picture from its first frame and all times."""
    starts = [start for start, _ in packets]
    first, last, end = starts[0], starts[-1], sum(packets[-1])
    return {
        "width": frame["width"],
        "height": frame["height"],
        "frames": [_PLAIN_FRAME | frame],
        "failures": 0,
        "fps": len(packets) / (end - first) if end > first else 0,
        "tick": _MILLISECOND,
        "packets": len(packets),
        "timed": len(packets),
        "first": first,
        "due": first,
        "last": last,
        "end": end,
        "gap": max((b - a for a, b in pairwise(starts)), default=0.0),
        "key_gap": last - first,
    }


def _since_zero(stamp: float | None, facts: dict[str, Any]) -> float:
    """Return a timestamp as seconds after the container's start."""
    return 0.0 if stamp is None else round(stamp - facts["start"], 6) + 0.0


def _clock_warnings(
    video: dict[str, Any], facts: dict[str, Any], warnings: list[str]
) -> None:
    if video["first"] is not None and video["first"] - video["due"] > _CUT_SECONDS:
        warnings.append(warning_codes.BEGIN_CUT)
    if _is_rate_guessed(video, facts):
        warnings.append(warning_codes.FPS_GUESSED)
    if video.get("jumps"):
        warnings.append(warning_codes.CLOCK_JUMPS)
    if facts.get("changes") or _goes_on(video, facts):
        warnings.append(warning_codes.STREAM_CHANGES)


def _goes_on(video: dict[str, Any], facts: dict[str, Any]) -> bool:
    """Return True if another video stream shows what comes before or after."""
    if not facts["container"].startswith("mpegts") or video["end"] is None:
        return False
    others = (one for one in facts["videos"] if one["index"] != video["index"])
    known = [one for one in others if None not in (one["first"], one["end"])]
    return any(
        one["first"] > video["end"] - _CUT_SECONDS
        or one["end"] < video["first"] + _CUT_SECONDS
        for one in known
    )


def _video(
    video: dict[str, Any], facts: dict[str, Any], warnings: list[str]
) -> VideoInfo:
    frame = video["frames"][0]
    text = facts.get("description", "")
    shape = geometry.read_shape(video, text, warnings)
    counted = video["packets"] if facts["complete"] else video["declared_frames"]
    start, due = (_since_zero(video[when], facts) for when in ("first", "due"))
    profile = description.dolby_profile(text, video["index"])
    names, hdr = colour.describe(frame, video["tag"], profile)
    if names["matrix"] == colour.NO_BASE_LAYER:
        warnings.append(warning_codes.NO_BASE_LAYER)
    _clock_warnings(video, facts, warnings)
    if video["failures"]:
        warnings.append(warning_codes.DAMAGED)
    if not video.get("seekable", True):
        warnings.append(warning_codes.SEEK_UNRELIABLE)
    return VideoInfo(
        index=video["index"],
        codec=video["codec"].removeprefix("lib"),
        profile=video.get("profile"),
        coded_width=frame["width"],
        coded_height=frame["height"],
        width=shape.width,
        height=shape.height,
        sample_aspect_ratio=f"{shape.aspect[0]}:{shape.aspect[1]}",
        rotation=shape.rotation,
        mirrored=shape.mirrored,
        fps=round(video["fps"], 4) or None,
        coded_rate=video["coded_rate"] if facts["container"] in _RATED else None,
        frames=counted or None,
        duration=_rounded(_length(video, facts)),
        start_time=start,
        stream_start=max(0.0, due),
        zero=round(facts["start"], 6),
        tick=video.get("tick"),
        longest_frame=video.get("gap") or None,
        keyframe_interval=video.get("key_gap"),
        pixel_format=frame["pixel_format"],
        bit_depth=frame["bits"],
        alpha=_has_alpha(video),
        interlaced=any(one["interlaced"] for one in video["frames"]),
        hdr=hdr,
        colour=Colour(**names),
        bitstream_pts=bool(video.get("timed")) and not video.get("counted"),
        first_field=frame.get("field") if _is_of_fields(video) else None,
        mosaic=video.get("mosaic"),
        alpha_mosaic=video.get("alpha_mosaic"),
    )


def _is_rate_guessed(video: dict[str, Any], facts: dict[str, Any]) -> bool:
    """Return True if the file states neither times nor a frame rate."""
    container = facts["container"]
    untimed = container in (*_UNTIMED, *_RATED) or container.endswith("_pipe")
    return untimed and video["packets"] > 1 and not video["coded_rate"]


def _has_alpha(video: dict[str, Any]) -> bool:
    """Return True if a stream has transparency, in its frames or beside them."""
    frame = video["frames"][0]
    return bool(frame["alpha"] or video["alpha_mode"] or video.get("alpha_mosaic"))


def _duration(
    video: VideoInfo | None, facts: dict[str, Any], warnings: list[str]
) -> float | None:
    """Return the best known end of the video on the container's clock, seconds."""
    declared = _rounded(_sane(facts["duration"]))
    if video is None:
        return declared
    known = None
    if video.duration is not None and video.duration > 0:
        known = video.start_time + video.duration
    if known is None:
        warnings.append(warning_codes.DURATION_UNKNOWN)
        return None
    known = round(known, 6)
    if declared is None:
        return known  # an APNG, a raw stream or a still states no duration
    if abs(declared - known) > max(1.0, 0.1 * known):
        audio = max((a["duration"] or 0.0 for a in facts["audios"]), default=0.0)
        if abs(audio - declared) > 1.0:
            warnings.append(warning_codes.DURATION_CORRECTED)
    return known


def _check_length(duration: float, video: dict[str, Any], limit: float) -> None:
    """Raise TooLong if a film is over the limit.

    The cost grows with frames, not hours: a day at one frame in ten seconds is allowed.
    But a duration that exceeds the limit by over a minute a frame is only claimed, and
    is refused.
    """
    frames = video.get("packets", 0)
    filled = duration <= limit + frames * _SLIDE_SECONDS
    if frames and video["timed"] == frames and frames <= limit and filled:
        return
    raise TooLong(
        f"the video lasts {duration:.0f} seconds; the limit is {limit:.0f}",
        hint="send a shorter video; the setting is FRAMEMILL_LIMITS_SOURCE_SECONDS",
    )


def _audio(facts: dict[str, Any]) -> AudioInfo | None:
    for audio in facts["audios"]:
        if audio["codec"]:
            return AudioInfo(
                index=audio["index"],
                codec=audio["codec"],
                channels=audio.get("channels"),
                sample_rate=audio.get("rate"),
                duration=_sane(audio["duration"]),
            )
    return None
