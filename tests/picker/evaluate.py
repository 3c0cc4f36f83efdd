"""Report how often ``auto`` and five simpler ways choose a good frame, and at what CPU.

    python -m tests.picker.evaluate [--only tuned|held-out] [--keep FOLDER] [NAME ...]

A choice is a hit when its time lies in an interval that is good by construction.
CPU is user and system seconds of FFmpeg, and for ``auto`` also of the scoring and
of the final picture at full quality; the plain still is the frame at half time.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import imageio_ffmpeg

from common.config import Settings
from tests.picker.clips import Recipe, make
from tests.picker.recipes import held_out, recipes
from worker.media.engine import Engine
from worker.media.recipes.auto import Pick, pick
from worker.media.recipes.plan import Done
from worker.media.recipes.source import Clip

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
TIME = re.compile(r"pts_time:(-?[\d.]+)")
SLACK = 0.5 / 24


@dataclass
class Run:
    """What FFmpeg gave: standard output, its log, and its CPU seconds."""

    out: bytes
    log: str
    cpu: float


@dataclass
class Result:
    """What every way chose for one clip, and the CPU seconds of two of them."""

    recipe: Recipe
    tuned: bool
    times: dict[str, float | None] = field(default_factory=dict)
    pick: Pick | None = None
    still_cpu: float = 0.0
    auto_cpu: float = 0.0
    score_cpu: float = 0.0

    def hit(self, way: str) -> bool:
        at = self.times[way]
        return at is not None and any(
            a - SLACK <= at <= b - SLACK for a, b in self.recipe.good
        )


def run(words: list[str], folder: Path) -> Run:
    """Run FFmpeg; its exit status does not matter here."""
    before = os.times()
    done = subprocess.run(
        [FFMPEG, "-nostdin", "-hide_banner", "-nostats", *words],
        cwd=folder,
        capture_output=True,
        timeout=120,
        check=False,
    )
    after = os.times()
    cpu = after.children_user - before.children_user
    cpu += after.children_system - before.children_system
    return Run(done.stdout, done.stderr.decode("utf-8", "replace"), cpu)


def choose(clip: Clip, folder: Path) -> tuple[Pick, float, float]:
    """Drive the picker; give its choice, FFmpeg's CPU seconds and our own."""
    started, spent = time.process_time(), 0.0
    steps = pick(clip)
    try:
        step = next(steps)
        while True:
            ran = run(["-y", *step.argv], folder)
            spent += ran.cpu
            done = Done(0, ran.out[: step.capture], ran.log, {})
            step = steps.send(done)
    except StopIteration as stop:
        return stop.value, spent, time.process_time() - started


def _marked(path: Path, folder: Path, filters: str, *before: str) -> list[float]:
    words = [*before, "-i", str(path), "-vf", filters, "-frames:v", "1"]
    log = run([*words, "-f", "null", "-"], folder).log
    return [float(found) for found in TIME.findall(log)]


def _first(path: Path, folder: Path, seconds: float) -> float | None:
    return next(iter(_marked(path, folder, "showinfo")), None)


def _middle(path: Path, folder: Path, seconds: float) -> float | None:
    times = _marked(path, folder, "showinfo", "-ss", str(seconds / 2))
    return times[0] + seconds / 2 if times else None


def _filter(path: Path, folder: Path, seconds: float) -> float | None:
    return next(iter(_marked(path, folder, "thumbnail,showinfo")), None)


def _peertube(path: Path, folder: Path, seconds: float) -> float | None:
    ss = ("-ss", str(seconds / 2))
    times = _marked(path, folder, "thumbnail=50,showinfo", *ss)
    return times[0] + seconds / 2 if times else None


def _immich(path: Path, folder: Path, seconds: float) -> float | None:
    skip = () if path.suffix == ".ts" else ("-skip_frame", "nointra")
    scene = r"select=gt(scene\,0.1)+isnan(prev_selected_n)+gt(n\,20),trim=end_frame=2"
    chain = f"fps=12:start_time=0,thumbnail=12,{scene},showinfo,reverse"
    times = _marked(path, folder, chain, *skip)
    return times[-1] if times else None


WAYS: dict[str, Callable[[Path, Path, float], float | None]] = {
    "first frame": _first,
    "middle frame": _middle,
    "thumbnail filter": _filter,
    "PeerTube's way": _peertube,
    "Immich's way": _immich,
}


def judge(recipe: Recipe, tuned: bool, folder: Path, engine: Engine) -> Result:
    """Make one clip and let every way choose."""
    path = make(recipe, folder, FFMPEG)
    result = Result(recipe, tuned)
    clip = Clip(str(path), engine.probe(path))
    result.pick, spent, own = choose(clip, folder)
    at = result.times["auto"] = result.pick.time
    out = ["-frames:v", "1", "-vf", "scale=640:-2", "-y"]
    final = ["-ss", str(max(0, at)), "-i", str(path), *out, f"{recipe.name}.jpg"]
    result.score_cpu = own
    result.auto_cpu = spent + own + run(final, folder).cpu
    half = ["-ss", str(recipe.seconds / 2), "-i", str(path), *out, "half.jpg"]
    result.still_cpu = run(half, folder).cpu
    for way, find in WAYS.items():
        result.times[way] = find(path, folder, recipe.seconds)
    return result


def report(results: list[Result]) -> str:
    """Give the table of hit rates and CPU as Markdown."""
    groups = {
        "tuned on": [r for r in results if r.tuned],
        "held out": [r for r in results if not r.tuned],
        "all": results,
    }
    lines = ["| way | " + " | ".join(f"{g} ({len(rs)})" for g, rs in groups.items())]
    lines = [lines[0] + " |", "|---" * (1 + len(groups)) + "|"]
    for way in ("auto", *WAYS):
        cells = [
            f"{100 * sum(r.hit(way) for r in rs) / len(rs):.0f} %" if rs else "-"
            for rs in groups.values()
        ]
        lines.append(f"| {way} | " + " | ".join(cells) + " |")
    auto = sum(r.auto_cpu for r in results)
    still = sum(r.still_cpu for r in results)
    own = sum(r.score_cpu for r in results)
    lines += [
        "",
        (
            f"CPU of auto: {auto / still:.2f} x a plain still "
            f"({auto / len(results):.3f} s against {still / len(results):.3f} s "
            f"a clip; {own / len(results):.3f} s of it scoring)"
        ),
    ]
    return "\n".join(lines)


def misses(results: list[Result]) -> str:
    """Give a line for each clip on which auto missed."""
    lines = []
    for r in results:
        if r.hit("auto") or r.pick is None or not r.tuned:
            continue
        good = ", ".join(f"{a:.2f}-{b:.2f}" for a, b in r.recipe.good)
        parts = " ".join(f"{name}={part:.2f}" for name, part in r.pick.factors.items())
        lines.append(
            f"miss {r.recipe.name}: {r.pick.time:.2f} not in {good}; "
            f"{r.pick.score} {parts}; next {r.pick.runners_up}"
        )
    return "\n".join(lines)


def evaluate(folder: Path, only: str | None, names: list[str]) -> list[Result]:
    """Judge the set, or the part of it that was asked for."""
    engine = Engine(Settings())
    results = []
    for place, recipe in enumerate(recipes(folder)):
        tuned = not held_out(place)
        if only and tuned != (only == "tuned"):
            continue
        if names and recipe.name not in names:
            continue
        results.append(judge(recipe, tuned, folder, engine))
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("tuned", "held-out"))
    parser.add_argument("--keep", type=Path, help="folder for clips and pictures")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("names", nargs="*")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        results = evaluate(folder, asked.only, asked.names)
    if asked.verbose:
        for r in results:
            print(
                f"{r.recipe.name:18} auto {r.times['auto']:6.2f} "
                f"{'hit ' if r.hit('auto') else 'MISS'} {r.pick.score or 0:.2f} "
                f"n={r.pick.considered} cpu {r.auto_cpu:.2f}/{r.still_cpu:.2f} "
                f"own {r.score_cpu:.3f}"
            )
    print(misses(results))
    print(report(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
