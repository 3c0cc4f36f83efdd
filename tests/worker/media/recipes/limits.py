"""Check ``max_bytes`` on many clips: the size, the trials, the best choice."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from PIL import Image, ImageMath, ImageSequence

from common.errors import MediaError
from common.outputs.specs import OUTPUT_SPEC
from common.settings.load import Settings
from tests.worker.media.recipes.ramps import ffmpeg
from worker.media.engine import Engine, Rendered, RenderJob, Watch
from worker.media.source_file import LocalFile

SAMPLE = Path(__file__).parents[4] / "deploy" / "allinone" / "sample.mp4"
FORMATS = ("gif", "webp", "mp4", "avif", "webm")
TRIALS = 6
# How much better another trial may seem to a measure of another kind.
DOUBT = 0.02
_BLOCK = 8
_SHARES = (0.6, 0.3, 0.1)
# An MP4 of one grey frame has 1.6 kB.
_LEAST = 3000

# Sources by FFmpeg's generators (lavfi), and what is made of the sample.
DRAWN = {
    "test card": "testsrc2=s=480x270:r=30:d=6",
    "noise": "nullsrc=s=320x240:r=25:d=4,geq=random(1)*255:128:128",
    "flat": "color=c=0x3070a0:s=640x360:r=25:d=6",
    "fractal": "mandelbrot=s=480x270:r=25,trim=duration=6",
    "cells": "life=s=320x180:r=20:ratio=0.2:mold=10:life_color=white,trim=duration=5",
    "gradient": "gradients=s=640x360:r=25:d=6:speed=0.05",
    "bars and text": "smptehdbars=s=640x360:r=25:d=5",
    "tiny": "testsrc2=s=48x36:r=25:d=5",
    "ribbon": "testsrc2=s=1280x64:r=25:d=5",
    "two frames": "testsrc2=s=320x180:r=2:d=1",
    "sixty a second": "testsrc2=s=320x180:r=60:d=4",
}
FILMED = {
    "footage": "null",
    "portrait": "crop=202:360,scale=404:720",
    "grain": "noise=alls=40:allf=t",
    "dark": "eq=brightness=-0.35:contrast=0.7",
    "grey": "hue=s=0",
    "slides": "fps=1/2,fps=25",
    "cuts": "select='not(mod(n\\,23))',setpts=N/6/TB",
    "fades": "fade=in:0:60,fade=out:200:90",
    "clear": "scale=320:180,format=yuva444p,geq=lum='p(X,Y)':cb='cb(X,Y)':"
    "cr='cr(X,Y)':a='255*lt(hypot(X-160,Y-90),85)',format=argb",
    "long": "loop=loop=3:size=300",
}


def clips(
    folder: Path, names: Sequence[str] = (*DRAWN, *FILMED)
) -> Iterator[tuple[str, Path]]:
    """Make the clips of those names, one by one."""
    for name in (name for name in names if name in DRAWN):
        path = folder / f"{name.replace(' ', '-')}.mkv"
        ffmpeg("-f", "lavfi", "-i", DRAWN[name], "-c:v", "ffv1", str(path))
        yield name, path
    for name in (name for name in names if name in FILMED):
        path = folder / f"{name}.mov"
        codec = ("qtrle",) if name == "clear" else ("libx264", "-preset", "ultrafast")
        words = ("-an", "-vf", FILMED[name], "-c:v", *codec)
        ffmpeg("-i", str(SAMPLE), *words, str(path))
        yield name, path


@dataclass(frozen=True)
class Row:
    """The result of one clip in one format under one limit."""

    clip: str
    format: str
    limit: int
    bytes: int
    trials: int
    chosen: float
    best: float

    @property
    def faults(self) -> list[str]:
        """Return the promises that were broken."""
        found = []
        if self.bytes > self.limit:
            found.append("over the limit")
        if self.trials > TRIALS:
            found.append("too many trials")
        if self.chosen < self.best - DOUBT:
            found.append("not the best")
        return found

    def __str__(self) -> str:
        """Return the row of the table."""
        fill = f"{100 * self.bytes / self.limit:.0f} %"
        numbers = f"{self.limit} | {self.bytes} | {fill} | {self.trials}"
        ssim = f"{self.chosen:.4f} | {self.best:.4f}"
        faults = ", ".join(self.faults) or "kept"
        return f"| {self.clip} | {self.format} | {numbers} | {ssim} | {faults} |"


HEAD = (
    "| clip | format | limit | bytes | fill | trials | SSIM | best SSIM | |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


class Bench:
    """Render clips under limits and judge the results."""

    def __init__(self, engine: Engine, folder: Path, **spec: Any) -> None:
        self._engine = engine
        self._folder = folder
        self._spec = {"kind": "animation", "start": 0, "duration": 3, "width": 240}
        self._spec |= spec
        self._count = 0

    def render(self, path: Path, kind: str, limit: int) -> tuple[Rendered, Path]:
        """Render under a limit; return the result and the folder with all trials."""
        self._count += 1
        workdir = self._folder / f"run-{self._count}"
        workdir.mkdir()
        spec = OUTPUT_SPEC.validate_python(
            self._spec | {"format": kind, "max_bytes": limit}
        )
        media = self._engine.probe(LocalFile(path))
        return self._engine.render(
            RenderJob(spec, media, LocalFile(path), workdir), Watch()
        ), (workdir)

    def row(self, name: str, path: Path, kind: str, share: float) -> Row:
        """Render at a share of the size without a limit, and measure the trials."""
        free, _ = self.render(path, kind, 1_000_000_000)
        limit = max(_LEAST, round(free.files[0].path.stat().st_size * share))
        done, workdir = self.render(path, kind, limit)
        made = done.files[0]
        master = list(_pyav(workdir / "master.mkv"))
        found = {
            trial.name: ssim(master, trial)
            for trial in sorted(workdir.glob("trial-*"))
            if trial.stat().st_size <= limit
        }
        size = made.path.stat().st_size
        trials = made.details["trials"]
        assert trials == len(list(workdir.glob("trial-*")))
        chosen = found[made.path.name]
        return Row(name, kind, limit, size, trials, chosen, max(found.values()))


def _pyav(path: Path) -> Iterator[tuple[float, Image.Image]]:
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            plane = frame.reformat(format="rgba").planes[0]
            size = (frame.width, frame.height)
            words = ("raw", "RGBA", plane.line_size, 1)
            picture = Image.frombuffer("RGBA", size, bytes(plane), *words)
            yield float(frame.time or 0), _seen(picture)


def _pillow(path: Path) -> Iterator[tuple[float, Image.Image]]:
    until = 0.0
    with Image.open(path) as film:
        for frame in ImageSequence.Iterator(film):
            picture = _seen(frame.convert("RGBA"))
            yield until, picture
            until += frame.info.get("duration", 0) / 1000


def _seen(picture: Image.Image) -> Image.Image:
    """Return the light of a picture on black."""
    black = Image.new("RGBA", picture.size, "black")
    return Image.alpha_composite(black, picture).convert("L")


def ssim(master: list[tuple[float, Image.Image]], trial: Path) -> float:
    """Return the mean SSIM of the pictures on screen in the middle of each frame."""
    read = _pyav if trial.suffix in (".mp4", ".webm") else _pillow
    frames = list(read(trial))
    ends = [time for time, _ in master[1:]]
    ends.append(2 * master[-1][0] - master[-2][0] if len(master) > 1 else 0.1)
    total = 0.0
    for (start, wanted), end in zip(master, ends, strict=True):
        shown = [one for time, one in frames if time <= (start + end) / 2]
        total += _alike(wanted, (shown or [frames[0][1]])[-1])
    return total / len(master)


def _alike(one: Image.Image, other: Image.Image) -> float:
    """Return the SSIM of two grey pictures (Wang et al. 2004), by blocks."""
    other = other.resize(one.size, Image.Resampling.BICUBIC)
    size = (max(1, one.width // _BLOCK), max(1, one.height // _BLOCK))
    a, b = one.convert("F"), other.convert("F")

    def mean(picture: Image.Image) -> Image.Image:
        return picture.resize(size, Image.Resampling.BOX)

    def times(x: Image.Image, y: Image.Image) -> Image.Image:
        return ImageMath.lambda_eval(lambda given: given["x"] * given["y"], x=x, y=y)

    terms = {"a": mean(a), "b": mean(b), "aa": mean(times(a, a))}
    terms |= {"bb": mean(times(b, b)), "ab": mean(times(a, b))}
    found = ImageMath.lambda_eval(_formula, **terms)
    values = list(found.get_flattened_data())
    return sum(values) / len(values)


def _formula(m: dict[str, Any]) -> Any:
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    both, squares = m["a"] * m["b"], m["a"] * m["a"] + m["b"] * m["b"]
    top = (both * 2 + c1) * ((m["ab"] - both) * 2 + c2)
    return top / ((squares + c1) * (m["aa"] + m["bb"] - squares + c2))


def main() -> int:
    """Print the table; return 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clips", type=Path, help="a folder of more files")
    parser.add_argument("--formats", nargs="+", default=FORMATS, choices=FORMATS)
    requested = parser.parse_args()
    print(HEAD)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bench = Bench(Engine(Settings()), folder)
        more = sorted(requested.clips.iterdir()) if requested.clips else []
        found = [*clips(folder), *((path.name[:24], path) for path in more)]
        for place, (clip, path) in enumerate(found):
            for turn, kind in enumerate(requested.formats):
                share = _SHARES[(place + turn) % len(_SHARES)]
                try:
                    rows.append(bench.row(clip, path, kind, share))
                except MediaError as error:
                    print(f"| {clip} | {kind} | {type(error).__name__}: {error} |")
                    if clip in DRAWN or clip in FILMED:
                        return 1
                    break
                print(rows[-1], flush=True)
    return _summary(rows)


def _summary(rows: list[Row]) -> int:
    searched = [row for row in rows if row.trials > 1]
    fill = sorted(row.bytes / row.limit for row in searched)
    broken = sum(1 for row in rows if row.faults)
    print(
        f"\n{len(rows)} files, {broken} broken promises; of {len(searched)} searched: "
        f"fill {fill[0]:.2f} least, {fill[len(fill) // 2]:.2f} median, "
        f"{max(row.trials for row in searched)} trials at most"
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
