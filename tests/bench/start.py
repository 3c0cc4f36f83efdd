"""What choosing the start of an animation costs, in CPU of a whole render.

``./dev bench start CLIP...`` renders the default animation of each clip twice, in
turns: with ``start: "auto"`` (the default), and with the start that it chose named in
the request. It prints the ratio of their CPU (user and system, of FFmpeg and of this
process) for each clip, and the median. Aim: a median of at most 1.2.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from common.errors import FramemillError
from common.model import MediaInfo
from common.outputs.specs import AnimationSpec
from common.settings.load import Settings
from tests.bench import usage
from worker.media.engine import Engine, Rendered, RenderJob, Watch
from worker.media.source_file import LocalFile


def cpu_seconds() -> float:
    """Return the CPU that this process has used, and the server that forks FFmpeg."""
    return usage.cpu_seconds({"engine": os.getpid()})["engine"]


def render(engine: Engine, clip: Path, media: MediaInfo, **words: Any) -> Rendered:
    """Render an animation of a clip in a folder that is removed at once."""
    spec = AnimationSpec(kind="animation", **words)
    with tempfile.TemporaryDirectory() as folder:
        return engine.render(
            RenderJob(spec, media, LocalFile(clip), Path(folder)), Watch()
        )


def measure(engine: Engine, clip: Path, rounds: int) -> tuple[float, list[str]]:
    """Return the ratio of CPU, with and without the choice, and the warnings."""
    media = engine.probe(LocalFile(clip))
    chosen = render(engine, clip, media)
    start = chosen.files[0].details["start"]
    spent = {"auto": 0.0, "named": 0.0}
    for _ in range(rounds):
        for name, words in (("auto", {}), ("named", {"start": start})):
            before = cpu_seconds()
            render(engine, clip, media, **words)
            spent[name] += cpu_seconds() - before
    return spent["auto"] / spent["named"], chosen.warnings


def main() -> int:
    """Measure the clips that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    engine = Engine(Settings.model_validate({"api": {"secret": "x" * 32}}))
    ratios = []
    for clip in options.clips:
        try:
            ratio, warnings = measure(engine, clip, options.rounds)
        except FramemillError as error:
            print(f"{clip.name}: {error}")
            continue
        ratios.append(ratio)
        print(f"{clip.name}: {ratio:.2f} {' '.join(warnings)}")
    if not ratios:
        return 1
    print(f"median of {len(ratios)}: {statistics.median(ratios):.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
