"""Judge ``gravity`` smart by the labelled scenes, and count what it costs.

    python -m tests.crop.judge --half tuning [--corpus FOLDER --keep FOLDER]

renders each crop of a half twice, with ``gravity`` smart and center, as an exact still
of full height or full width. A crop holds a scene if the whole box is in the ``crop``
that the result states, to a pixel. Then it prints how many each holds, with Wilson's
interval of 95 %, the scenes that smart missed, and the CPU of all runs with smart
beside that of the same stills at the center. Without ``--corpus`` only scenes that are
drawn are judged.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image, ImageDraw

from common.outputs.specs import ThumbnailSpec
from common.settings.load import Settings
from tests.bench.still import recorded_runs
from tests.crop import scenes
from tests.crop.scenes import DRAWN, HALVES, Box, Scene
from worker.media.engine import Engine, RenderJob, Watch
from worker.media.ffmpeg import binary
from worker.media.source_file import LocalFile

WAYS = ("center", "smart")
POLICIES = ("exact", "auto")
# The z of an interval of 95 %.
_Z = 1.96


@dataclass(frozen=True)
class Judged:
    """One crop of a scene: by way, the part that is shown; by policy and way, CPU."""

    scene: Scene
    ratio: str
    shown: dict[str, Box]
    cpu: dict[tuple[str, str], float]

    def holds(self, way: str) -> bool:
        """Return whether the whole box is in the crop, to a pixel."""
        x, y, w, h = self.scene.box
        left, top, width, height = self.shown[way]
        across = left - 1 <= x and x + w <= left + width + 1
        return across and top - 1 <= y and y + h <= top + height + 1


def judge(
    scene: Scene, ratio: str, film: Path, engine: Engine, *, cost: bool
) -> Judged:
    """Render a crop of the scene in both ways, and by policy auto for its cost."""
    sides = [max(2, round(side)) for side in scenes.window(scene.size, ratio)]
    shown: dict[str, Box] = {}
    cpu: dict[tuple[str, str], float] = {}
    source = LocalFile(film)
    media = engine.probe(source)
    for policy in POLICIES if cost else POLICIES[:1]:
        for way in WAYS:
            words: dict[str, Any] = {"width": sides[0], "height": sides[1]}
            words |= {"kind": "thumbnail", "fit": "cover", "gravity": way}
            words |= {"policy": policy}
            words |= {"time": scene.time} if policy == "exact" else {}
            spec = ThumbnailSpec.model_validate(words)
            before = time.process_time()
            with recorded_runs() as runs, TemporaryDirectory() as folder:
                job = RenderJob(spec, media, source, Path(folder))
                (file,) = engine.render(job, Watch()).files
            own = time.process_time() - before
            cpu[policy, way] = own + sum(done.cpu_seconds for _, done in runs)
            if policy == "exact":
                crop = file.details["crop"]
                shown[way] = (crop["x"], crop["y"], crop["width"], crop["height"])
    return Judged(scene, ratio, shown, cpu)


def interval(held: int, many: int) -> tuple[float, float]:
    """Return Wilson's interval of a share, from 0 to 1."""
    share = held / many
    middle = share + _Z**2 / (2 * many)
    reach = _Z * sqrt(share * (1 - share) / many + _Z**2 / (4 * many**2))
    whole = 1 + _Z**2 / many
    return (middle - reach) / whole, (middle + reach) / whole


def report(judged: Sequence[Judged]) -> str:
    """Return what each way holds, what smart missed, and the ratios of CPU."""
    lines = []
    ratios = [*scenes.LANDSCAPE, *scenes.PORTRAIT]
    for name in [*ratios, "all"]:
        some = [one for one in judged if name in ("all", one.ratio)]
        if not some:
            continue
        cells = []
        for way in WAYS:
            held = sum(one.holds(way) for one in some)
            low, high = (100 * end for end in interval(held, len(some)))
            share = 100 * held / len(some)
            cells.append(f"{way} {held:2} = {share:3.0f} % ({low:.0f} to {high:.0f})")
        lines.append(f"{name:5} n {len(some):2}  {'  '.join(cells)}")
    lines += [
        f"smart missed {one.scene.name} {one.ratio}: box {one.scene.box}, "
        f"crop {one.shown['smart']}"
        for one in judged
        if not one.holds("smart")
    ]
    for policy in POLICIES:
        center, smart = (
            sum(one.cpu.get((policy, way), 0.0) for one in judged) for way in WAYS
        )
        if center:
            lines.append(f"CPU of {policy}: smart {smart / center:.2f} x center")
    return "\n".join(lines)


def _drawn(one: Judged, film: Path) -> Image.Image:
    """Return the picture with the box in red and the smart crop in yellow."""
    image = scenes.marked(one.scene, scenes.picture(one.scene, film))
    x, y, width, height = one.shown["smart"]
    edges = (x, y, x + width - 1, y + height - 1)
    pen = 1 + image.width // 400
    ImageDraw.Draw(image).rectangle(edges, outline="yellow", width=pen)
    return image


def main() -> int:
    """Judge one half, and print the report."""
    parser = argparse.ArgumentParser(prog="python -m tests.crop.judge")
    parser.add_argument("--half", choices=HALVES, required=True)
    parser.add_argument("--corpus", type=Path, help="folder with clips/ and perf/")
    parser.add_argument("--keep", type=Path, help="folder for films and pictures")
    requested = parser.parse_args()
    engine, ffmpeg = Engine(Settings()), binary.path(Settings())
    judged: list[Judged] = []
    with TemporaryDirectory() as scratch:
        folder = requested.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for scene in scenes.load():
            known = requested.corpus or scene.source == DRAWN
            if scene.half != requested.half or not known:
                continue
            film = scenes.video(scene, folder, ffmpeg, requested.corpus)
            for ratio in scene.ratios:
                judged.append(judge(scene, ratio, film, engine, cost=True))
                if requested.keep:
                    name = f"{scene.name}-{ratio.replace(':', 'x')}.png"
                    _drawn(judged[-1], film).save(folder / name)
    print(report(judged))
    return 0


if __name__ == "__main__":
    sys.exit(main())
