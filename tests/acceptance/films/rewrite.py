"""What is done to an encoded file to make a film of it.

Each function reads `source` and writes `target`. What FFmpeg cannot write is written
here byte by byte.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
from PIL import Image

_TS_PACKET = 188
_SEQUENCE_EXTENSION, _CODING_EXTENSION = 1, 8
_NTSC_CODE = 4


def _ffmpeg(*arguments: str, output: Path | None = None) -> None:
    argv = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostdin", "-v", "error"]
    argv += ["-y", *arguments]
    if output is None:
        done = subprocess.run(argv, capture_output=True, check=False)
    else:
        with output.open("wb") as out:
            done = subprocess.run(argv, stdout=out, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        raise RuntimeError(f"{argv}: {done.stderr.decode(errors='replace')}")


def remux(
    source: Path,
    target: Path,
    before: Sequence[str] = (),
    after: Sequence[str] = (),
) -> None:
    """Copy all streams without encoding; options stand before or after the input."""
    _ffmpeg(*before, "-i", str(source), "-map", "0", "-c", "copy", *after, str(target))


def stream(source: Path, target: Path, muxer: str) -> None:
    """Write to a pipe, as a live recording: no index, and no duration in the head."""
    _ffmpeg("-i", str(source), "-c", "copy", "-f", muxer, "pipe:1", output=target)


def pull_down(source: Path, target: Path) -> None:
    """Flag the pictures of an MPEG-2 elementary stream of 24 fps for a 3:2 pulldown.

    Bits of ISO/IEC 13818-2, 6.2.2.3 (sequence extension: progressive_sequence) and
    6.2.3.1 (picture coding extension: top_field_first, repeat_first_field). Four
    pictures then last five frames of 30000/1001 fps, which the head then states.
    """
    data = bytearray(source.read_bytes())
    shown = _display_orders(data)
    picture = -1
    at = data.find(b"\x00\x00\x01")
    while 0 <= at < len(data) - 9:
        if data[at + 3] == 0:
            picture += 1
        elif data[at + 3] == 0xB3:
            data[at + 7] = data[at + 7] & 0xF0 | _NTSC_CODE
        elif data[at + 3] == 0xB5 and data[at + 4] >> 4 == _SEQUENCE_EXTENSION:
            data[at + 5] &= ~0x08
        elif data[at + 3] == 0xB5 and data[at + 4] >> 4 == _CODING_EXTENSION:
            order = shown[picture]
            # Three fields, two, three, two: the first field changes after each three.
            top, repeat = order % 4 in {0, 3}, order % 2 == 0
            data[at + 7] = data[at + 7] & ~0x82 | (top << 7) | (repeat << 1)
        at = data.find(b"\x00\x00\x01", at + 3)
    target.write_bytes(data)


def with_pulldown_times(source: Path, target: Path, first_time: bool = True) -> None:
    """Write an elementary stream made by `pull_down` to a program stream.

    A picture is shown for three fields of 1001/60000 s, the next one for two. Without
    `first_time` the first picture's own time is left out, as by a plain copy.
    """
    data = source.read_bytes()
    orders = _display_orders(data)

    def field(order: int) -> int:
        return order // 2 * 5 + order % 2 * 3

    with av.open(str(source)) as read, av.open(str(target), "w", format="vob") as made:
        stream = made.add_stream_from_template(read.streams.video[0])
        coded = (p for p in read.demux(video=0) if p.size)
        for place, (packet, order) in enumerate(zip(coded, orders, strict=True)):
            packet.time_base = Fraction(1001, 60000)
            packet.pts = field(order) + 2
            packet.dts = field(place - 1) + 2
            if not place and not first_time:
                packet.pts = None
            packet.stream = stream
            made.mux(packet)


def _display_orders(data: bytes) -> list[int]:
    """Return the place in display order of each picture, in the order of coding.

    Pictures carry their place within their group (temporal_reference).
    """
    orders: list[int] = []
    begin = 0
    at = data.find(b"\x00\x00\x01")
    while 0 <= at < len(data) - 6:
        if data[at + 3] == 0xB8:
            begin = len(orders)
        elif data[at + 3] == 0:
            orders.append(begin + (data[at + 4] << 2 | data[at + 5] >> 6))
        at = data.find(b"\x00\x00\x01", at + 3)
    return orders


def sound_first(source: Path, target: Path, pid: int = 0x101) -> None:
    """Store all packets of the sound of a transport stream before the picture's."""
    data = source.read_bytes()
    packets = [data[at : at + _TS_PACKET] for at in range(0, len(data), _TS_PACKET)]

    def rank(packet: bytes) -> int:
        this = (packet[1] & 0x1F) << 8 | packet[2]
        if this == pid:
            return 1
        return 2 if this >= 0x100 and this < 0x1000 else 0

    # Tables keep their places in front; what is stored later repeats them.
    target.write_bytes(b"".join(sorted(packets, key=rank)))


def begin_amid(source: Path, target: Path, share: float) -> None:
    """Leave out a transport stream's begin, as a receiver that is switched on does."""
    data = source.read_bytes()
    packets = len(data) // _TS_PACKET
    target.write_bytes(data[round(packets * share) * _TS_PACKET :])


def with_cover(source: Path, target: Path) -> None:
    """Add an embedded cover to a file."""
    cover = target.with_suffix(".png")
    Image.new("RGB", (400, 400), "magenta").save(cover)
    maps = (
        "-map",
        "1:v",
        "-map",
        "0",
        "-c",
        "copy",
        "-disposition:v:0",
        "attached_pic",
    )
    _ffmpeg("-i", str(source), "-i", str(cover), *maps, str(target))


def save_animation(
    pictures: Iterable[Image.Image], path: Path, *milliseconds: int
) -> None:
    """Write an animated picture; its frames last those times in turn."""
    first, *rest = pictures
    durations = [milliseconds[k % len(milliseconds)] for k in range(len(rest) + 1)]
    options: dict[str, object] = {"lossless": True} if path.suffix == ".webp" else {}
    first.save(
        path, save_all=True, append_images=rest, duration=durations, loop=0, **options
    )
