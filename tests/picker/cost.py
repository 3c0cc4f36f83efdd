"""Report the CPU of ``auto`` beside a plain still, by size and group of pictures.

    python -m tests.picker.cost [--keep FOLDER] [--shots N]

The footage is scaled to each size with keyframes in each interval; films of an hour
repeat it without a new encode. The plain still is the mean of ``N`` stills spread over
the middle group of pictures: at half of the length, a clip whose keyframe happens to
lie there would cost a fraction of its neighbours.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import mean

from common.settings.load import Settings
from tests.picker.clips import FOOTAGE
from tests.picker.evaluate import Result, compare, run
from tests.picker.real import RealClip
from worker.media.engine import Engine
from worker.media.source_file import LocalFile

SIZES = ((640, 360), (1280, 720), (1920, 1080), (3840, 2160))
GROUPS = (0.5, 1.0, 2.0, 5.0, 10.0)
FPS = 24
SECONDS = 27.4
HOUR_SIZES = SIZES[:3]
HOUR_GROUP = 2.0


def film(folder: Path, size: tuple[int, int], group: float, *, hour: bool) -> Path:
    """Make a clip of twice the footage, or of an hour of it."""
    kind = "hour" if hour else "clip"
    target = folder / f"{kind}-{size[1]}-{group:g}.mp4"
    if hour:
        short = film(folder, size, group, hour=False)
        loops = str(round(3600 / SECONDS))
        run(
            ["-y", "-stream_loop", loops, "-i", str(short), "-c", "copy", str(target)],
            folder,
        )
        return target
    keys = str(round(group * FPS))
    words = ["-y", "-stream_loop", "1", "-i", str(FOOTAGE), "-an", "-r", str(FPS)]
    words += ["-vf", f"scale={size[0]}:{size[1]}", "-c:v", "libx264", "-g", keys]
    words += ["-preset", "superfast", "-sc_threshold", "0", "-crf", "26"]
    run([*words, str(target)], folder)
    return target


def measure(path: Path, group: float, shots: int, engine: Engine) -> tuple[float, ...]:
    """Return the mean CPU seconds of a still, and those of auto and of its scoring."""
    seconds = engine.probe(LocalFile(path)).duration or SECONDS
    stills = []
    for place in range(shots):
        at = seconds / 2 + group * (place + 0.5) / shots
        half = ["-ss", f"{at:.3f}", "-i", str(path), "-frames:v", "1"]
        half += ["-vf", "scale=640:-2", "-y", "half.jpg"]
        stills.append(run(half, path.parent).cpu)
    result = Result(RealClip(path, ((0, seconds),)), tuned=False)
    compare(result, path, path.parent, engine)
    return mean(stills), result.auto_cpu, result.score_cpu


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, help="folder for the clips")
    parser.add_argument("--shots", type=int, default=4)
    requested = parser.parse_args()
    engine = Engine(Settings())
    cases = [(size, group, False) for size in SIZES for group in GROUPS]
    cases += [(size, HOUR_GROUP, True) for size in HOUR_SIZES]
    print("| clip | still s | auto s | of it scoring | ratio |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        folder = requested.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for size, group, hour in cases:
            path = film(folder, size, group, hour=hour)
            still, auto, own = measure(path, group, requested.shots, engine)
            cells = f"{still:.3f} | {auto:.3f} | {own:.3f} | {auto / still:.2f}"
            print(f"| {path.stem} | {cells} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
