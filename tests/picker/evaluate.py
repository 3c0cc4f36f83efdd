"""Report how often ``auto`` and five simpler ways choose a good frame, and at what CPU.

    python -m tests.picker.evaluate [--set first|second|real] [--corpus FOLDER]
        [--labels FILE] [--only tuned|held-out] [--keep FOLDER] [--verbose] [NAME ...]

A choice is a hit when its time lies in an interval that is good by construction (a
real clip's: by eye); in a damaged clip, when the frame looks as it did before the
damage. CPU is user and system seconds of FFmpeg, and for ``auto`` also of the scoring
and of the final picture at full quality; the plain still is the frame at half time.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import imageio_ffmpeg

from common.outputs.specs import ThumbnailSpec
from common.settings.load import Settings
from tests.picker.clips import Recipe, clean, make
from tests.picker.real import RealClip, labelled_clips, real_clips
from tests.picker.recipes import held_out, recipes
from tests.picker.second_hand import second_hand
from worker.media.engine import Engine
from worker.media.ffmpeg import binary
from worker.media.ffmpeg.clip import Clip
from worker.media.ffmpeg.plan import Done
from worker.media.recipes.best_frame.auto import Pick, pick
from worker.media.recipes.thumbnail import grab_of_pick
from worker.media.source_file import LocalFile

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
TIME = re.compile(r"pts_time:(-?[\d.]+)")
LIKE = 5.0
FRAME = (64, 36)


@dataclass
class Run:
    """What FFmpeg gave: standard output, its log, and its CPU seconds."""

    out: bytes
    log: str
    cpu: float


@dataclass
class Result:
    """What every way chose for one clip, and the CPU seconds of two of them."""

    recipe: Recipe | RealClip
    tuned: bool
    times: dict[str, float | None] = field(default_factory=dict)
    pick: Pick | None = None
    still_cpu: float = 0.0
    auto_cpu: float = 0.0
    score_cpu: float = 0.0
    whole: dict[str, bool] = field(default_factory=dict)

    def hit(self, way: str) -> bool:
        at = self.times[way]
        slack = 0.5 / self.recipe.fps
        if at is None or self.whole.get(way):
            return at is not None
        return any(a - slack <= at <= b - slack for a, b in self.recipe.good)


def run(words: Sequence[str], folder: Path) -> Run:
    """Run FFmpeg; its exit status does not matter here."""
    return _run([FFMPEG, "-nostdin", "-hide_banner", "-nostats", *words], folder)


def run_step(words: Sequence[str], folder: Path) -> Run:
    """Run a recipe's step under the global options that the engine gives it."""
    argv = binary.command(Settings(), "ffmpeg", words)
    argv[argv.index("{progress}")] = os.devnull
    return _run(argv, folder)


def _run(argv: Sequence[str], folder: Path) -> Run:
    log = folder / "ffmpeg.log"
    with log.open("wb") as errors:
        child = subprocess.Popen(
            argv,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        out = child.stdout.read()
        _, child.returncode, used = os.wait4(child.pid, 0)
        child.stdout.close()
    text = log.read_text("utf-8", "replace")
    return Run(out, text, used.ru_utime + used.ru_stime)


def choose(clip: Clip, folder: Path) -> tuple[Pick, float, float]:
    """Drive the picker; give its choice, FFmpeg's CPU seconds and our own."""
    started, spent = time.process_time(), 0.0
    steps = pick(clip)
    try:
        step = next(steps)
        while True:
            ran = run_step(step.argv, folder)
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


def judge(
    recipe: Recipe | RealClip, folder: Path, engine: Engine, *, tuned: bool = False
) -> Result:
    """Make one clip, unless it is a real one, and let every way choose."""
    real = isinstance(recipe, RealClip)
    path = recipe.path if real else make(recipe, folder, FFMPEG)
    result = Result(recipe, tuned)
    compare(result, path, folder, engine)
    for way, find in WAYS.items():
        result.times[way] = find(path, folder, recipe.seconds)
    if not real and recipe.damage:
        before = clean(recipe, folder)
        for way, at in result.times.items():
            result.whole[way] = at is not None and _alike(path, before, at, folder)
    return result


def compare(result: Result, path: Path, folder: Path, engine: Engine) -> None:
    """Let auto choose and make its picture, and set a plain still beside it."""
    link = folder / "source"
    link.unlink(missing_ok=True)
    link.symlink_to(path.resolve())
    clip = Clip("source", engine.probe(LocalFile(path)))
    result.pick, spent, own = choose(clip, folder)
    result.times["auto"] = result.pick.time
    name = result.recipe.name
    final = grab_of_pick(clip, ThumbnailSpec(kind="thumbnail"), result.pick, name)
    result.score_cpu = own
    result.auto_cpu = spent + own + run_step(final.step.argv, folder).cpu
    half = ["-ss", str(result.recipe.seconds / 2), "-i", str(path)]
    half += ["-frames:v", "1", "-vf", "scale=640:-2", "-y", "half.jpg"]
    result.still_cpu = run(half, folder).cpu


def _alike(path: Path, before: Path, at: float, folder: Path) -> bool:
    """Return whether a frame looks as in the undamaged clip."""
    small = f"scale={FRAME[0]}:{FRAME[1]}:flags=area,format=gray"
    words = ["-frames:v", "1", "-vf", small, "-f", "rawvideo", "pipe:1"]
    seek = ["-ss", str(max(0.0, at - 0.01))]
    one, two = (run([*seek, "-i", str(p), *words], folder).out for p in (path, before))
    if not one or len(one) != len(two):
        return False
    apart = sum(abs(a - b) for a, b in zip(one, two, strict=True)) / len(one)
    return apart < LIKE


def report(results: list[Result]) -> str:
    """Return the table of hit rates and CPU as Markdown."""
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
    ratios = sorted(r.auto_cpu / r.still_cpu for r in results)
    lines += [
        "",
        (
            f"CPU of auto: {auto / still:.2f} x a plain still "
            f"({auto / len(results):.3f} s against {still / len(results):.3f} s "
            f"a clip; {own / len(results):.3f} s of it scoring); "
            f"median {ratios[len(ratios) // 2]:.2f} x, most {ratios[-1]:.2f} x"
        ),
    ]
    return "\n".join(lines)


def misses(results: list[Result]) -> str:
    """Return a line for each clip on which auto missed."""
    lines = []
    for r in results:
        if r.hit("auto") or r.pick is None:
            continue
        good = ", ".join(f"{a:.2f}-{b:.2f}" for a, b in r.recipe.good)
        parts = " ".join(f"{name}={part:.2f}" for name, part in r.pick.factors.items())
        lines.append(
            f"miss {r.recipe.name}: {r.pick.time:.2f} not in {good}; "
            f"{r.pick.score} {parts}; next {r.pick.runners_up}"
        )
    return "\n".join(lines)


def evaluate(
    folder: Path,
    only: str | None,
    names: list[str],
    kind: str = "first",
    corpus: Path | None = None,
    labels: Path | None = None,
) -> list[Result]:
    """Judge a set, or the part of it that was asked for."""
    engine = Engine(Settings())
    clips: Sequence[Recipe | RealClip] = {
        "first": recipes,
        "second": second_hand,
        "real": lambda _: real_clips(corpus) if corpus else [],
        "labelled": lambda _: labelled_clips(labels) if labels else [],
    }["labelled" if labels else kind](folder)
    results = []
    for place, clip in enumerate(clips):
        tuned = kind == "first" and not held_out(place)
        if only and tuned != (only == "tuned"):
            continue
        if names and clip.name not in names:
            continue
        results.append(judge(clip, folder, engine, tuned=tuned))
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--set", choices=("first", "second", "real"), default="first", dest="kind"
    )
    parser.add_argument("--corpus", type=Path, help="folder of the media corpus")
    parser.add_argument("--labels", type=Path, help="a set of your own, see real.py")
    parser.add_argument("--only", choices=("tuned", "held-out"))
    parser.add_argument("--keep", type=Path, help="folder for clips and pictures")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("names", nargs="*")
    requested = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = requested.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        results = evaluate(
            folder,
            requested.only,
            requested.names,
            requested.kind,
            requested.corpus,
            requested.labels,
        )
    if requested.verbose:
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
