"""Convert Dolby Vision without a base layer (profile 5) to linear light.

Its planes are I, P and T: the responses of the eye's cones (L, M, S) behind the PQ
curve, rotated (ITU-R BT.2100 has a cousin, ICtCp). The numbers are those that the
streams themselves carry and libplacebo uses. Each scene's reshaping, which is in the
dynamic metadata, is left out: colours are close, not exact.
"""

from __future__ import annotations

from typing import Any

import ffmpeg

Matrix = tuple[tuple[float, float, float], ...]
# (I, P - 1/2, T - 1/2) to L, M, S behind the PQ curve; in 1/8192.
_LMS: Matrix = ((8192, 799, 1681), (8192, -933, 1091), (8192, 267, -5545))
# Linear L, M, S to linear RGB of BT.2020: what leaks between the cones is taken out
# (17081 and -349 in 1/16384), then the primaries.
_OWN, _LEAK = 17081 / 16384, -349 / 16384
_RGB: Matrix = (
    (3.06441879, -2.16597676, 0.10155818),
    (-0.65612108, 1.78554118, -0.12943749),
    (0.01736321, -0.04725154, 1.03004253),
)


def linear(stream: Any, white: float) -> Any:
    """Return ``yuv444p12le`` planes I, P, T as linear BT.2020 in ``gbrpf32le``.

    1.0 is ``white`` in cd/m2.
    """
    planes = stream.filter_multi_output("extractplanes", "y+u+v")
    order = [planes[place] for place in range(3)]
    # I is green, P is blue, T is red.
    stream = ffmpeg.filter(order, "mergeplanes", "0x001020", "gbrp12le")
    stream = stream.filter("format", "gbrapf32le")
    stream = stream.filter("colorchannelmixer", **_mix_ipt())
    stream = stream.filter("format", "gbrpf32le").filter(
        "setparams",
        color_primaries="bt2020",
        color_trc="smpte2084",
        colorspace="gbr",
        range="full",
    )
    stream = stream.filter("zscale", t="linear", npl=white)
    # The mixer takes factors up to 2.
    stream = stream.filter("colorchannelmixer", **_mix_lms(0.5))
    return stream.filter("colorchannelmixer", rr=2, gg=2, bb=2)


def _mix_ipt() -> dict[str, float]:
    """Return the mixer's factors from T, I, P (red, green, blue) to L, M, S."""
    words: dict[str, float] = {}
    for name, row in zip("rgb", _LMS, strict=True):
        one, p, t = (value / 8192 for value in row)
        words |= {f"{name}g": one, f"{name}b": p, f"{name}r": t}
        # Alpha is 1 everywhere: its factor adds a constant.
        words[f"{name}a"] = -(p + t) / 2
    return {name: round(value, 6) for name, value in words.items()}


def _mix_lms(share: float) -> dict[str, float]:
    """Return the mixer's factors from L, M, S to a ``share`` of R, G, B."""
    words = {}
    for name, row in zip("rgb", _RGB, strict=True):
        for other, own in zip("rgb", row, strict=True):
            mixed = own * (_OWN - _LEAK) + sum(row) * _LEAK
            words[name + other] = round(mixed * share, 6)
    return words
