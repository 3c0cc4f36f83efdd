"""What the defaults of animations cost, beside other settings and the usual commands.

``./dev bench moving CLIP...`` takes the FFmpeg run that makes the default animation of
each clip, and repeats it with single words replaced: another dither, preset or quality.
For GIFs it also runs ``fps,scale,split,palettegen,paletteuse`` at the same size and
rate. It prints CPU (user and system) and bytes as ratios to that pair (GIF) or to our
run, and the SSIM of the file against the scaled frames of the film, each as the mean
over all clips. ``--format`` measures some formats only.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ffmpeg

from common.errors import FramemillError
from common.outputs.specs import AnimationSpec
from common.settings.load import Settings
from tests.bench import usage
from worker.media.engine import Engine
from worker.media.ffmpeg import binary
from worker.media.ffmpeg.clip import Clip, argv
from worker.media.recipes import animation
from worker.media.recipes.shared import moving, picture, span
from worker.media.source_file import LocalFile

PAIR = "palettegen and paletteuse"
OURS = "default"
_ALL = re.compile(r"All:([0-9.]+)")
_SLOT = "settb=1/15,setpts=N,format=gbrp"
_BAYER = "bayer_scale=5:diff_mode=rectangle:dither=bayer"
# By format: the name of a setting, and the words that it replaces in the run of ours.
CANDIDATES: dict[str, dict[str, dict[str, str]]] = {
    "gif": {
        "256 colours": {"max_colors=192": "max_colors=256"},
        "128 colours": {"max_colors=192": "max_colors=128"},
        "dither none": {_BAYER: "diff_mode=rectangle:dither=none"},
        "dither sierra2_4a": {_BAYER: "diff_mode=rectangle:dither=sierra2_4a"},
    },
    "webp": {
        "quality 60": {"-quality 75": "-quality 60"},
        "quality 90": {"-quality 75": "-quality 90"},
    },
    "avif": {
        "SVT-AV1 preset 8": {"-preset 10": "-preset 8"},
        "SVT-AV1 preset 12": {"-preset 10": "-preset 12"},
    },
    "mp4": {
        "x264 superfast": {"-preset veryfast": "-preset superfast"},
        "x264 medium": {"-preset veryfast": "-preset medium"},
    },
}


@dataclass(frozen=True)
class Result:
    """What a run cost, and what came of it."""

    cpu: float
    bytes: int
    ssim: float


class Trial:
    """One clip in one format, in a folder of its own."""

    def __init__(self, settings: Settings, path: Path, kind: str, folder: Path) -> None:
        self._program = binary.path(settings)
        self._head = binary.head(settings)[1:]
        self._kind = kind
        self._folder = folder
        (folder / "source").symlink_to(path.resolve())
        media = Engine(settings).probe(LocalFile(path))
        self._spec = AnimationSpec.model_validate(
            {"kind": "animation", "format": kind, "start": "10%"}
        )
        self._clip = Clip("source", media)
        self._span = animation.requested_span(self._spec, self._clip)
        size = (self._clip.video.width, self._clip.video.height)
        even = picture.is_even(kind)
        self._box = picture.fit(size, self._spec, moving.DEFAULT_WIDTH, even=even)

    def results(self) -> dict[str, Result]:
        """Run all rows; the pair is compared with frames that its own words scaled."""
        step = next(animation.plan(self._spec, self._clip).alternatives[0].run())
        scaled = self._scaled()
        file = moving.file_name("animation", self._kind)
        found = {}
        for name, words in {OURS: {}, **CANDIDATES[self._kind]}.items():
            run = [*self._head, *replaced(step.argv, name, words)]
            found[name] = self._result(run, file, scaled)
        if self._kind == "gif":
            found[PAIR] = self._pair()
        return found

    def _pair(self) -> Result:
        cut = ["-ss", str(self._span.start), "-t", str(self._span.length)]
        head = ["-v", "error", "-y", *cut, "-i", "source", "-an", "-vf"]
        size = f"{self._box.width}:{self._box.height}"
        scale = f"fps={self._spec.fps},scale={size}:flags=lanczos"
        exact = f"{scale}+accurate_rnd+full_chroma_int,format=gbrp"
        self._run([*head, exact, "-c:v", "ffv1", "pair.nut"])
        colours = "split[a][b];[a]palettegen[p];[b][p]paletteuse"
        return self._result([*head, f"{scale},{colours}", "pair.gif"], None, "pair.nut")

    def _scaled(self) -> str:
        frames = span.sample(
            self._clip, self._span, self._spec.fps, width=self._clip.video.width
        )
        frames = picture.draw(frames, self._clip, self._box, "raw")
        options = {"c:v": "ffv1", "pix_fmt": "gbrp", "fps_mode": "passthrough"}
        words = argv(ffmpeg.output(frames, "scaled.nut", **options))
        self._run([*self._head, *words])
        return "scaled.nut"

    def _result(self, words: Sequence[str], file: str | None, scaled: str) -> Result:
        file = file or words[-1]
        cpu = self._run(words)
        # The first stream of an animated AVIF is a still of its first frame.
        film = "0:v:1" if self._kind == "avif" else "0:v"
        graph = f"[{film}]{_SLOT}[a];[1:v]{_SLOT}[b];[a][b]ssim=stats_file=ssim.log"
        pictures = ("-i", file, "-i", scaled, "-lavfi", graph)
        self._run(["-v", "error", *pictures, "-f", "null", "-"])
        lines = (self._folder / "ssim.log").read_text(encoding="ascii")
        ssim = statistics.mean(map(float, _ALL.findall(lines)))
        return Result(cpu, (self._folder / file).stat().st_size, ssim)

    def _run(self, words: Sequence[str]) -> float:
        plain = [word.replace("{progress}", "/dev/null") for word in words]
        return usage.run([self._program, *plain], self._folder, quiet=True).cpu


def replaced(words: Sequence[str], name: str, changes: Mapping[str, str]) -> list[str]:
    """Return a run's words with some replaced; raise ValueError if one is not there."""
    text = "\n".join(words)
    for old, new in changes.items():
        before = text
        text = text.replace(old.replace(" ", "\n"), new.replace(" ", "\n"))
        if text == before:
            raise ValueError(f"{name}: {old!r} is not in the run: {' '.join(words)}")
    return text.split("\n")


def table(kind: str, clips: Sequence[Mapping[str, Result]]) -> list[str]:
    """Return a line for each row, with the means over the clips."""
    base = PAIR if kind == "gif" else OURS
    lines = []
    for name in clips[0]:
        pairs = [(clip[name], clip[base]) for clip in clips]
        cpu = statistics.mean(one.cpu / other.cpu for one, other in pairs)
        size = statistics.mean(one.bytes / other.bytes for one, other in pairs)
        ssim = statistics.mean(one.ssim for one, _ in pairs)
        lines.append(f"| {kind} | {name} | {cpu:.2f} | {size:.2f} | {ssim:.4f} |")
    return lines


def main() -> int:
    """Measure the clips that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--format", action="append", choices=[*CANDIDATES])
    options = parser.parse_args()
    settings = Settings.model_validate({"api": {"secret": "x" * 32}})
    for kind in options.format or CANDIDATES:
        found = []
        for path in options.clips:
            try:
                with tempfile.TemporaryDirectory() as folder:
                    found.append(Trial(settings, path, kind, Path(folder)).results())
            except FramemillError as error:
                print(f"{path.name}: {error}", file=sys.stderr)
        print("\n".join(table(kind, found)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
