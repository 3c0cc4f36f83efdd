"""Read the facts of a media file and print them as JSON, in a process of its own.

It runs inside the sandbox, because a demuxer that crashes on hostile input must not
crash the worker. The server of the sandbox imports it once, with PyAV, and then calls
:func:`main` in a new process for each file.

It reports and does not judge: :mod:`worker.media.probe.media_info` turns the facts
into a MediaInfo or an error. One pass over the packets finds, for every video stream
that could be the film, the first frames and the times of all packets. A file that is
too large for that is read at its start and, after a seek, at its end.
"""

from __future__ import annotations

import contextlib
import json
import math
import struct
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import av.logging
from av.bitstream import BitStreamFilterContext
from av.container import Flags
from av.error import FFmpegError

from worker.media.ffmpeg.formats import MAX_STREAMS
from worker.media.probe import fragments, sample_tables, transport_streams
from worker.media.probe.transport_streams import GAP, JUMP_SECONDS

_MICROSECONDS = 1_000_000
_FRAMES = 2
_RATED_FRAMES = 3
# The byte of hvcC (ISO/IEC 14496-15) with the size of NAL unit lengths.
_LENGTH_AT = 21
_HEAD = 256 * 1024
_TAIL_PACKETS = 20_000
_PATIENCE = 300
_DEFAULT = av.stream.Disposition.default
# Nobody looks at the frames, so they need not be smooth.
_UNSEEN = {"skip_loop_filter": "all"}
_UNREADABLE = (FFmpegError, LookupError, ValueError, OSError)
# Containers without presentation times, and codecs whose frames may be shown in any
# order: for these, a filter reads the times from the slices.
_UNTIMED = {"avi", "mxf"}
_REORDERED = {"h264", "hevc"}
# Containers whose clock may restart or jump in the middle of a file.
_JUMPING = {"mpegts", "mpeg", "ogg"}
# In these containers a gap is a frame that stays on screen. Times that go back reveal
# an appended second file.
_RESTARTING = "matroska,"
_REORDERING, _USUAL_SECONDS = 17, 0.04
_BACK_SECONDS = -0.1
# Raw streams: the times of packets come from counting, those of frames from decoding.
_COUNTED = {"mpegvideo", "m4v", "h263", "vc1", "cavsvideo"}
_RAW = {"h264", "hevc", "vvc", "h263", "m4v", "obu", "mjpeg", "mpegvideo", "vc1"}
# Raw streams that FFmpeg times at 25 frames a second, whatever their headers say.
_RATED = {"h264", "hevc", "vvc"}
_SLOWEST, _FASTEST = Fraction(1, 60), 1000


@dataclass(frozen=True)
class Options:
    """``formats`` and ``pixels`` limit what is opened, the others what is read.

    Files up to ``scan_bytes`` are read to their end, for at most ``scan_seconds`` of
    CPU time: the facts must not depend on how busy the machine or the storage is.
    """

    formats: str
    pixels: int
    scan_bytes: int
    scan_seconds: float


@dataclass
class Track:
    """What the packets and first frames of one video stream show."""

    stream: Any
    timing: Any = None
    frames: list[dict[str, Any]] = field(default_factory=list)
    failures: int = 0
    packets: int = 0
    stamps: list[float] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    end: float | None = None
    lasting: bool = False
    gap: float = 0.0
    group: float | None = None
    seekable: bool = True
    jumping: bool = False
    restarting: bool = False
    jumps: int = 0
    step: float = 0.0
    followed: float | None = None
    layered: bool = False
    latest: int = 0
    mapped: bool = False
    counted: bool = False

    def timed(self, packet: Any) -> list[Any]:
        """Return the packets that are ready, with the times of their frames.

        An empty packet without a time is PyAV's last. In an AVI, an empty one with a
        time means that the frame before stays on screen.
        """
        if self.timing is None:
            return [packet]
        if not packet.size and packet.dts is None:
            return [*self._in_time(self.timing.filter(None)), packet]
        return self._in_time(self.timing.filter(packet)) if packet.size else []

    def _in_time(self, packets: list[Any]) -> list[Any]:
        """Return the packets; a frame shown before it is decoded moves to the end.

        The filter (dts2pts_bsf.c) derives the times of a file's last frames from a
        group that is over: no later packet carries them.
        """
        early = [
            one
            for one in packets
            if None not in (one.pts, one.dts) and one.pts < one.dts
        ]
        stated = [
            one.pts for one in packets if one.pts is not None and one not in early
        ]
        self.latest = max([self.latest, *stated])
        for one in early:
            self.latest += max(one.duration or 0, 1)
            one.pts = self.latest
        return packets

    def forget(self) -> None:
        """Forget the clock and the packet filter, as needed after a seek."""
        self.followed = None
        if self.timing is not None:
            self.timing = _timing(self.stream)
            self.latest = 0

    def note(self, packet: Any) -> None:
        """Record the times of a packet, in seconds of the container's clock.

        For raw streams these are decoding times: FFmpeg 9.0.2 gives their presentation
        times one frame late, except for the first of MPEG-1, and shows the frames on
        time.
        """
        if packet.is_discard:
            return
        self.packets += 1
        if self.jumping and packet.dts is not None:
            self.follow(float(packet.dts * packet.time_base))
        if packet.pts is None:
            return
        if self.restarting:
            self.follow_files(packet)
        if packet.is_keyframe:
            self.keys.append(packet.pts)
        base = float(packet.time_base)
        shown = packet.dts if self.counted else packet.pts
        start, length = shown * base, (packet.duration or 0) * base
        self.stamps.append(start)
        self.lasting = self.lasting or length > 0
        self.end = start + length if self.end is None else max(self.end, start + length)

    def follow(self, now: float) -> None:
        """Count the places where the clock does not continue from the packet before."""
        step = 0.0 if self.followed is None else now - self.followed
        far = step > JUMP_SECONDS and step > GAP * self.step > 0
        if step < _BACK_SECONDS or far:
            self.jumps += 1
        elif step > 0:
            self.step = step
        self.followed = now

    def follow_files(self, packet: Any) -> None:
        """Count times that go back further than frames are ever reordered."""
        now, length = (
            float((ticks or 0) * packet.time_base)
            for ticks in (packet.pts, packet.duration)
        )
        latest = now if self.followed is None else max(self.followed, now)
        if latest - now > _REORDERING * max(length, _USUAL_SECONDS):
            self.jumps += 1
            latest = now
        self.followed = latest

    def decode(self, packet: Any) -> None:
        """Decode until the first frames are known; only count failures."""
        context = self.stream.codec_context
        self.layered = self.layered or _has_layers(packet, context)
        self.mapped = self.mapped or _has_index(packet, context)
        try:
            frames = self.stream.codec_context.decode(packet)
        except (FFmpegError, ValueError):
            self.failures += 1
            return
        for frame in frames[: _FRAMES - len(self.frames)]:
            self.frames.append(_frame_facts(frame))

    def keep_first(self) -> None:
        """Forget all pictures but the first."""
        self.frames, self.failures = self.frames[:1], 0
        self.packets, self.keys = 1, self.keys[:1]
        self.stamps, self.gap = self.stamps[:1], 0.0
        if self.stamps and self.end is not None:
            rate = self.stream.average_rate or self.stream.guessed_rate or 25
            self.end = self.stamps[0] + float(1 / rate)

    def is_photo(self) -> bool:
        """Return True if what follows the first picture of a JPEG file is part of it.

        That may be a gain map, the view of the other eye, a smaller copy (CIPA DC-007
        lists them in the first picture's header), or the film behind a motion photo.
        Pictures of one size without such a list are a film.
        """
        if self.packets <= 1 or not self.frames:
            return False
        sizes = {(one["width"], one["height"]) for one in self.frames}
        return self.mapped or len(sizes) > 1 or len(self.frames) == 1

    def first(self) -> float | None:
        """Return when the first frame that decodes is shown, in seconds.

        A file cut at an arbitrary place begins with packets that no frame can be
        decoded from.
        """
        start = min(self.stamps, default=None)
        pts = self.frames[0]["pts"] if self.frames else None
        if start is None or pts is None or self.counted:
            return start
        return max(start, float(pts * self.stream.time_base))

    def rate(self) -> float | None:
        """Return the frames per second seen; headers may state a tick rate instead."""
        if len(self.stamps) < _RATED_FRAMES:
            return None
        steps = sorted(b - a for a, b in pairwise(sorted(self.stamps)) if b > a)
        if not steps:
            return None
        # Only the head and the tail of a long file were read.
        usual = [step for step in steps if step <= GAP * steps[len(steps) // 2]]
        return len(usual) / sum(usual)

    def until(self) -> float | None:
        """Return when the last frame that was read ends; ASF states no lengths."""
        rate = self.rate()
        if self.end is None or self.lasting or not rate:
            return self.end
        return self.end + 1 / rate

    def longest(self) -> float:
        """Return the longest time between two frames that were read, in seconds."""
        stamps = sorted(self.stamps)
        return max((b - a for a, b in pairwise(stamps)), default=0.0)

    def key_gap(self) -> float | None:
        """Return the longest time from a keyframe to the next or the end, seconds."""
        if not self.keys or not self.stamps:
            return None
        base = float(self.stream.time_base)
        places = [*(key * base for key in sorted(self.keys)), max(self.stamps)]
        return max(b - a for a, b in pairwise(places))


def _tag(stream: Any, key: str) -> str | None:
    return next((v for k, v in stream.metadata.items() if k.lower() == key), None)


def _seconds(value: Any, base: Any) -> float | None:
    return None if value is None or base is None else float(value * Fraction(base))


def _bit_rate(path: Path, seconds: float) -> int | None:
    return round(8 * path.stat().st_size / seconds) if seconds > 0 else None


def _ratio(value: Any) -> list[int]:
    """Return a pixel aspect as two numbers; 1:1 if it is unset."""
    if not value or value <= 0:
        return [1, 1]
    return [value.numerator, value.denominator]


def _side_data(frame: Any) -> dict[str, Any]:
    """Return the frame's side data by type.

    PyAV 18 raises ValueError for all of it when it has no name for one type (the views
    of MV-HEVC, type 29). The result is then empty.
    """
    try:
        return {item.type.name: item for item in frame.side_data}
    except ValueError:
        return {}


def _matrix(frame: Any) -> list[int] | None:
    """Return the nine 16.16 and 2.30 fixed-point numbers of the display matrix."""
    item = _side_data(frame).get("DISPLAYMATRIX")
    return None if item is None else list(struct.unpack("=9i", bytes(item)[:36]))


def _frame_facts(frame: Any) -> dict[str, Any]:
    components = frame.format.components
    return {
        "width": frame.width,
        "height": frame.height,
        "pixel_format": frame.format.name,
        "bits": max((part.bits for part in components), default=8),
        "alpha": any(part.is_alpha for part in components)
        or frame.format.name == "pal8",
        "rgb": frame.format.is_rgb,
        "interlaced": bool(frame.interlaced_frame),
        "range": int(frame.color_range or 0),
        "space": int(frame.colorspace or 0),
        "primaries": int(getattr(frame, "color_primaries", 0) or 0),
        "transfer": int(getattr(frame, "color_trc", 0) or 0),
        "matrix": _matrix(frame),
        "rotation": int(frame.rotation),
        "side_data": sorted(_side_data(frame)),
        "pts": frame.pts,
    }


def _stream_facts(
    stream: Any, track: Track | None, ends: Mapping[int, float]
) -> dict[str, Any]:
    context = stream.codec_context
    length = _seconds(stream.duration, stream.time_base)
    if stream.index in ends:
        start = _seconds(stream.start_time, stream.time_base)
        length = ends[stream.index] - (start or 0.0)
    facts: dict[str, Any] = {
        "index": stream.index,
        "id": stream.id,
        "codec": context.codec.canonical_name if context is not None else None,
        "tag": getattr(context, "codec_tag", None),
        "duration": length,
        "default": bool(stream.disposition & _DEFAULT),
        "alpha_mode": _tag(stream, "alpha_mode") == "1",
    }
    if stream.type == "audio" and context is not None:
        facts |= {"channels": context.channels, "rate": context.sample_rate}
    if track is None or context is None:
        return facts
    return facts | {
        "profile": context.profile and str(context.profile),
        "width": context.width,
        "height": context.height,
        "aspect": _ratio(stream.sample_aspect_ratio or context.sample_aspect_ratio),
        "fps": track.rate() or float(stream.average_rate or stream.guessed_rate or 0),
        "declared_frames": stream.frames,
        "frames": track.frames,
        "failures": track.failures,
        "packets": track.packets,
        "timed": len(track.stamps),
        "first": track.first(),
        "due": min(track.stamps, default=None),
        "tick": float(stream.time_base),
        "last": max(track.stamps, default=None),
        "end": track.until(),
        "gap": track.gap,
        "key_gap": track.group,
        "seekable": track.seekable,
        "jumps": track.jumps,
        "coded_rate": _coded_rate(context),
        "layered": track.layered,
        "counted": track.counted,
    }


def _coded_rate(context: Any) -> str | None:
    """Return the frames per second in the codec's own headers, as "50/1".

    None if they state no rate, or one that no film has.
    """
    rate = context.framerate
    if not rate or not _SLOWEST <= rate <= _FASTEST:
        return None
    return f"{rate.numerator}/{rate.denominator}"


def _has_layers(packet: Any, context: Any) -> bool:
    """Return True if an HEVC packet has more than the base layer: alpha, or a view.

    The header of each NAL unit says so (ITU-T H.265, 7.3.1.2). MP4 and Matroska precede
    a unit with its length, other containers with a start code.
    """
    if context.name != "hevc":
        return False
    data, extra = bytes(packet), context.extradata or b""
    if extra[:1] == b"\x01" and len(extra) > _LENGTH_AT:
        return any(map(_layer, _lengthy(data, (extra[_LENGTH_AT] & 3) + 1)))
    return any(map(_layer, data.split(b"\0\0\1")[1:]))


def _has_index(packet: Any, context: Any) -> bool:
    """Return True if a JPEG lists more pictures in its file (CIPA DC-007)."""
    return context.name == "mjpeg" and b"MPF\0" in bytes(packet)[:_HEAD]


def _lengthy(data: bytes, wide: int) -> Iterator[bytes]:
    """Yield the headers of NAL units that are preceded by their length."""
    at = 0
    while at + wide + 2 <= len(data):
        head = at + wide
        yield data[head : head + 2]
        at = head + int.from_bytes(data[at:head], "big")


def _layer(unit: bytes) -> int:
    return (unit[0] & 1) << 5 | unit[1] >> 3 if len(unit) > 1 else 0


def _is_picture(stream: Any) -> bool:
    """Return True if a stream is an embedded picture (cover art), not a film."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _scan(
    container: Any, tracks: dict[int, Track], options: Options, *, whole: bool
) -> bool:
    """Read packets and decode first frames; return True if the end was reached."""
    until = time.process_time() + options.scan_seconds
    try:
        for read in container.demux([track.stream for track in tracks.values()]):
            track = tracks[read.stream.index]
            for packet in track.timed(read):
                if packet.size:
                    track.note(packet)
                if len(track.frames) < _FRAMES:
                    track.decode(packet)
            if not whole and all(map(_enough, tracks.values())):
                return False
            if time.process_time() > until:
                return False
    except IndexError:  # PyAV 18 raises it at the end for a stream that appeared later
        return True
    except _UNREADABLE:
        return False
    return True


def _enough(track: Track) -> bool:
    return bool(track.frames and track.keys[_FRAMES:]) or track.packets > _PATIENCE


def _read_end(container: Any, track: Track, declared: float) -> None:
    """Find where the video's packets end, by seeking towards the declared end."""
    base = track.stream.time_base
    for share in (1.0, 0.5, 0.25, 0.1, 0.03, 0.01):
        seen = track.packets
        with contextlib.suppress(*_UNREADABLE, OverflowError):
            container.seek(
                int(declared * share / base), stream=track.stream, backward=True
            )
            track.forget()
            for read in container.demux(track.stream):
                for packet in filter(lambda one: one.size, track.timed(read)):
                    track.note(packet)
                if track.packets - seen > _TAIL_PACKETS:
                    break
        if track.packets > seen:
            return


def _try_seek(container: Any, track: Track, *, complete: bool) -> bool:
    """Seek to a keyframe in the middle; return True if the first frame is one.

    Some files mark frames falsely as keyframes. Raw streams have no index: a seek
    guesses by the bit rate, and finds times that did not exist (if all were read).
    """
    keys, kind = track.keys[1:], container.format.name
    if kind in _RAW or not keys or kind.endswith("_pipe"):
        return kind not in _RAW and not keys
    wanted = keys[len(keys) // 2]
    try:
        alone = _keyframe_alone(next(_packets_from(container, track, wanted)), track)
        first = alone or _first_shown(_packets_from(container, track, wanted), track)
    except (*_UNREADABLE, StopIteration):
        return False
    if first is None:
        return True
    known = not complete or first.pts in (None, *track.keys)
    return bool(first.key_frame) and known


def _packets_from(container: Any, track: Track, time: int) -> Iterator[Any]:
    """Yield the packets from the keyframe before a time, for a decoder that starts."""
    container.seek(time, stream=track.stream, backward=True)
    track.stream.codec_context.flush_buffers()
    track.forget()
    for read in container.demux(track.stream):
        yield from track.timed(read)


def _keyframe_alone(packet: Any, track: Track) -> Any:
    """Return the keyframe in a packet, decoded without what follows, else None."""
    context = track.stream.codec_context
    try:
        frames = [*context.decode(packet), *context.decode(None)]
    except _UNREADABLE:
        return None
    if len(frames) != 1 or frames[0].pts != packet.pts or not frames[0].key_frame:
        return None
    return frames[0]


def _first_shown(packets: Iterator[Any], track: Track) -> Any:
    """Return the first frame from a keyframe on; None if none comes for long."""
    begin: int | None = None
    for read, packet in enumerate(packets):
        begin = packet.pts if begin is None else begin
        shown = track.stream.codec_context.decode(packet)
        if first := next((one for one in shown if not _leads(one, begin)), None):
            return first
        if read > _PATIENCE:
            return None
    return None


def _leads(frame: Any, keyframe: int | None) -> bool:
    """Return True if a frame is shown before the keyframe that was read first.

    Such frames (RADL pictures of HEVC) follow the keyframe in the file.
    """
    return keyframe is not None and frame.pts is not None and frame.pts < keyframe


def _open(path: Path, options: Options) -> tuple[Any, bool]:
    """Open a file; a raw stream at the rate in its headers.

    Also returns whether it was opened by an index of fragments.
    """
    if path.stat().st_size > options.scan_bytes and fragments.are_listed(path):
        return _open_at(path, options, **fragments.BY_INDEX), True
    container = _open_at(path, options)
    if container.format.name not in _RATED:
        return container, False
    rate = _coded_rate(container.streams.video[0].codec_context)
    if rate is None:
        return container, False
    container.close()
    return _open_at(path, options, framerate=rate), False


def _open_at(path: Path, options: Options, **more: str) -> Any:
    return av.open(
        f"file:{path}",
        options={
            "protocol_whitelist": "file",
            "format_whitelist": options.formats,
            "max_pixels": str(options.pixels),
            "max_streams": str(MAX_STREAMS),
            "threads": "1",
            **_UNSEEN,
            **_undecoded(path),
            **more,
        },
    )


def _undecoded(path: Path) -> dict[str, str]:
    """Return the options by which FFmpeg opens an MP4 without decoding any frame.

    An MP4 states both times of each frame. In other containers FFmpeg (of PyAV 18.1)
    derives one of them, and the start of a stream, from the frames that it decodes.
    """
    with path.open("rb") as file:
        return {"skip_frame": "all"} if file.read(8)[4:] == b"ftyp" else {}


def _tracks(container: Any, options: Options) -> dict[int, Track]:
    tracks = {}
    for stream in container.streams.video:
        if _is_picture(stream) or stream.codec_context is None:
            continue
        context = stream.codec_context
        context.skip_frame = "DEFAULT"
        context.options = {"max_pixels": str(options.pixels), **_UNSEEN}
        context.thread_count = 1
        reordered = context.codec.canonical_name in _REORDERED
        if reordered:
            container.flags &= ~Flags.gen_pts.value
        untimed = reordered and container.format.name in _UNTIMED
        tracks[stream.index] = Track(
            stream,
            _timing(stream) if untimed else None,
            jumping=container.format.name in _JUMPING,
            restarting=container.format.name.startswith(_RESTARTING),
            counted=container.format.name in _COUNTED,
        )
    return tracks


def _timing(stream: Any) -> Any:
    return BitStreamFilterContext("dts2pts", stream)


def _body(
    container: Any, path: Path, options: Options, *, indexed: bool
) -> dict[str, Any]:
    tracks = _tracks(container, options)
    whole = path.stat().st_size <= options.scan_bytes
    start = (container.start_time or 0) / _MICROSECONDS
    changes = container.format.name == "mpegts" and transport_streams.new_videos(
        container, path
    )
    complete = bool(tracks) and _scan(container, tracks, options, whole=whole)
    ends = fragments.ends(container) if indexed else {}
    declared = (container.duration or 0) / _MICROSECONDS
    if ends:
        declared = max(ends.values()) - start
    tables = sample_tables.read_agreeing(container, path)
    for track in tracks.values():
        if container.format.name == "jpeg_pipe" and track.is_photo():
            track.keep_first()
        track.gap, track.group = track.longest(), track.key_gap()
        if not complete and track.frames and declared > 0:
            _read_end(container, track, declared + start)
        track.gap = max(track.gap, sample_tables.longest_gap(track.stream, tables))
        if track.frames:
            track.seekable = _try_seek(container, track, complete=complete)
        if track.jumping and not whole and container.format.name != "ogg":
            track.jumps += transport_streams.sampled_jumps(path)
    streams = list(container.streams)
    return {
        "container": container.format.name,
        "start": start,
        "duration": declared or None,
        "bit_rate": _bit_rate(path, declared) if ends else container.bit_rate or None,
        "complete": complete,
        "changes": bool(changes),
        "samples_end": sample_tables.samples_end(container, tables),
        "streams": len(streams),
        "description": container.dumps_format(),
        "videos": [_stream_facts(t.stream, t, ends) for t in tracks.values()],
        "audios": [_stream_facts(s, None, ends) for s in streams if s.type == "audio"],
        "artwork": [s.index for s in streams if s.type == "video" and _is_picture(s)],
        "undecodable": [
            {"index": s.index, "default": bool(s.disposition & _DEFAULT)}
            for s in streams
            if s.type == "video" and s.codec_context is None and not _is_picture(s)
        ],
    }


def read(path: Path, options: Options) -> dict[str, Any]:
    """Return all facts of the file; ``refused`` says why it could not be opened."""
    try:
        container, indexed = _open(path, options)
        with container:
            facts = _body(container, path, options, indexed=indexed)
            return facts | {"by_fragments": indexed}
    except (FFmpegError, ValueError, OSError) as error:
        return {"refused": getattr(error, "strerror", None) or str(error)}


def _finite(value: Any) -> Any:
    """Replace NaN and infinity, which JSON does not have, with None."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def main(words: Sequence[str]) -> None:
    """Print the facts of the file ``words[0]``; ``words[1]`` is an Options as JSON."""
    options = Options(**json.loads(words[1]))
    # FFmpeg's description of a file is a log message of this level.
    av.logging.set_level(av.logging.INFO)
    json.dump(_finite(read(Path(words[0]), options)), sys.stdout)
