"""HDR looks as it would beside SDR: known light, read back."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageStat

from tests.worker.media.recipes import tone
from tests.worker.media.recipes.conftest import Render
from tests.worker.media.recipes.ramps import ffmpeg
from worker.media.engine import Rendered

SIDE = 32
GREYS = (1, 5, 20, 50, 100, 203, 400, 1000)
TRANSFERS = ("smpte2084", "arib-std-b67")


def _patches(folder: Path, transfer: str, colours: list[tone.Light]) -> Path:
    nits = [one for _ in range(SIDE) for one in colours for _ in range(SIDE)]
    size = (SIDE * len(colours), SIDE)
    return tone.clip(folder / f"{transfer}.mkv", size, nits, transfer)


def _shown(done: Rendered) -> list[tuple[int, int, int]]:
    picture = Image.open(done.files[0].path).convert("RGB")
    middles = range(SIDE // 2, picture.width, SIDE)
    return [picture.getpixel((x, SIDE // 2)) for x in middles]


@pytest.mark.parametrize("transfer", TRANSFERS)
def test_grey_up_to_half_of_white_keeps_its_light(
    transfer: str, tmp_path: Path, render: Render
) -> None:
    source = _patches(tmp_path, transfer, [(nits,) * 3 for nits in GREYS])

    done = render(source, kind="thumbnail", format="png", time=0)

    shown = _shown(done)
    for nits, patch in zip(GREYS, shown, strict=True):
        assert max(patch) - min(patch) <= 2, f"{nits} nits came out as {patch}"
        if nits <= tone.WHITE / 2:
            wanted = tone.srgb(nits / tone.WHITE)
            assert patch[1] == pytest.approx(wanted, abs=4), nits
    lights = [patch[1] for patch in shown]
    assert lights == sorted(lights)
    assert lights[GREYS.index(203)] > 200
    assert lights[-1] > 240
    assert "tone_mapped" in done.warnings


@pytest.mark.parametrize("format_", ["jpeg", "webp", "avif"])
def test_every_format_shows_the_same_light(
    format_: str, tmp_path: Path, render: Render
) -> None:
    source = _patches(tmp_path, "smpte2084", [(nits,) * 3 for nits in GREYS])

    png = render(source, kind="thumbnail", format="png", time=0)
    other = render(source, kind="thumbnail", format=format_, quality=100, time=0)

    for one, two in zip(_shown(png), _shown(other), strict=True):
        assert one == pytest.approx(two, abs=6)


@pytest.mark.parametrize("transfer", TRANSFERS)
def test_a_bright_colour_keeps_its_hue(
    transfer: str, tmp_path: Path, render: Render
) -> None:
    orange = (1.0, 0.6, 0.35)
    lights = (50, 200, 800)
    colours = [tuple(nits * part for part in orange) for nits in lights]
    source = _patches(tmp_path, transfer, colours)

    shown = _shown(render(source, kind="thumbnail", format="png", time=0))

    hues = [Image.new("RGB", (1, 1), one).convert("HSV") for one in shown]
    found = [one.getpixel((0, 0))[0] for one in hues]
    assert max(found) - min(found) <= 6
    assert [one[0] for one in shown] == sorted(one[0] for one in shown)


# zimg applies HLG's system gamma to each colour, not to their light: dark colours
# come out a little stronger.
@pytest.mark.parametrize(("transfer", "most"), [("smpte2084", 5), ("arib-std-b67", 12)])
def test_a_scene_comes_out_as_by_the_reference(
    transfer: str, most: int, sample: Path, tmp_path: Path, render: Render
) -> None:
    size = (160, 90)
    still = tmp_path / "still.png"
    words = ("-frames:v", "1", "-vf", f"scale={size[0]}:{size[1]}")
    ffmpeg("-ss", "4", "-i", str(sample), *words, str(still))
    nits = tone.brightened(Image.open(still))
    source = tone.clip(tmp_path / "scene.mkv", size, nits, transfer)

    done = render(source, kind="thumbnail", format="png", time=0)

    ours = Image.open(done.files[0].path).convert("RGB")
    far = ImageChops.difference(ours, tone.reference(size, nits))
    assert max(ImageStat.Stat(far).mean) < most
