"""Measure pictures: how alike two are, and whether one shows anything."""

from __future__ import annotations

from PIL import Image, ImageChops, ImageMath, ImageStat

# SSIM as of Wang et al. 2004, over blocks of 8 x 8 pixels, 4 apart.
_BLOCK, _STEP = 8, 4
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_LUMA = [16 + round(value * 219 / 255) for value in range(256)]
_SOLID = [0 if value < 48 else 255 for value in range(256)]
_FLAT_SPREAD = 4.0
_DARK = 40
_DARK_SHARE = 0.995


def ssim(one: Image.Image, other: Image.Image) -> float:
    """Return the structural similarity of two pictures' grey values, at most 1.

    Pictures under 16 pixels are enlarged: the measure needs whole blocks.
    """
    if one.size != other.size:
        raise ValueError(f"sizes differ: {one.size} and {other.size}")
    # As video's luma, black is 16: at 0 the measure would make much of one step.
    pair = [image.convert("L").point(_LUMA) for image in (one, other)]
    small = min(one.size)
    if small < 2 * _BLOCK:
        factor = -(-2 * _BLOCK // small)
        size = (one.width * factor, one.height * factor)
        pair = [image.resize(size, Image.Resampling.NEAREST) for image in pair]
    scores = []
    for left in (0, _STEP):
        for top in (0, _STEP):
            a, b = (_blocks(image, left, top) for image in pair)
            scores.append(_mean_ssim(a, b))
    return sum(scores) / len(scores)


def _blocks(image: Image.Image, left: int, top: int) -> Image.Image:
    """Cut off what fills no whole block; floats."""
    wide = (image.width - left) // _BLOCK * _BLOCK
    high = (image.height - top) // _BLOCK * _BLOCK
    return image.crop((left, top, left + wide, top + high)).convert("F")


def _mean(image: Image.Image) -> Image.Image:
    size = (image.width // _BLOCK, image.height // _BLOCK)
    return image.resize(size, Image.Resampling.BOX)


def _mean_ssim(a: Image.Image, b: Image.Image) -> float:
    def product(x: Image.Image, y: Image.Image) -> Image.Image:
        return ImageMath.lambda_eval(lambda w: w["x"] * w["y"], x=x, y=y)

    values = {
        "a": _mean(a),
        "b": _mean(b),
        "aa": _mean(product(a, a)),
        "bb": _mean(product(b, b)),
        "ab": _mean(product(a, b)),
    }

    def formula(w: dict[str, object]) -> object:
        a, b = w["a"], w["b"]
        light = (a * b * 2 + _C1) / (a * a + b * b + _C1)
        cross = (w["ab"] - a * b) * 2 + _C2
        return light * cross / (w["aa"] - a * a + w["bb"] - b * b + _C2)

    found = ImageMath.lambda_eval(formula, **values)
    return float(found.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0)))


def colour_error(one: Image.Image, other: Image.Image) -> float:
    """Return the mean difference of two pictures' RGB values, blurred, 0 to 255.

    A wrong matrix, range, or a swapped plane shows here; noise does not.
    """
    size = (max(1, one.width // _BLOCK), max(1, one.height // _BLOCK))
    pair = [i.convert("RGB").resize(size, Image.Resampling.BOX) for i in (one, other)]
    return sum(ImageStat.Stat(ImageChops.difference(*pair)).mean) / 3


def is_blank(image: Image.Image) -> bool:
    """Return whether a picture is black or flat."""
    grey = image.convert("L")
    dark = sum(grey.histogram()[:_DARK]) / (grey.width * grey.height)
    return dark > _DARK_SHARE or ImageStat.Stat(grey).stddev[0] < _FLAT_SPREAD


def on_black(image: Image.Image, *, solid: bool = False) -> Image.Image:
    """Put a transparent picture onto black.

    ``solid`` shows pixels wholly or not at all, as a GIF does: what is a fifth
    opaque is shown.
    """
    if image.mode == "RGB":
        return image
    clear = image.convert("RGBA")
    if solid:
        clear.putalpha(clear.getchannel("A").point(_SOLID))
    ground = Image.new("RGBA", clear.size, "black")
    return Image.alpha_composite(ground, clear).convert("RGB")
