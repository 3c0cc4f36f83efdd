"""Clips whose good intervals are known, because we put them together.

A clip is a list of segments; each segment is good (a shot as it was filmed) or bad
(black, a card, a transition, damage). The footage is cut from "Big Buck Bunny"
((c) 2008 Blender Foundation, peach.blender.org, CC BY 3.0); the rest is drawn here.
Every third clip is held out: weights and thresholds are never tuned on it.
"""

from __future__ import annotations

import random
import subprocess
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from tests.picker.paintings import paint

FOOTAGE = Path(__file__).with_name("footage.mp4")
# Where each shot of the footage begins, and its length, in seconds.
SHOTS = ((0.0, 3.0), (3.0, 2.7), (5.7, 5.0), (10.7, 3.0))
FPS = 24
PAN = "scale=1.3*iw:-2,crop=iw/1.3:ih/1.3:t*14:t*6,{same}"


@dataclass(frozen=True)
class Segment:
    """Some seconds of one kind: inputs, and the filter that makes [vK] of them."""

    seconds: float
    good: bool
    inputs: tuple[tuple[str, ...], ...]
    chain: str


@dataclass(frozen=True)
class Recipe:
    """A clip to be made: segments in order, size, and the encoder's words.

    ``loops`` more times it follows itself without a new encode; ``damage`` is an
    expression of FFmpeg's bitstream filter noise: one in so many bytes changes.
    ``shape`` is what becomes of another aspect, ``finish`` filters the whole.
    """

    name: str
    segments: tuple[Segment, ...]
    size: tuple[int, int] = (640, 360)
    encoder: tuple[str, ...] = ("-c:v", "libx264", "-preset", "veryfast")
    suffix: str = ".mp4"
    fps: int = FPS
    loops: int = 0
    damage: str = ""
    shape: str = "increase"
    finish: str = "null"

    @property
    def good(self) -> list[tuple[float, float]]:
        """Return the good intervals in seconds."""
        at = 0.0
        found = []
        for segment in self.segments * (1 + self.loops):
            seconds = round(segment.seconds * self.fps) / self.fps
            if segment.good:
                found.append((at, at + seconds))
            at += seconds
        return found

    @property
    def seconds(self) -> float:
        """Return the clip's length."""
        frames = sum(round(part.seconds * self.fps) for part in self.segments)
        return (1 + self.loops) * frames / self.fps


def _footage(number: int, seconds: float, at: float = 0.0) -> tuple[str, ...]:
    start, length = SHOTS[number]
    at = min(at, max(0.0, length - seconds))
    return ("-ss", f"{start + at}", "-t", f"{length - at}", "-i", str(FOOTAGE))


def _slowed(number: int, seconds: float, at: float) -> str:
    length = SHOTS[number][1]
    at = min(at, max(0.0, length - seconds))
    factor = max(1.0, seconds / (length - at) * 1.05)
    return f"setpts=(PTS-STARTPTS)*{factor:.4f}"


def shot(
    number: int,
    seconds: float,
    *,
    at: float = 0.0,
    look: str = "null",
    good: bool = True,
) -> Segment:
    chain = f"{_slowed(number, seconds, at)},{look}"
    return Segment(seconds, good, (_footage(number, seconds, at),), chain)


def drawn(source: str, seconds: float, *, good: bool = False, look: str = "null"):
    return Segment(seconds, good, (("-f", "lavfi", "-i", source),), look)


def flat(colour: str, seconds: float) -> Segment:
    return drawn(f"color=c={colour}:s=640x360:r={FPS}", seconds)


def still(picture: Path, seconds: float, *, good: bool = False, look: str = "null"):
    words = ("-loop", "1", "-framerate", str(FPS), "-i", str(picture))
    return Segment(seconds, good, (words,), look)


def pan(path: Path, seconds: float, *, good: bool = True, look: str = PAN) -> Segment:
    """Move over a painting, as a camera would."""
    return still(path, seconds, good=good, look=look)


def fade(number: int, seconds: float, way: str, colour: str = "black") -> Segment:
    look = f"fade={way}:st=0:d={seconds}:color={colour}"
    return shot(number, seconds, look=look, good=False)


def blend(one: int, two: int, seconds: float) -> Segment:
    chain = (
        f"{_slowed(one, seconds, 1)},{{same}}[x{{k}}];[{{second}}:v]"
        f"{_slowed(two, seconds, 0)},{{same}}[y{{k}}];[x{{k}}][y{{k}}]"
        f"blend=all_expr='A*(1-T/{seconds})+B*T/{seconds}'"
    )
    inputs = (_footage(one, seconds, 1), _footage(two, seconds, 0))
    return Segment(seconds, False, inputs, chain)


def torn(one: int, two: int, seconds: float) -> Segment:
    chain = (
        f"{_slowed(one, seconds, 0)},{{same}},crop=iw:ih/2:0:0[x{{k}}];[{{second}}:v]"
        f"{_slowed(two, seconds, 0)},{{same}},crop=iw:ih/2:0:ih/2,"
        "scroll=hpos=0.3[y{k}];[x{k}][y{k}]vstack"
    )
    return Segment(
        seconds, False, (_footage(one, seconds), _footage(two, seconds)), chain
    )


def whip(number: int, seconds: float) -> Segment:
    look = "scroll=h=0.09,avgblur=sizeX=70:sizeY=1"
    return shot(number, seconds, look=look, good=False)


def blur(number: int, seconds: float, sigma: float = 14) -> Segment:
    return shot(number, seconds, look=f"gblur=sigma={sigma}:steps=2", good=False)


def static(seconds: float) -> Segment:
    return drawn(
        f"color=c=gray:s=640x360:r={FPS}", seconds, look="noise=alls=100:allf=t+u"
    )


class Cards:
    """Draws title cards, logos, slides and credits into a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def text(self, name: str, lines: list[str], ground: str, ink: str, size=64) -> Path:
        image = Image.new("RGB", (1280, 720), ground)
        draw = ImageDraw.Draw(image)
        font = ImageFont.load_default(size)
        top = 360 - len(lines) * size * 0.6
        for place, line in enumerate(lines):
            y = top + place * size * 1.2
            draw.text((640, y), line, ink, font, anchor="ma")
        return self._save(name, image)

    def logo(self, name: str, ground: str, ink: str) -> Path:
        image = Image.new("RGB", (1280, 720), ground)
        draw = ImageDraw.Draw(image)
        draw.ellipse((480, 200, 800, 520), fill=ink)
        draw.polygon(((590, 280), (590, 440), (730, 360)), fill=ground)
        return self._save(name, image)

    def slide(self, name: str, seed: int, ground: str = "white") -> Path:
        dice = random.Random(seed)
        image = Image.new("RGB", (1280, 720), ground)
        draw = ImageDraw.Draw(image)
        draw.rectangle((0, 0, 1280, 110), fill=dice.choice(("#123a6b", "#7b1e3a")))
        draw.text((60, 24), f"Results of quarter {seed}", "white", _font(56))
        for row in range(5):
            words = " ".join(dice.choice(WORDS) for _ in range(5))
            draw.text((60, 170 + 95 * row), "- " + words, "#222222", _font(38))
        for bar in range(5):
            high = dice.randint(80, 420)
            box = (820 + 85 * bar, 660 - high, 885 + 85 * bar, 660)
            draw.rectangle(box, fill=dice.choice(INKS))
        return self._save(name, image)

    def credits(self, name: str) -> Path:
        dice = random.Random(7)
        image = Image.new("RGB", (1280, 2400), "black")
        draw = ImageDraw.Draw(image)
        for row in range(38):
            words = " ".join(dice.choice(WORDS).title() for _ in range(3))
            draw.text((640, 40 + 60 * row), words, "white", _font(34), anchor="ma")
        return self._save(name, image)

    def _save(self, name: str, image: Image.Image) -> Path:
        path = self.folder / f"{name}.png"
        image.save(path)
        return path


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


WORDS = ("river", "stone", "maple", "harbour", "lantern", "copper", "meadow", "winter")
INKS = ("#e07a1f", "#2a9d8f", "#b5179e", "#3a86ff", "#606c38")


def make(recipe: Recipe, folder: Path, ffmpeg: str) -> Path:
    """Encode a clip, unless it is there; raises CalledProcessError."""
    target = folder / (recipe.name + recipe.suffix)
    if target.exists():
        return target
    same = _same(recipe)
    inputs: list[str] = []
    chains = []
    for k, segment in enumerate(recipe.segments):
        first = inputs.count("-i")
        for words in segment.inputs:
            paint(words[-1])
            inputs += words
        chain = segment.chain
        if "{same}" in chain:
            chain = chain.format(same=same, k=k, second=first + 1)
            body = f"[{first}:v]{chain},setsar=1"
        else:
            body = f"[{first}:v]{same},{chain},{same}"
        frames = round(segment.seconds * recipe.fps)
        chains.append(
            f"{body},tpad=stop=-1:stop_mode=clone,trim=end_frame={frames},"
            f"settb=1/{recipe.fps},setpts=N,fps={recipe.fps}[v{k}]"
        )
    names = "".join(f"[v{k}]" for k in range(len(chains)))
    graph = ";".join(chains) + f";{names}concat=n={len(chains)},{recipe.finish}[out]"
    whole = target.with_stem(recipe.name + "-once") if _is_copied(recipe) else target
    command = [ffmpeg, "-nostdin", "-v", "error", "-y", *inputs]
    command += ["-filter_complex", graph, "-map", "[out]", "-r", str(recipe.fps)]
    _run([*command, *recipe.encoder, "-pix_fmt", "yuv420p", str(whole)])
    if whole != target:
        words = ["-stream_loop", str(recipe.loops), "-i", str(whole), "-c", "copy"]
        if recipe.damage:
            words += ["-bsf:v", f"noise=amount='{recipe.damage}'"]
        _run([ffmpeg, "-nostdin", "-v", "error", "-y", *words, str(target)])
        if recipe.damage:
            whole.replace(clean(recipe, folder))
        else:
            whole.unlink()
    return target


def clean(recipe: Recipe, folder: Path) -> Path:
    """Return where the clip is kept as it was before its damage."""
    return folder / f"{recipe.name}-clean{recipe.suffix}"


def _same(recipe: Recipe) -> str:
    """Return the filters that bring every segment to one size and rate."""
    width, height = recipe.size
    box = f"{width}:{height}"
    fitted = f"crop={box}"
    if recipe.shape == "decrease":
        fitted = f"pad={box}:(ow-iw)/2:(oh-ih)/2"
    return (
        f"fps={recipe.fps},scale={box}:force_original_aspect_ratio={recipe.shape}:"
        f"force_divisible_by=2,{fitted},setsar=1,format=yuv420p"
    )


def _is_copied(recipe: Recipe) -> bool:
    return bool(recipe.loops or recipe.damage)


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=240)
