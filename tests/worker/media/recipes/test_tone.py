"""HDR comes out as it would look beside SDR: patches of known light, read back."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from PIL import Image

from tests.worker.media.recipes.conftest import Render
from tests.worker.media.recipes.ramps import ffmpeg

WHITE = 203
SIDE = 32
NITS = (1, 5, 20, 50, 100, 203, 400, 1000)


def _pq(nits: float) -> float:
    """Give the signal of a light (SMPTE ST 2084)."""
    power = (nits / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def _hlg(nits: float) -> float:
    """Give the signal of a grey on a display of 1000 nits (ITU-R BT.2100)."""
    scene = (nits / 1000) ** (1 / 1.2)
    if scene <= 1 / 12:
        return math.sqrt(3 * scene)
    return 0.17883277 * math.log(12 * scene - 0.28466892) + 0.55991073


def _srgb(light: float) -> float:
    low = light <= 0.0031308
    return 255 * (12.92 * light if low else 1.055 * light ** (1 / 2.4) - 0.055)


def _clip(path: Path, transfer: str, levels: list[float], chroma: str = "512") -> Path:
    """Draw one patch per level (0 to 1), in limited range and BT.2020."""
    level = "0"
    for place, signal in enumerate(levels):
        level = f"if(gte(X,{place * SIDE}),{64 + round(876 * signal)},{level})"
    size = f"{SIDE * len(levels)}x{SIDE}"
    tags = "colorspace=bt2020nc:color_primaries=bt2020:range=tv"
    draw = (
        f"nullsrc=s={size}:r=5:d=1,format=yuv420p10le,geq=lum='{level}':{chroma},"
        f"setparams=color_trc={transfer}:{tags}"
    )
    ffmpeg("-f", "lavfi", "-i", draw, "-c:v", "ffv1", str(path))
    return path


def _patches(done: object) -> list[tuple[int, int, int]]:
    picture = Image.open(done.files[0].path).convert("RGB")
    middles = range(SIDE // 2, picture.width, SIDE)
    return [picture.getpixel((x, SIDE // 2)) for x in middles]


GREY = "cb=512:cr=512"


@pytest.mark.parametrize(
    ("transfer", "signal"), [("smpte2084", _pq), ("arib-std-b67", _hlg)]
)
def test_grey_up_to_half_of_white_keeps_its_light(
    transfer: str, signal, tmp_path: Path, render: Render
) -> None:
    levels = [signal(nits) for nits in NITS]
    source = _clip(tmp_path / "grey.mkv", transfer, levels, GREY)

    done = render(source, kind="thumbnail", format="png", time=0)

    shown = _patches(done)
    for nits, patch in zip(NITS, shown, strict=True):
        assert max(patch) - min(patch) <= 2, f"{nits} nits came out as {patch}"
        if nits <= WHITE / 2:
            assert patch[1] == pytest.approx(_srgb(nits / WHITE), abs=4), nits
    lights = [patch[1] for patch in shown]
    assert lights == sorted(lights)
    assert lights[NITS.index(203)] > 200
    assert lights[-1] > 240
    assert "tone_mapped" in done.warnings


@pytest.mark.parametrize("format_", ["jpeg", "webp", "avif"])
def test_every_format_shows_the_same_light(
    format_: str, tmp_path: Path, render: Render
) -> None:
    levels = [_pq(nits) for nits in NITS]
    source = _clip(tmp_path / "grey.mkv", "smpte2084", levels, GREY)

    png = render(source, kind="thumbnail", format="png", time=0)
    other = render(source, kind="thumbnail", format=format_, quality=100, time=0)

    for one, two in zip(_patches(png), _patches(other), strict=True):
        assert one == pytest.approx(two, abs=6)


def test_a_bright_colour_keeps_its_hue(tmp_path: Path, render: Render) -> None:
    # The same orange at two lights: the one a fifth of the other's signal up.
    levels = [0.45, 0.6]
    source = _clip(tmp_path / "hue.mkv", "smpte2084", levels, "cb=440:cr=590")

    dark, bright = _patches(render(source, kind="thumbnail", format="png", time=0))

    for red, green, blue in (dark, bright):
        assert red > green > blue
    assert bright[0] > dark[0]
