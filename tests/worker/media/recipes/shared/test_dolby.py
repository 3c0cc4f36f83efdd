"""Dolby Vision without a base layer is shown in its colours."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from common.outputs.specs import OUTPUT_SPEC
from tests.worker.media.probe.boxes import into_sample_entry
from worker.media.engine import RenderJob, Watch
from worker.media.source_file import LocalFile

# Grey at white's light, red, green and blue, in cd/m2 of linear BT.2020.
WHITE = 203.0
PATCHES = {
    "grey": (40.0, 40.0, 40.0),
    "red": (80.0, 8.0, 4.0),
    "green": (8.0, 80.0, 8.0),
    "blue": (6.0, 8.0, 80.0),
}


def _solve(matrix, values):
    """Solve three linear equations (Cramer's rule)."""

    def det(m):
        (a, b, c), (d, e, f), (g, h, i) = m
        return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)

    found = []
    for column in range(3):
        changed = [list(row) for row in matrix]
        for row in range(3):
            changed[row][column] = values[row]
        found.append(det(changed) / det(matrix))
    return found


def _pq(nits: float) -> float:
    """Return the inverse EOTF of SMPTE ST 2084."""
    m1, m2 = 2610 / 16384, 2523 / 4096 * 128
    c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    power = (max(nits, 0.0) / 10000) ** m1
    return ((c1 + c2 * power) / (1 + c3 * power)) ** m2


def _planes(rgb: tuple[float, ...]) -> list[int]:
    """Return linear BT.2020 in cd/m2 as I, P, T in ten bits, full range."""
    own, leak = 17081 / 16384, -349 / 16384
    to_rgb = [
        [3.06441879, -2.16597676, 0.10155818],
        [-0.65612108, 1.78554118, -0.12943749],
        [0.01736321, -0.04725154, 1.03004253],
    ]
    leaky = [[own if r == c else leak for c in range(3)] for r in range(3)]
    cones = _solve(leaky, _solve(to_rgb, list(rgb)))
    rows = [[8192, 799, 1681], [8192, -933, 1091], [8192, 267, -5545]]
    to_cones = [[value / 8192 for value in row] for row in rows]
    one, p, t = _solve(to_cones, [_pq(value) for value in cones])
    return [round(value * 1023) for value in (one, p + 0.5, t + 0.5)]


def _with_profile_5(moving: bytes) -> bytes:
    """Put Dolby Vision's configuration (dvcC) into the first sample entry."""
    flags = 5 << 9 | 6 << 3 | 0b101
    box = struct.pack(">I4sBBHI", 32, b"dvcC", 1, 0, flags, 0) + bytes(16)
    return into_sample_entry(moving, b"hev1", box)


@pytest.fixture(scope="module")
def clip(ffmpeg, tmp_path_factory) -> Path:
    """Four patches side by side, 64 pixels wide each, two frames."""
    folder = tmp_path_factory.mktemp("dolby")
    columns = [_planes(rgb) for rgb in PATCHES.values()]
    raw = b"".join(
        b"".join(struct.pack("<H", columns[x // 64][plane]) for x in range(256)) * 64
        for plane in range(3)
    )
    source, plain = folder / "raw", folder / "plain.mp4"
    source.write_bytes(raw * 2)
    argv = [ffmpeg, "-v", "error", "-f", "rawvideo", "-pix_fmt", "yuv444p10le"]
    argv += ["-s", "256x64", "-i", source, "-c:v", "libx265", "-tag:v", "hev1"]
    argv += ["-x265-params", "log-level=none:qp=4:range=full", plain]
    subprocess.run(argv, check=True, timeout=60)
    made = folder / "profile5.mp4"
    made.write_bytes(_with_profile_5(plain.read_bytes()))
    return made


def test_given_profile_5_when_probed_then_it_is_told_and_warned_of(engine, clip):
    media = engine.probe(LocalFile(clip))

    assert media.video.hdr == "dolby_vision"
    assert media.video.colour.matrix == "ipt-c2"
    assert media.warnings == ["no_base_layer"]


def _expected(rgb: tuple[float, ...]) -> list[int]:
    """Return the sRGB values of linear BT.2020 too dim for the tone curve to change."""
    rows = (
        (1.660491, -0.587641, -0.072850),
        (-0.124550, 1.132900, -0.008349),
        (-0.018151, -0.100579, 1.118730),
    )
    found = []
    for row in rows:
        light = sum(a * b / WHITE for a, b in zip(row, rgb, strict=True))
        light = min(1.0, max(0.0, light))
        low = light <= 0.0031308
        value = 12.92 * light if low else 1.055 * light ** (1 / 2.4) - 0.055
        found.append(round(255 * value))
    return found


def test_given_profile_5_when_rendered_then_its_colours_are_right(
    engine, clip, workdir
):
    spec = OUTPUT_SPEC.validate_python({"kind": "thumbnail", "format": "png"})

    done = engine.render(
        RenderJob(spec, engine.probe(LocalFile(clip)), LocalFile(clip), workdir),
        Watch(),
    )

    assert done.warnings == ["tone_mapped"]
    with Image.open(done.files[0].path) as image:
        for place, rgb in enumerate(PATCHES.values()):
            shown = image.convert("RGB").getpixel((place * 64 + 32, 32))
            assert shown == pytest.approx(_expected(rgb), abs=8), (rgb, shown)
