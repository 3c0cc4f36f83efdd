"""A reference tone mapping, in double precision at full size, and HDR to try it on.

PQ is SMPTE ST 2084, HLG ITU-R BT.2100, the curve the EETF of ITU-R BT.2390 on the
largest of red, green and blue, from 1000 nits to the white of SDR: 203 nits (BT.2408).
"""

from __future__ import annotations

import math
import struct
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import imageio_ffmpeg
from PIL import Image

WHITE, PEAK = 203.0, 1000.0
_M1, _M2 = 2610 / 16384, 2523 / 32
_C1, _C2, _C3 = 3424 / 4096, 2413 / 128, 2392 / 128
_A, _B, _C = 0.17883277, 0.28466892, 0.55991073
_LUMA_2020 = (0.2627, 0.6780, 0.0593)
# Linear RGB of BT.2020 to BT.709, and back (ITU-R BT.2087).
_TO_709 = (
    (1.660491, -0.587641, -0.072850),
    (-0.124550, 1.132900, -0.008349),
    (-0.018151, -0.100579, 1.118730),
)
_TO_2020 = (
    (0.627404, 0.329283, 0.043313),
    (0.069097, 0.919540, 0.011362),
    (0.016391, 0.088013, 0.895595),
)
Light = tuple[float, ...]


def pq(nits: float) -> float:
    """Return the PQ signal of a light, 0 to 1."""
    power = (max(nits, 0.0) / 10_000) ** _M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2


def pq_light(signal: float) -> float:
    """Return the nits of a PQ signal."""
    power = max(signal, 0.0) ** (1 / _M2)
    return 10_000 * (max(power - _C1, 0.0) / (_C2 - _C3 * power)) ** (1 / _M1)


def hlg(scene: float) -> float:
    """Return the HLG signal of a scene's light, both 0 to 1."""
    if scene <= 1 / 12:
        return math.sqrt(3 * max(scene, 0.0))
    return _A * math.log(12 * scene - _B) + _C


def srgb(light: float) -> float:
    """Return the code value, 0 to 255, of a light where white is 1."""
    light = min(max(light, 0.0), 1.0)
    low = light <= 0.0031308
    return 255 * (12.92 * light if low else 1.055 * light ** (1 / 2.4) - 0.055)


def _linear(code: int) -> float:
    value = code / 255
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def _turned(matrix: Iterable[Light], light: Light) -> Light:
    return tuple(sum(k * v for k, v in zip(r, light, strict=True)) for r in matrix)


@cache
def bt2390(nits: float) -> float:
    """Map a light of at most ``PEAK`` into what SDR's white can show."""
    most, white = pq(PEAK), pq(WHITE) / pq(PEAK)
    signal, knee = pq(nits) / most, 1.5 * white - 0.5
    if signal > knee:
        t = min((signal - knee) / (1 - knee), 1.0)
        signal = (
            (2 * t**3 - 3 * t**2 + 1) * knee
            + (t**3 - 2 * t**2 + t) * (1 - knee)
            + (3 * t**2 - 2 * t**3) * white
        )
    return pq_light(signal * most)


def mapped(nits: Light) -> tuple[int, int, int]:
    """Map a colour (nits of red, green and blue in BT.2020) to sRGB codes."""
    most = max(*nits, 1e-9)
    scale = bt2390(round(most, 2)) / most / WHITE
    red, green, blue = _turned(_TO_709, tuple(scale * one for one in nits))
    return round(srgb(red)), round(srgb(green)), round(srgb(blue))


def brightened(picture: Image.Image) -> list[Light]:
    """Return the nits of an SDR picture with lights raised to ``PEAK`` (BT.2020)."""

    def shone(pixel: tuple[int, ...]) -> Light:
        light = tuple(_linear(code) for code in pixel)
        high = min(max((max(light) - 0.45) / 0.55, 0.0), 1.0)
        gain = 1 + (PEAK / WHITE - 1) * high * high * (3 - 2 * high)
        return _turned(_TO_2020, tuple(WHITE * gain * one for one in light))

    return [shone(pixel) for pixel in picture.convert("RGB").get_flattened_data()]


def signals(nits: Light, transfer: str) -> Light:
    """Return the signal of a colour under ``smpte2084`` or ``arib-std-b67``."""
    if transfer == "smpte2084":
        return tuple(pq(one) for one in nits)
    # The inverse of HLG's system gamma, 1.2 at 1000 nits.
    shown = [one / PEAK for one in nits]
    light = sum(k * v for k, v in zip(_LUMA_2020, shown, strict=True))
    gain = max(light, 1e-9) ** (1 / 1.2 - 1)
    return tuple(hlg(min(gain * one, 1.0)) for one in shown)


def clip(path: Path, size: tuple[int, int], nits: list[Light], transfer: str) -> Path:
    """Write a clip of two frames with these colours, tagged as what it is."""
    codes = [round(65535 * s) for one in nits for s in signals(one, transfer)]
    tags = f"colorspace=bt2020nc:color_primaries=bt2020:color_trc={transfer}:range=tv"
    turn = "scale=out_color_matrix=bt2020nc:out_range=tv:flags=accurate_rnd"
    argv = [
        *(imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-f", "rawvideo"),
        *("-pixel_format", "rgb48le", "-video_size", f"{size[0]}x{size[1]}"),
        *("-framerate", "2", "-i", "pipe:0", "-c:v", "ffv1"),
        *("-vf", f"{turn},format=yuv444p10le,setparams={tags}", str(path)),
    ]
    raw = struct.pack(f"<{len(codes)}H", *codes)
    subprocess.run(argv, input=2 * raw, check=True, timeout=60)
    return path


def reference(size: tuple[int, int], nits: list[Light]) -> Image.Image:
    """Return the picture that the reference makes from these colours."""
    picture = Image.new("RGB", size)
    picture.putdata([mapped(one) for one in nits])
    return picture
