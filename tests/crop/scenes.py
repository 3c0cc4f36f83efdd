"""Pictures whose main subject was marked by eye, and the films that show them.

``labels.json`` has the scenes, the README beside it how they were chosen. A scene is a
moment of a film: a clip of a media corpus that is not in the repository, perhaps cut to
a part of its picture, or one that is drawn here from FFmpeg's own generators.

    python -m tests.crop.scenes [--corpus FOLDER --keep FOLDER]

prints how many scenes a crop at the centre holds, and with ``--keep`` writes each
picture with its box. The corpus has ``clips/`` and ``perf/``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image, ImageDraw

from common.outputs.specs import ThumbnailSpec
from common.settings.load import Settings
from worker.media.engine import Engine, RenderJob, Watch
from worker.media.ffmpeg import binary
from worker.media.source_file import LocalFile

ROOT = Path(__file__).resolve().parents[2]
LABELS = Path(__file__).with_name("labels.json")
FONT = ROOT / "worker" / "media" / "assets" / "FramemillSans.ttf"
DRAWN = "drawn"
FILMS = {"bbb": Path("perf", "bbb_720p30_36s.ts")}
HALVES = ("tuning", "held-out")
# What a landscape and a portrait picture are cut to.
LANDSCAPE, PORTRAIT = ("1:1", "9:16"), ("16:9",)
FPS = 25
# A film goes on for so long after the scene's time.
REST = 0.5
ELLIPSE = "lte(hypot(2*X/W-1+1/W,2*Y/H-1+1/H),1)"

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Scene:
    """A moment of a film, in seconds; the box of its subject is [x, y, w, h].

    ``size`` is that of the picture, and the box counts its pixels. ``cut`` is the part
    of the corpus clip, in square pixels, that the picture is. ``drawing`` has the
    ground and the layers of a drawn scene. ``ratios`` are those whose crop, of full
    height or full width, has room for the box.
    """

    name: str
    source: str
    time: float
    size: tuple[int, int]
    box: Box
    ratios: tuple[str, ...]
    half: str
    cut: Box | None = None
    drawing: dict[str, Any] | None = None

    @property
    def is_portrait(self) -> bool:
        """Return whether the picture is higher than wide."""
        return self.size[0] < self.size[1]


def load() -> list[Scene]:
    """Return all scenes in the order of the file."""
    return [_scene(**words) for words in json.loads(LABELS.read_text("utf-8"))]


def _scene(**words: Any) -> Scene:
    for name in ("size", "box", "ratios", "cut"):
        if name in words:
            words[name] = tuple(words[name])
    return Scene(**words)


def window(size: tuple[int, int], ratio: str) -> tuple[Fraction, Fraction]:
    """Return width and height of the largest crop of that ratio."""
    width, height = size
    wide, high = map(int, ratio.split(":"))
    shape = Fraction(wide, high)
    return min(Fraction(width), height * shape), min(Fraction(height), width / shape)


def fitting(scene: Scene) -> tuple[str, ...]:
    """Return the ratios whose crop has room for the box."""
    ratios = PORTRAIT if scene.is_portrait else LANDSCAPE
    windows = {ratio: window(scene.size, ratio) for ratio in ratios}
    return tuple(
        ratio
        for ratio, (width, height) in windows.items()
        if scene.box[2] <= width and scene.box[3] <= height
    )


def is_held_by_centre(scene: Scene, ratio: str) -> bool:
    """Return whether the crop at the centre has the whole box."""
    x, y, w, h = scene.box
    width, height = window(scene.size, ratio)
    left, top = (scene.size[0] - width) / 2, (scene.size[1] - height) / 2
    return left <= x and x + w <= left + width and top <= y and y + h <= top + height


def halves(scenes: list[Scene]) -> dict[str, str]:
    """Return the half of each scene by its name.

    Of the landscape scenes in the order of the SHA-256 of their names, every other one
    is for tuning, from the first on; so are the portrait ones.
    """
    found = {}
    for portrait in (False, True):
        names = [scene.name for scene in scenes if scene.is_portrait is portrait]
        names.sort(key=lambda name: sha256(name.encode()).hexdigest())
        found |= {name: HALVES[place % 2] for place, name in enumerate(names)}
    return found


def video(scene: Scene, folder: Path, ffmpeg: str, corpus: Path | None = None) -> Path:
    """Return the film that shows the scene at its time.

    A whole clip of the corpus is returned as it is; others are made in ``folder``,
    unless they are there. Raises ValueError for a scene that needs a corpus when none
    is given, and CalledProcessError.
    """
    target = folder / f"{scene.name}.mp4"
    if scene.drawing is not None:
        words = _drawn(scene, scene.drawing)
    elif corpus is None:
        raise ValueError(f"{scene.name} is a film of the corpus: which folder is it?")
    else:
        path = corpus / FILMS.get(scene.source, Path("clips", scene.source))
        if scene.cut is None:
            return path
        words = _cut(scene, path, scene.cut)
    if not target.exists():
        whole = target.with_suffix(".part.mp4")
        words += ["-t", str(scene.time + REST), "-an", "-c:v", "libx264"]
        words += ["-preset", "veryfast", "-crf", "14", "-pix_fmt", "yuv420p"]
        _run([ffmpeg, *words, str(whole)])
        whole.replace(target)
    return target


def _cut(scene: Scene, path: Path, cut: Box) -> list[str]:
    x, y, width, height = cut
    square = "scale=round(iw*sar/2)*2:ih,setsar=1"
    chain = f"{square},crop={width}:{height}:{x}:{y}"
    return ["-threads", "1", "-i", str(path), "-vf", chain]


def _drawn(scene: Scene, drawing: dict[str, Any]) -> list[str]:
    """Return FFmpeg's inputs and the graph that lays the layers on the ground.

    A layer has ``at``, where it is at the scene's time, [x, y, w, h], a ``paint``, and
    may have a ``shape`` (ellipse) and ``moves``, in pixels a second.
    """
    words = _input(drawing["ground"], scene.size)
    chains = ["[0:v]null[v0]"]
    for k, layer in enumerate(drawing["layers"], 1):
        x, y, width, height = layer["at"]
        right, down = layer.get("moves", (0, 0))
        words += _input(layer["paint"], (width, height))
        shape = "format=rgba"
        if layer.get("shape") == "ellipse":
            planes = "r='r(X,Y)':g='g(X,Y)':b='b(X,Y)'"
            shape += f",geq={planes}:a='255*{ELLIPSE}'"
        place = [f"{at}+{by}*(t-{scene.time})" for at, by in ((x, right), (y, down))]
        chains += [
            f"[{k}:v]{shape}[p{k}]",
            f"[v{k - 1}][p{k}]overlay=x='{place[0]}':y='{place[1]}'[v{k}]",
        ]
    last = f"[v{len(drawing['layers'])}]"
    return [*words, "-filter_complex", ";".join(chains), "-map", last]


def _input(paint: str, size: tuple[int, int]) -> list[str]:
    if paint.startswith("0x"):
        paint = f"color={paint}:s={{size}}:r={{fps}}"
    wide = f"{size[0]}x{size[1]}"
    return ["-f", "lavfi", "-i", paint.format(size=wide, fps=FPS, font=FONT)]


def picture(scene: Scene, path: Path) -> Image.Image:
    """Return the exact still of a film at the scene's time, as the worker takes it.

    Raises MediaError, and ValueError when the picture has not the labelled size.
    """
    width, height = scene.size
    spec = ThumbnailSpec(
        kind="thumbnail",
        time=scene.time,
        policy="exact",
        format="png",
        width=width,
        height=height,
    )
    engine = Engine(Settings())
    source = LocalFile(path)
    with TemporaryDirectory() as folder:
        job = RenderJob(spec, engine.probe(source), source, Path(folder))
        (file,) = engine.render(job, Watch()).files
        with Image.open(file.path) as opened:
            image = opened.convert("RGB")
    if image.size != scene.size:
        raise ValueError(f"{scene.name} is {image.size}, its label says {scene.size}")
    return image


def _run(words: list[str]) -> None:
    argv = [words[0], "-nostdin", "-v", "error", "-y", *words[1:]]
    subprocess.run(argv, check=True, capture_output=True, timeout=120)


def summary(scenes: list[Scene]) -> str:
    """Return how many scenes fit each ratio, and how many its centre crop holds."""
    rows = []
    for ratio in (*LANDSCAPE, *PORTRAIT):
        for half in HALVES:
            fit = [s for s in scenes if ratio in s.ratios and s.half == half]
            held = sum(is_held_by_centre(scene, ratio) for scene in fit)
            rows.append(f"{ratio:5} {half:9} fit {len(fit):3} centre {held:3}")
    return "\n".join(rows)


def main() -> int:
    """Print the summary; write the pictures with their boxes where it was asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.crop.scenes")
    parser.add_argument("--corpus", type=Path, help="folder with clips/ and perf/")
    parser.add_argument("--keep", type=Path, help="folder for pictures with boxes")
    requested = parser.parse_args()
    scenes = load()
    if requested.keep:
        requested.keep.mkdir(parents=True, exist_ok=True)
        ffmpeg = binary.path(Settings())
        for scene in scenes:
            path = video(scene, requested.keep, ffmpeg, requested.corpus)
            target = requested.keep / f"{scene.name}.png"
            marked(scene, picture(scene, path)).save(target)
    print(summary(scenes))
    return 0


def marked(scene: Scene, image: Image.Image) -> Image.Image:
    """Return the picture with the box of its subject in red."""
    x, y, width, height = scene.box
    edges = (x, y, x + width - 1, y + height - 1)
    ImageDraw.Draw(image).rectangle(edges, outline="red", width=1 + image.width // 500)
    return image


if __name__ == "__main__":
    sys.exit(main())
