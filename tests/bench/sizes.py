"""What several sizes and formats of a still cost, beside asking for each alone.

``./dev bench sizes`` makes a clip of ten seconds in 1920x1080, starts the service on
loopback and sends one job after another, all kinds in turns, without dedupe. It prints
the CPU of all processes of the service for one job of each, as the median of the
rounds, and two ratios: three widths to the largest alone, and three formats in one
output to the three jobs that ask for one each. The exit status is 0 if both targets are
met.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from common.settings.load import Settings
from tests.bench.still import KEY, Processes, ask
from tests.chaos.service import Service
from tests.conftest import SAMPLE
from worker.media.ffmpeg import binary

WIDTHS = [320, 640, 1280]
FORMATS = ["avif", "webp", "jpeg"]
LARGEST, ALL_WIDTHS, ALL_FORMATS = "1280 alone", "320, 640, 1280", "all formats"
SPECS: dict[str, dict[str, Any]] = {
    LARGEST: {"width": 1280},
    ALL_WIDTHS: {"widths": WIDTHS},
    **{f"{one} alone": {"format": one} for one in FORMATS},
    ALL_FORMATS: {"formats": FORMATS},
}
MOST_WIDTHS, MOST_FORMATS = 1.35, 0.6


def clip(path: Path) -> None:
    """Write ten seconds of the sample in 1920x1080, as H.264 at 30 frames a second."""
    words = ["-nostdin", "-v", "error", "-y", "-i", SAMPLE, "-t", 10, "-an"]
    words += ["-vf", "scale=1920:1080", "-r", 30, "-c:v", "libx264", "-crf", 20]
    words += ["-preset", "veryfast", "-g", 60, "-f", "mp4", path]
    subprocess.run([binary.path(Settings()), *map(str, words)], check=True)


def measure(folder: Path, rounds: int) -> dict[str, float]:
    """Return the CPU milliseconds of one job of each kind."""
    place = folder / "blobs" / KEY
    place.parent.mkdir(parents=True)
    clip(place)
    spent: dict[str, list[float]] = {name: [] for name in SPECS}
    with Service(folder) as service:
        for _ in range(6):  # both processes of the pool have then worked once
            ask(service.url)
        processes = Processes(service)
        for _ in range(rounds):
            for name, words in SPECS.items():
                before = processes.seconds().total()
                ask(service.url, {"kind": "thumbnail", **words})
                spent[name].append(1000 * (processes.seconds().total() - before))
    return {name: statistics.median(each) for name, each in spent.items()}


def main() -> int:
    """Measure, print the table and return the exit status."""
    parser = argparse.ArgumentParser(prog="./dev bench sizes", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        spent = measure(Path(folder), options.rounds)
    for name, milliseconds in spent.items():
        print(f"{name:24}{milliseconds:9.1f} ms of CPU")
    widths = spent[ALL_WIDTHS] / spent[LARGEST]
    formats = spent[ALL_FORMATS] / sum(spent[f"{one} alone"] for one in FORMATS)
    print(f"{'three widths / largest':24}{widths:9.2f}   (at most {MOST_WIDTHS})")
    print(f"{'formats / one by one':24}{formats:9.2f}   (at most {MOST_FORMATS})")
    return 0 if widths <= MOST_WIDTHS and formats <= MOST_FORMATS else 1


if __name__ == "__main__":
    sys.exit(main())
