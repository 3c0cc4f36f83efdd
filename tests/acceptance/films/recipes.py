"""How films are encoded: codecs' options, and what several films share."""

from __future__ import annotations

from fractions import Fraction
from itertools import accumulate
from typing import Any

from tests.acceptance.films.film import Film

H264 = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "24", "-pix_fmt", "yuv420p")
FAST_H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "30", *H264[-2:])
MPEG2 = ("-c:v", "mpeg2video", "-q:v", "4", "-bf", "2", "-g", "15")
MPEG4 = ("-c:v", "mpeg4", "-q:v", "4", "-bf", "2", "-g", "25")
VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-crf", "36")
VP9 += ("-b:v", "0", "-pix_fmt", "yuv420p")
AV1 = (
    "-c:v",
    "libaom-av1",
    "-usage",
    "realtime",
    "-cpu-used",
    "8",
    "-crf",
    "30",
    "-pix_fmt",
    "yuv420p",
)
MJPEG = ("-c:v", "mjpeg", "-q:v", "4", "-pix_fmt", "yuvj420p")
HEVC = ("-c:v", "libx265", "-preset", "ultrafast", "-crf", "28", "-pix_fmt", "yuv420p")
MP2 = ("-c:a", "mp2", "-b:a", "64k")
PCM = ("-c:a", "pcm_s16le")
AC3 = ("-c:a", "ac3", "-b:a", "96k")
MP3 = ("-c:a", "libmp3lame", "-b:a", "64k")
OPUS = ("-c:a", "libopus", "-b:a", "32k")
PALETTE = "split[a][b];[a]palettegen[p];[b][p]paletteuse"
GIF = ("-filter_complex", PALETTE)
FRAGMENTS = ("-movflags", "frag_keyframe+empty_moov+default_base_moof")
FILM = Fraction(24000, 1001)


def hevc(**options: object) -> tuple[str, ...]:
    """Return the encoder's options for HEVC."""
    options = {"log-level": "error", "scenecut": 0, **options}
    return (*HEVC, "-x265-params", ":".join(f"{k}={v}" for k, v in options.items()))


def groups(frames: int) -> tuple[str, ...]:
    """Return the options for groups of exactly so many frames."""
    return ("-g", str(frames), "-keyint_min", str(frames), "-sc_threshold", "0")


def of(name: str, suffix: str, condition: str, seconds: float, **more: Any) -> Film:
    """Return a film of so many seconds; the rest has defaults of an ordinary film."""
    fps = more.pop("fps", Fraction(25))
    drawn = more.pop("drawn", round(seconds * fps))
    more.setdefault("video", (*H264, *groups(50)))
    more.setdefault("shot", round(max(fps * 5 / 2, 3)))
    return Film(f"{name}-{suffix}", f"{name}.{suffix}", condition, drawn, fps, **more)


def timed(expression: str) -> tuple[str, ...]:
    """Return the options for times that a formula of the frame's number N states.

    The formula counts in milliseconds, or divides seconds by TB.
    """
    keep = ("-fps_mode", "passthrough", "-enc_time_base", "filter")
    return ("-vf", f"settb=1/1000,setpts={expression}", *keep)


def pulled_down(frames: int, before: int = 0) -> tuple[float, ...]:
    """Return the times of frames of three and two fields in turn.

    The first one is so many fields `before` the container's start.
    """
    fields = (n // 2 * 5 + n % 2 * 3 - before for n in range(frames))
    return tuple(field * 1001 / 60000 for field in fields)


def uneven(suffix: str, condition: str) -> Film:
    """Return an animated picture whose frames last 20 to 900 ms."""
    lasting = (20, 100, 900, 300)
    ends = list(accumulate(lasting[n % 4] / 1000 for n in range(20)))
    return of(
        "uneven",
        suffix,
        condition,
        0,
        drawn=20,
        fps=Fraction(4),
        video=("pillow", *lasting),
        may_warn=("fewer_frames",),
        times=(0.0, *ends[:-1]),
        end=ends[-1],
    )


def case(file: str, frames: int, fps: Fraction | int, **more: Any) -> Film:
    """Return a film that is stored in tests/cases, with a mark of 12 bits."""
    stored = ("stored", f"tests/cases/{file}")
    name, _, _ = file.rpartition(".")
    return Film(
        f"case-{name.replace('_', '-')}",
        file,
        "see tests/cases/README.md",
        frames,
        Fraction(fps),
        stored,
        size=(320, 180),
        bits=12,
        **more,
    )
