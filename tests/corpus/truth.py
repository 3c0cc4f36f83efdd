"""What a clip really holds, by one plain decode from its start.

It shares nothing with the recipes: no seek, no filter graph of theirs, FFmpeg's own
rotation, one thread (with more, a damaged frame looks different each time).
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
from PIL import Image

from common.model import MediaInfo
from tests.corpus.measures import is_blank, on_black
from worker.media.ffmpeg.formats import FORMATS

_TINY = (32, 32)
_SECONDS = 600
_DRAWS = 6
_EXACT = 0.0015
_HD_LINES = 720
_FRAME = re.compile(
    r"\] n: *\d+ pts: *\S+ pts_time: *(\S+) +duration: *\S+ duration_time: *(\S+)"
)
# FFmpeg passes the headers of a second Theora stream in an Ogg file to the decoder,
# which complains about the comments. Lines of other threads may stand in between. Amid
# a line that a filter writes bit by bit, the decoder's name is left out.
_PASSED = "Header packet passed to frame decoder"
_REFUSED = "Error submitting packet to decoder"
_HEADERS = (b"\x80theora", b"\x81theora", b"\x82theora")
_LOST = re.compile(
    rf"{_REFUSED}|error while decoding|concealing|"
    r"corrupt decoded frame|Invalid NAL unit|missing picture"
)
# In these, FFmpeg's clock starts at the first packet of the streams that are used.
_JUMPING = ("mpegts", "mpeg", "ogg")
# FFmpeg's own VP8 and VP9 decoders leave the alpha plane out.
_CLEAR = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
_RAW = ("-fps_mode", "passthrough", "-f", "rawvideo")
# HDR at full size: white at 203 nits (ITU-R BT.2408), then rolled off.
_TONE = (
    "zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt709,"
    "tonemap=mobius:param=0.5:desat=0,zscale=t=iec61966-2-1:m=bt709:r=tv,"
    "format=yuv444p"
)


@dataclass(frozen=True)
class Wanted:
    """Frames by number, at one size in pixels."""

    numbers: tuple[int, ...]
    size: tuple[int, int]


class Truth:
    """The frames of a clip: when each is shown, and what it looks like.

    ``times`` are seconds on the clip's clock, in the order of decoding; ``end`` is
    when the last is gone. ``lost`` says that FFmpeg complained.
    """

    def __init__(self, file: Path, media: MediaInfo, ffmpeg: str) -> None:
        assert media.video is not None
        self._file, self._video, self._ffmpeg = file, media.video, ffmpeg
        zero = self._video.stream_start or 0.0
        if media.container not in _JUMPING:
            zero = 0.0
        # The copy with one clock that was probed holds the pictures alone.
        self._stream = "v:0" if media.rewritten else str(self._video.index)
        self._pixels = ("rgba", "RGBA") if self._video.alpha else ("rgb24", "RGB")
        size = f"scale={_TINY[0]}:{_TINY[1]}:flags=area,format={self._pixels[0]}"
        chain = f"[0:{self._stream}]showinfo=checksum=0,{size}"
        done = self._run("info", chain, [*_RAW, "pipe:1"])
        log = done.stderr.decode("utf-8", "replace")
        found = [(_number(a), _number(b)) for a, b in _FRAME.findall(log)]
        self.times = [zero + at for at, _ in found]
        self.lost = self._has_losses(log, media)
        tiny = _cut(done.stdout, self._pixels[1], _TINY)[: len(found)]
        self.tiny = [on_black(one) for one in tiny]
        self.begin = min(self.times, default=0.0)
        self.end = max((zero + at + self._shown(n) for at, n in found), default=0.0)

    def _has_losses(self, log: str, media: MediaInfo) -> bool:
        """Return whether FFmpeg complained of more than the headers of a chained Ogg.

        Headers are no frames that could be lost, if there is a frame for each other
        packet.
        """
        found = _LOST.findall(log)
        headers = [_REFUSED] * log.count(_PASSED)
        if found and found == headers and media.container == "ogg":
            return self._packets(media) != len(self.times)
        return bool(found)

    def _packets(self, media: MediaInfo) -> int:
        """Count the packets of a Theora stream that are no headers."""
        with av.open(str(self._file)) as container:
            streams = container.streams
            index = self._video.index
            stream = streams.video[0] if media.rewritten else streams[index]
            packets = (bytes(one) for one in container.demux(stream) if one.size)
            return sum(not one.startswith(_HEADERS) for one in packets)

    def _shown(self, duration: float) -> float:
        return duration or 1 / (self._video.fps or 25)

    def others(self, number: int, size: tuple[int, int]) -> list[Image.Image]:
        """Decode a frame in other plain ways: two threads, after a seek.

        Of damaged streams FFmpeg makes another picture each time: what a lost slice
        looks like depends on which frame was ready, and where decoding began. So two
        threads are tried often.
        """
        time = self.times[number]
        scale = f"scale={size[0]}:{size[1]}:flags=bicubic{self._matrix}"
        tail = f"{scale},format={self._pixels[0]}"
        found = []
        alone = [(back, 1) for back in (0.0, 0.5, 2.0)]
        drawn = [(back, 2) for back in (None, 2.0, 5.0)] * _DRAWS
        for back, threads in (*alone, *drawn):
            start = 0.0 if back is None else max(0.0, time - back - _EXACT)
            picked = (
                f"eq(n,{number})"
                if back is None
                else f"gte(t,{time - start:.6f}-{_EXACT})"
            )
            chain = f"[0:{self._stream}]select='{picked}',{tail}"
            words = ["-frames:v", "1", *_RAW, "pipe:1"]
            before = [] if back is None else ["-ss", f"{start:.6f}"]
            done = self._run("error", chain, words, threads=threads, before=before)
            found += _cut(done.stdout, self._pixels[1], size)[:1]
        return found

    def _run(
        self,
        level: str,
        chain: str,
        outputs: Sequence[str],
        *,
        threads: int = 1,
        before: Sequence[str] = (),
    ) -> subprocess.CompletedProcess[bytes]:
        video = self._video
        decoder = _CLEAR.get(video.codec) if video.alpha else None
        argv = [
            *(self._ffmpeg, "-nostdin", "-hide_banner", "-nostats", "-v", level, "-y"),
            *("-max_error_rate", "1", "-reinit_filter", "0"),
            *("-protocol_whitelist", "file,pipe", "-format_whitelist", FORMATS),
            *(("-c:v", decoder) if decoder else ()),
            *("-threads", str(threads), *before, "-i", f"file:{self._file}"),
            *("-filter_complex", chain, *outputs),
        ]
        return subprocess.run(argv, capture_output=True, check=False, timeout=_SECONDS)

    def at(self, time: float) -> list[int]:
        """Return the frames that begin at that time; several where times overlap."""
        return [n for n, one in enumerate(self.times) if abs(one - time) < _EXACT]

    def shown(self, time: float) -> int:
        """Return the frame that is on screen then; the first before all of them."""
        earlier = [n for n, one in enumerate(self.times) if one < time + _EXACT]
        return max(earlier, key=lambda n: self.times[n], default=0)

    def between(self, start: float, end: float) -> list[int]:
        """Return the frames that begin from ``start`` to ``end``."""
        return [n for n, one in enumerate(self.times) if start <= one <= end]

    def vivid(self) -> float:
        """Return the share of frames that are neither black nor flat."""
        if not self.tiny:
            return 0.0
        return sum(not is_blank(one) for one in self.tiny) / len(self.tiny)

    def different(self, times: Iterable[float]) -> int:
        """Count how many different pictures are on screen at those times."""
        return len({self.tiny[self.shown(time)].tobytes() for time in times})

    def pictures(
        self, wants: Sequence[Wanted], folder: Path
    ) -> list[dict[int, Image.Image]]:
        """Decode frames by number and scale them; one answer for each want."""
        split = "".join(f"[s{place}]" for place in range(len(wants)))
        graph = [f"[0:{self._stream}]split={len(wants)}{split}"]
        outputs: list[str] = []
        files = []
        for place, want in enumerate(wants):
            picked = "+".join(f"eq(n,{number})" for number in sorted(set(want.numbers)))
            scale = f"scale={want.size[0]}:{want.size[1]}:flags=bicubic{self._matrix}"
            tone = f"{_TONE}," if self._video.hdr else ""
            steps = f"select='{picked}',{tone}{scale},format={self._pixels[0]}"
            graph.append(f"[s{place}]{steps}[o{place}]")
            file = folder / f"truth-{place}.raw"
            files.append(file)
            count = str(len(set(want.numbers)))
            outputs += ["-map", f"[o{place}]", "-frames:v", count]
            outputs += [*_RAW, f"file:{file}"]
        self._run("error", ";".join(graph), outputs)
        answers = []
        for want, file in zip(wants, files, strict=True):
            data = file.read_bytes() if file.exists() else b""
            found = _cut(data, self._pixels[1], want.size)
            answers.append(dict(zip(sorted(set(want.numbers)), found, strict=False)))
        return answers

    @property
    def _matrix(self) -> str:
        """Read untagged HD as players do; FFmpeg alone would take BT.601."""
        video = self._video
        lines = min(video.coded_width, video.coded_height)
        untagged = video.colour.matrix is None and not video.hdr
        return ":in_color_matrix=bt709" if untagged and lines >= _HD_LINES else ""


def _number(text: str) -> float:
    return 0.0 if text in ("NOPTS", "N/A") else float(text)


def _cut(data: bytes, mode: str, size: tuple[int, int]) -> list[Image.Image]:
    each = size[0] * size[1] * len(mode)
    starts = range(0, len(data) - each + 1, each)
    return [Image.frombytes(mode, size, data[at : at + each]) for at in starts]
