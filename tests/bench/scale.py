"""What exact colours cost: CPU of scaling a frame with the flags that keep it white.

``./dev bench scale CLIP...`` decodes each clip and scales it to 640 pixels, in turns:
not at all, with swscale's defaults, and with the flags of the service. It prints the
CPU milliseconds a frame that scaling takes either way, and the ratio of both runs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from common.settings.load import Settings
from tests.bench import usage
from worker.media.ffmpeg import binary

FRAMES = 250
FILTERS = {
    "none": "null",
    "default": "scale=640:-2:flags=bicubic,format=rgb24",
    "exact": "scale=640:-2:flags=bicubic+accurate_rnd+full_chroma_int,format=rgb24",
}


def cpu_seconds(program: str, clip: Path, chain: str) -> float:
    """Return the CPU that FFmpeg uses for the first frames of a clip."""
    words = [program, "-v", "error", "-i", str(clip), "-an", "-vf", chain]
    words += ["-frames:v", str(FRAMES), "-f", "null", "-"]
    return usage.run(words).cpu


def main() -> int:
    """Measure the clips that the command line names; each has at least 250 frames."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    program = binary.path(Settings.model_validate({"api": {"secret": "x" * 32}}))
    for clip in options.clips:
        spent = dict.fromkeys(FILTERS, 0.0)
        for _ in range(options.rounds):
            for name, chain in FILTERS.items():
                spent[name] += cpu_seconds(str(program), clip, chain)
        frames = options.rounds * FRAMES
        cost = {
            name: 1000 * (spent[name] - spent["none"]) / frames
            for name in ("default", "exact")
        }
        ratio = spent["exact"] / spent["default"]
        print(
            f"{clip.name}: {cost['default']:.2f} ms a frame by default, "
            f"{cost['exact']:.2f} exact; whole run {ratio:.2f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
