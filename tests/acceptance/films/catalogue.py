"""The films: each condition at least once, pairs of conditions rather than all."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from tests.acceptance.films.film import Film, Sound

H264 = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "24", "-pix_fmt", "yuv420p")
FAST_H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "30", *H264[-2:])
MPEG2 = ("-c:v", "mpeg2video", "-q:v", "4", "-bf", "2", "-g", "15")
MPEG4 = ("-c:v", "mpeg4", "-q:v", "4", "-bf", "2", "-g", "25")
VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-crf", "36")
VP9 += ("-b:v", "0", "-pix_fmt", "yuv420p")
AV1 = ("-c:v", "libsvtav1", "-preset", "12", "-crf", "40", "-pix_fmt", "yuv420p")
MJPEG = ("-c:v", "mjpeg", "-q:v", "4", "-pix_fmt", "yuvj420p")
HEVC = ("-c:v", "libx265", "-preset", "ultrafast", "-crf", "28", "-pix_fmt", "yuv420p")
MP2 = ("-c:a", "mp2", "-b:a", "64k")
PCM = ("-c:a", "pcm_s16le")
FRAGMENTS = ("-movflags", "frag_keyframe+empty_moov+default_base_moof")
NTSC = Fraction(30000, 1001)
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
    file = f"{name}.{suffix}"
    return Film(name, file, condition, drawn, fps, **more)


LENGTHS = [
    of("one-frame", "mp4", "one frame", 0, drawn=1),
    of("one-second", "mp4", "one second", 1),
    of("ten-seconds", "mp4", "plain MP4 with sound", 10, sound=Sound()),
    of(
        "three-minutes",
        "mp4",
        "three minutes, groups of one second",
        180,
        fps=Fraction(10),
        video=(*FAST_H264, *groups(10)),
        shot=70,
    ),
    of(
        "twenty-minutes",
        "mkv",
        "twenty minutes, groups of fifty seconds",
        1200,
        fps=Fraction(5),
        video=(*FAST_H264, *groups(250)),
        shot=80,
    ),
]
RATES = [
    of("one-a-minute", "mp4", "1/60 fps", 600, fps=Fraction(1, 60), shot=4),
    of("one-a-second", "mkv", "1 fps", 60, fps=Fraction(1), shot=5),
    of(
        "ten-a-second",
        "mp4",
        "10 fps, short groups",
        12,
        fps=Fraction(10),
        video=(*H264, *groups(5)),
    ),
    of("cinema", "mkv", "23.976 fps with B-frames", 10, fps=FILM),
    of(
        "thirty",
        "mov",
        "30 fps, one group",
        12,
        fps=Fraction(30),
        video=(*H264, *groups(999)),
    ),
    of("slow-motion", "mp4", "240 fps", 4, fps=Fraction(240)),
    of("intra", "mp4", "key frames only", 6, video=(*FAST_H264, *groups(1))),
]
FILMS = [*LENGTHS, *RATES]
