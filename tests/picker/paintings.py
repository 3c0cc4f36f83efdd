"""Painted scenes: what films show that cuts of one cartoon do not.

Night, snow, flat art, a talking head, screens of text. Every picture has its own
seed, so that a set is the same on every machine.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from math import sin
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

SIZE = (1920, 1080)
WORDS = ("open", "branch", "window", "server", "return", "table", "green", "paper")
Colour = tuple[int, int, int]


_ORDERED: dict[str, tuple[Callable[[Image.Image, random.Random], None], int]] = {}


def paint(path: str) -> None:
    """Paint what an easel was asked for, when a clip is made of it."""
    if path in _ORDERED and not Path(path).exists():
        draw, seed = _ORDERED[path]
        canvas = Image.new("RGB", SIZE)
        draw(canvas, random.Random(seed))
        canvas.save(path, compress_level=1)


class Easel:
    """Takes orders for scenes of 1920x1080 in a folder; see :func:`paint`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _paint(
        self, name: str, draw: Callable[[Image.Image, random.Random], None], seed: int
    ) -> Path:
        path = self.folder / f"{name}.png"
        _ORDERED[str(path)] = (draw, seed)
        return path

    def hills(self, name: str, seed: int) -> Path:
        """Paint a day in the open: sky, ridges, trees, the grain of a camera."""

        def draw(canvas: Image.Image, dice: random.Random) -> None:
            _gradient(canvas, (110, 160, 220), (220, 225, 230))
            _ridges(canvas, dice, (40, 70, 40), (110, 140, 80))
            _trees(canvas, dice, (30, 55, 25), 70)
            _grain(canvas, 18)

        return self._paint(name, draw, seed)

    def snow(self, name: str, seed: int) -> Path:
        """Paint winter: bright almost everywhere, dark trees and a hut."""

        def draw(canvas: Image.Image, dice: random.Random) -> None:
            _gradient(canvas, (205, 215, 230), (240, 242, 248))
            _ridges(canvas, dice, (215, 220, 232), (238, 240, 246))
            _trees(canvas, dice, (60, 66, 62), 45)
            pen = ImageDraw.Draw(canvas)
            pen.rectangle((1180, 640, 1480, 820), fill=(110, 70, 50))
            pen.polygon(((1140, 650), (1330, 520), (1520, 650)), fill=(225, 228, 235))
            pen.rectangle((1290, 690, 1360, 760), fill=(240, 200, 110))
            _grain(canvas, 10)

        return self._paint(name, draw, seed)

    def night(self, name: str, seed: int) -> Path:
        """Paint a town by night: dark, with lit windows and a moon."""

        def draw(canvas: Image.Image, dice: random.Random) -> None:
            _gradient(canvas, (8, 10, 28), (26, 24, 44))
            pen = ImageDraw.Draw(canvas)
            pen.ellipse((1500, 110, 1640, 250), fill=(210, 210, 190))
            for x in range(0, SIZE[0], 160):
                top = dice.randint(380, 760)
                pen.rectangle((x, top, x + 150, SIZE[1]), fill=(16, 17, 26))
                for row in range(top + 20, SIZE[1], 60):
                    for place in range(3):
                        lit = dice.random() < 0.4
                        ink = (230, 180, 90) if lit else (24, 26, 38)
                        left = x + 16 + 44 * place
                        pen.rectangle((left, row, left + 26, row + 34), fill=ink)
            _grain(canvas, 12)

        return self._paint(name, draw, seed)

    def anime(self, name: str, seed: int) -> Path:
        """Paint flat art: even surfaces with hard outlines."""

        def draw(canvas: Image.Image, dice: random.Random) -> None:
            pen = ImageDraw.Draw(canvas)
            pen.rectangle((0, 0, *SIZE), fill=(122, 196, 236))
            pen.rectangle((0, 760, *SIZE), fill=(120, 190, 96))
            for _ in range(5):
                x, y = dice.randint(0, 1700), dice.randint(40, 320)
                for bump in range(3):
                    left = x + 80 * bump
                    pen.ellipse((left, y - 30 * bump % 50, left + 170, y + 90), "white")
            hair = dice.choice(((60, 40, 120), (190, 70, 50), (40, 40, 46)))
            pen.ellipse((720, 240, 1220, 800), hair, "black", 6)
            pen.ellipse((780, 340, 1160, 800), (250, 220, 190), "black", 6)
            for eye in (870, 1020):
                pen.ellipse((eye, 500, eye + 70, 610), "white", "black", 5)
                pen.ellipse((eye + 18, 525, eye + 55, 595), (40, 90, 160), "black", 3)
            pen.arc((910, 640, 1030, 720), 20, 160, "black", 6)
            pen.polygon(((700, 1080), (820, 800), (1120, 800), (1240, 1080)), "#c04060")

        return self._paint(name, draw, seed)

    def speaker(self, name: str, seed: int, *, lower_third: bool = False) -> Path:
        """Paint a person before shelves of books, with a lower third or without."""

        def draw(canvas: Image.Image, dice: random.Random) -> None:
            _gradient(canvas, (92, 74, 58), (70, 56, 46))
            pen = ImageDraw.Draw(canvas)
            for shelf in range(60, 900, 210):
                x = 0
                while x < SIZE[0]:
                    wide, high = dice.randint(22, 60), dice.randint(120, 180)
                    ink = tuple(dice.randint(40, 170) for _ in range(3))
                    pen.rectangle((x, shelf + 190 - high, x + wide, shelf + 190), ink)
                    x += wide + 3
            canvas.paste(canvas.filter(ImageFilter.GaussianBlur(5)))
            pen = ImageDraw.Draw(canvas)
            pen.ellipse((560, 720, 1360, 1500), fill=(44, 60, 96))
            pen.ellipse((800, 260, 1120, 720), fill=(214, 168, 140))
            pen.pieslice((780, 220, 1140, 640), 180, 360, fill=(58, 42, 34))
            for eye in (890, 1000):
                pen.ellipse((eye, 450, eye + 34, 474), fill=(40, 34, 34))
            pen.arc((900, 540, 1020, 640), 20, 160, fill=(150, 70, 70), width=9)
            if lower_third:
                pen.rectangle((100, 850, 900, 990), fill=(20, 60, 140))
                pen.text((130, 865), "Dr. Jane Field", "white", _font(56))
                pen.text((130, 930), "University of Elsewhere", "#cfe0ff", _font(36))
            _grain(canvas, 10)

        return self._paint(name, draw, seed)

    def desktop(self, name: str, seed: int) -> Path:
        """Paint a screen: an editor's window with text, a bar, an empty context."""

        def draw(canvas: Image.Image, dice: random.Random) -> None:
            _gradient(canvas, (58, 110, 165), (38, 80, 130))
            pen = ImageDraw.Draw(canvas)
            pen.rectangle((0, 1036, *SIZE), fill=(30, 32, 38))
            pen.rectangle((140, 90, 1560, 960), fill="white")
            pen.rectangle((140, 90, 1560, 140), fill=(225, 228, 232))
            pen.rectangle((140, 140, 420, 960), fill=(244, 245, 247))
            for row in range(22):
                indent = 440 + 40 * dice.randint(0, 3)
                line = " ".join(dice.choice(WORDS) for _ in range(dice.randint(2, 9)))
                ink = dice.choice(("#222222", "#0550ae", "#116329", "#953800"))
                pen.text((indent, 160 + 36 * row), line, ink, _font(26))

        return self._paint(name, draw, seed)

    def terminal(self, name: str, rows: int) -> Path:
        """Paint light text on a dark ground, ``rows`` lines of it."""

        def draw(canvas: Image.Image, dice: random.Random) -> None:
            pen = ImageDraw.Draw(canvas)
            pen.rectangle((0, 0, *SIZE), fill=(22, 24, 30))
            for row in range(rows):
                line = " ".join(dice.choice(WORDS) for _ in range(dice.randint(3, 11)))
                ink = dice.choice(("#d0d0d0", "#80d080", "#d0d0d0", "#e0b060"))
                pen.text((30, 24 + 42 * row), f"$ {line}", ink, _font(32))

        return self._paint(name, draw, 11)

    def countdown(self, number: int) -> Path:
        """Paint one number of a film leader."""

        def draw(canvas: Image.Image, _dice: random.Random) -> None:
            pen = ImageDraw.Draw(canvas)
            pen.rectangle((0, 0, *SIZE), fill=(150, 148, 140))
            for radius in (380, 420):
                box = (960 - radius, 540 - radius, 960 + radius, 540 + radius)
                pen.ellipse(box, outline="black", width=8)
            pen.line((0, 540, 1920, 540), "black", 6)
            pen.line((960, 0, 960, 1080), "black", 6)
            pen.text((960, 540), str(number), "black", _font(460), anchor="mm")

        return self._paint(f"countdown-{number}", draw, number)

    def end_card(self, name: str, ground: str, ink: str) -> Path:
        """Paint an end screen: two empty boxes and a call to subscribe."""

        def draw(canvas: Image.Image, _dice: random.Random) -> None:
            pen = ImageDraw.Draw(canvas)
            pen.rectangle((0, 0, *SIZE), fill=ground)
            for left in (160, 1020):
                pen.rectangle((left, 300, left + 740, 716), outline=ink, width=8)
            pen.text((960, 140), "Thanks for watching!", ink, _font(90), anchor="mm")
            pen.ellipse((860, 790, 1060, 990), fill=ink)

        return self._paint(name, draw, 3)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _gradient(canvas: Image.Image, top: Colour, bottom: Colour) -> None:
    slope = Image.linear_gradient("L").resize(SIZE)
    above, below = Image.new("RGB", SIZE, top), Image.new("RGB", SIZE, bottom)
    canvas.paste(Image.composite(below, above, slope))


def _ridges(
    canvas: Image.Image, dice: random.Random, dark: Colour, light: Colour
) -> None:
    pen = ImageDraw.Draw(canvas)
    for depth in range(5):
        base = 430 + 130 * depth
        a, b, c = (dice.uniform(0.002, 0.009) for _ in range(3))
        line = [
            (x, base + 60 * sin(a * x + depth) + 30 * sin(b * x) + 12 * sin(9 * c * x))
            for x in range(0, SIZE[0] + 20, 20)
        ]
        share = depth / 4
        ink = tuple(
            round(far + (near - far) * share)
            for far, near in zip(light, dark, strict=True)
        )
        pen.polygon([*line, SIZE, (0, SIZE[1])], fill=ink)


def _trees(canvas: Image.Image, dice: random.Random, ink: Colour, count: int) -> None:
    pen = ImageDraw.Draw(canvas)
    for _ in range(count):
        x, foot = dice.randint(0, SIZE[0]), dice.randint(620, 1040)
        high = (foot - 480) * dice.uniform(0.3, 0.6)
        shade = tuple(max(0, part + dice.randint(-14, 24)) for part in ink)
        for tier in range(3):
            top = foot - high + tier * high / 4
            half = high * (0.12 + 0.08 * tier)
            points = ((x, top), (x - half, top + high / 2), (x + half, top + high / 2))
            pen.polygon(points, fill=shade)


def _grain(canvas: Image.Image, strength: int) -> None:
    noise = Image.effect_noise(SIZE, strength).convert("RGB")
    canvas.paste(ImageChops.add(canvas, noise, 1, -128))
