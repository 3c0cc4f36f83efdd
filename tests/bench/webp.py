"""Compare our animated WebP with libwebp's: bytes, PSNR and frames.

Three seconds of FILE are encoded both ways.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import tempfile
from pathlib import Path

from PIL import Image, ImageChops, ImageSequence, ImageStat

from common.settings.load import Settings
from worker.media.ffmpeg import binary
from worker.media.recipes.shared import encoders

_SECONDS = 3


def _pictures(path: Path) -> list[Image.Image]:
    with Image.open(path) as file:
        return [frame.convert("RGB") for frame in ImageSequence.Iterator(file)]


def _psnr(shown: Image.Image, film: Image.Image) -> float:
    squares = ImageStat.Stat(ImageChops.difference(shown, film)).sum2
    mean = sum(squares) / (3 * shown.width * shown.height)
    return 10 * math.log10(255**2 / max(mean, 0.01))


def _ours(width: int, height: int, fps: float) -> list[str]:
    words = encoders.moving("webp", 75, loop=0, width=width, height=height, fps=fps)
    names = ("c:v", "cr_size", "cr_threshold")
    options = [word for name in names if name in words for word in (name, words[name])]
    options[::2] = [f"-{name}" for name in options[::2]]
    return [*map(str, options), "-pix_fmt", encoders.WEBP_PIXELS]


def main() -> None:
    """Print a line for each way to write the animation."""
    parser = argparse.ArgumentParser(prog="./dev bench webp", description=__doc__)
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("start", metavar="START", help="seconds")
    parser.add_argument("width", metavar="WIDTH", type=int, help="pixels")
    parser.add_argument("fps", metavar="FPS", type=float, help="frames a second")
    given = parser.parse_args()
    _compare(given.file, given.start, given.width, given.fps)


def _compare(file: str, start: str, width: int, fps: float) -> None:
    words = [binary.path(Settings()), "-v", "fatal", "-y", "-ss", start, "-i", file]
    words += ["-t", str(_SECONDS), "-an", "-vf"]
    colours = "out_color_matrix=bt601:out_range=limited"
    scale = f"scale={width}:-2:flags=bicubic:{colours},setsar=1,format=yuv420p"
    words.append(f"fps={fps},{scale},setparams=colorspace=smpte170m:range=limited")
    with tempfile.TemporaryDirectory() as folder:
        film, made = Path(folder) / "film.png", Path(folder) / "made.webp"
        argv = [*words, "-c:v", "apng", "-f", "apng", str(film)]
        subprocess.run(argv, check=True)
        pictures = _pictures(film)
        ways = {
            "libwebp_anim": ["-c:v", "libwebp_anim"],
            "16 x 16": [
                "-c:v",
                "libwebp",
                "-cr_threshold",
                "512",
                "-pix_fmt",
                "yuva420p",
            ],
            "whole frames": ["-c:v", "libwebp"],
            "ours": _ours(*pictures[0].size, fps),
        }
        for name, way in ways.items():
            argv = [*words, *way, "-quality", "75", "-loop", "0", str(made)]
            subprocess.run(argv, check=True)
            shown = _pictures(made)
            psnr = math.nan
            if len(shown) == len(pictures):
                psnr = sum(map(_psnr, shown, pictures)) / len(shown)
            size = made.stat().st_size
            print(f"{name:13} {size:8} bytes  {psnr:.2f} dB  {len(shown)} frames")


if __name__ == "__main__":
    main()
