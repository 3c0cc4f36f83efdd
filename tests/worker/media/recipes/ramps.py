"""Clips that tell their time: the left half coarsely, the right half finely.

Luma is 20 + 3 x seconds on the left, and climbs from 30 to 230 every two seconds
on the right, so that a tile shows which frame it is to about 0.03 s (of 60 s).
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg
from PIL import Image

COARSE, FINE, PERIOD = 3.0, 100.0, 2.0
RAMP = (
    "nullsrc=s=32x18:r={rate}:d={seconds},format=yuv420p,"
    "geq=lum='if(lt(X,16),20+3*T,30+mod(T,2)*100)':cb=128:cr=128,"
    "scale=320:180:flags=neighbor"
)


def ffmpeg(*words: str) -> None:
    program = imageio_ffmpeg.get_ffmpeg_exe()
    subprocess.run(
        [program, "-v", "error", "-nostdin", "-y", *words], check=True, timeout=60
    )


def ramp(
    path: Path, seconds: float, *words: str, rate: int = 25, more: str = ""
) -> Path:
    """Make a clip of the ramp; ``words`` are encoder and muxer options."""
    graph = RAMP.format(rate=rate, seconds=seconds) + more
    ffmpeg("-f", "lavfi", "-i", graph, *words, str(path))
    return path


def x264(gop: int) -> tuple[str, ...]:
    return (
        *("-c:v", "libx264", "-preset", "ultrafast", "-crf", "12", "-bf", "2"),
        *("-g", str(gop), "-keyint_min", str(gop), "-sc_threshold", "0"),
    )


def luma(picture: Image.Image, box: tuple[int, int, int, int]) -> tuple[float, float]:
    """Return the mean grey of the left and of the right half of a place."""
    x, y, width, height = box
    grey = picture.convert("L")

    def mean(left: int, right: int) -> float:
        part = grey.crop((left, y + height // 4, right, y + 3 * height // 4))
        data = part.tobytes()
        return sum(data) / len(data)

    quarter = width // 8
    middle = x + width // 2
    return (
        mean(x + quarter, middle - quarter),
        mean(middle + quarter, x + width - quarter),
    )


def read_time(grey: tuple[float, float]) -> float:
    """Turn the grey of the halves (full range) into the seconds they show."""
    coarse, fine = (level * 219 / 255 + 16 for level in grey)
    seconds = (coarse - 20) / COARSE
    part = (fine - 30) / FINE
    turns = round((seconds - part) / PERIOD)
    return turns * PERIOD + part
