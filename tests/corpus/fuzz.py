"""Change clips at random, and put them through probe and render: ``./dev fuzz``.

A decoder may fail on such a clip, or crash: it is confined, and that is an error of the
job like any other. What must not happen is an error of our own, a run without end, or
something that is left behind: a process, a file descriptor, a temporary file.

Each case follows from the seed and its number, so a fault can be repeated.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from common.errors import FramemillError
from common.outputs.specs import OUTPUT_SPEC
from common.settings.load import Settings
from tests.conftest import SAMPLE
from tests.tools import children_of
from worker.media.engine import Engine, RenderJob, Watch
from worker.media.ffmpeg import binary, process
from worker.media.sandbox import prepared
from worker.media.source_file import LocalFile

HANG_SECONDS = 180.0
MOST_BYTES = 1024 * 1024
# Codes of errors that are ours, whatever the file is.
OURS = {"internal_error"}
SPECS: tuple[dict[str, Any], ...] = (
    {"kind": "thumbnail"},
    {"kind": "thumbnail", "time": 1.0, "width": 64},
    {"kind": "animation", "start": 0, "duration": 1, "width": 64},
    {"kind": "preview", "width": 64},
    {"kind": "storyboard"},
    {"kind": "snippets"},
)
_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
# Containers that one film becomes, with the options that make it.
_CONTAINERS = {
    "mkv": "-c:v copy",
    "ts": "-c:v copy",
    "mp4": "-c:v copy -movflags frag_keyframe+empty_moov",
    "webm": "-c:v libvpx -b:v 100k",
    "avi": "-c:v mpeg4",
    "gif": "-vf scale=80:-2",
}


@dataclass
class Tally:
    """What came of the cases: results by their name, and every fault."""

    cases: int = 0
    results: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    crashes: int = 0
    slowest: float = 0.0
    peak: int = 0

    def __str__(self) -> str:
        words = ", ".join(f"{name} {n}" for name, n in self.results.most_common())
        return (
            f"{self.cases} cases: {words}\n{self.crashes} runs of decoders crashed, "
            f"confined; the slowest case took {self.slowest:.0f} s, the largest run "
            f"{self.peak >> 20} MiB\n{len(self.faults)} faults"
        )


def seeds(folder: Path) -> list[Path]:
    """Make two seconds of the sample in several containers, and return them."""
    found = []
    for suffix, options in _CONTAINERS.items():
        target = folder / f"seed.{suffix}"
        words = ["-v", "error", "-t", "2", "-i", str(SAMPLE), "-an", *options.split()]
        program = [binary.path(Settings()), *words, str(target)]
        bounds = binary.bounds(Settings(), 60)
        done = process.run(program, cwd=folder, bounds=bounds, source=LocalFile(SAMPLE))
        if done.returncode:
            raise RuntimeError(f"{target.name} was not made: {done.log}")
        found.append(target)
    return found


def mutated(clips: Sequence[Path], chance: Random) -> bytes:
    """Return one of the clips after up to eight random changes."""
    data = bytearray(chance.choice(clips).read_bytes())
    for _ in range(chance.randint(1, 8)):
        if len(data) < 16:
            break
        _CHANGES[chance.randrange(len(_CHANGES))](data, clips, chance)
    return bytes(data)


def _place(data: bytearray, chance: Random) -> int:
    """Choose an offset, half of them in the first kilobyte, where headers lie."""
    most = min(len(data), 1024) if chance.random() < 0.5 else len(data)
    return chance.randrange(most - 8) if most > 8 else 0


def _flip(data: bytearray, _: Sequence[Path], chance: Random) -> None:
    for _ in range(chance.randint(1, 64)):
        data[_place(data, chance)] ^= 1 << chance.randrange(8)


def _number(data: bytearray, _: Sequence[Path], chance: Random) -> None:
    at, size = _place(data, chance), chance.choice((1, 2, 4))
    value = chance.choice(_NUMBERS) % (1 << 8 * size)
    data[at : at + size] = value.to_bytes(size, chance.choice(("big", "little")))


def _cut(data: bytearray, _: Sequence[Path], chance: Random) -> None:
    at = _place(data, chance)
    del data[at : at + chance.randint(1, max(1, len(data) // 4))]


def _repeat(data: bytearray, _: Sequence[Path], chance: Random) -> None:
    at = _place(data, chance)
    data[at:at] = data[at : at + chance.randint(1, 4096)]


def _truncate(data: bytearray, _: Sequence[Path], chance: Random) -> None:
    del data[chance.randrange(8, len(data)) :]


def _splice(data: bytearray, clips: Sequence[Path], chance: Random) -> None:
    other = chance.choice(clips).read_bytes()
    if other:
        at = chance.randrange(len(other))
        data[_place(data, chance) :] = other[at:]


_CHANGES: tuple[Callable[[bytearray, Sequence[Path], Random], None], ...] = (
    _flip,
    _flip,
    _number,
    _number,
    _cut,
    _repeat,
    _truncate,
    _splice,
)


class Fuzz:
    """Runs cases of a seed over clips, and counts what came of them."""

    def __init__(self, clips: Sequence[Path], seed: str, folder: Path) -> None:
        self._clips = clips
        self._seed = seed
        self._folder = folder
        self._engine = Engine(Settings())
        self.tally = Tally()

    def case(self, number: int) -> None:
        """Run one case: probe a changed clip, and make one output of it."""
        chance = Random(f"{self._seed}:{number}")
        clip = self._folder / "clip"
        clip.write_bytes(mutated(self._clips, chance))
        spec = OUTPUT_SPEC.validate_python(chance.choice(SPECS))
        began = time.monotonic()
        with tempfile.TemporaryDirectory(dir=self._folder) as work:
            try:
                media = self._engine.probe(LocalFile(clip))
                job = RenderJob(spec, media, LocalFile(clip), Path(work))
                self._engine.render(job, Watch())
                result = f"{spec.kind} made"
            except FramemillError as error:
                result = error.code
                if error.code in OURS or error.retryable:
                    self._fault(number, f"{error.code}: {error.detail}")
            except Exception as error:  # noqa: BLE001 - this is what is looked for
                result = "a crash of ours"
                self._fault(number, f"{type(error).__name__}: {error}")
        seconds = time.monotonic() - began
        if seconds > HANG_SECONDS:
            self._fault(number, f"took {seconds:.0f} s")
        tally = self.tally
        tally.cases += 1
        tally.results[result] += 1
        tally.slowest = max(tally.slowest, seconds)

    def run(self, cases: Sequence[int], seconds: float) -> Tally:
        """Run the cases until the time is over, and look for what is left behind."""
        end, noted = prepared.Confined.end, self.tally

        def note(confined: prepared.Confined) -> prepared.End:
            done = end(confined)
            noted.crashes += done.status < 0
            noted.peak = max(noted.peak, done.peak)
            return done

        prepared.Confined.end = note
        usual, tempfile.tempdir = tempfile.tempdir, str(self._folder / "temporary")
        Path(tempfile.tempdir).mkdir()
        deadline = time.monotonic() + seconds
        try:
            self.case(cases[0])  # starts what stays: the server, caches
            before = _held()
            for number in cases[1:]:
                if time.monotonic() > deadline:
                    break
                self.case(number)
            left = [one.name for one in Path(tempfile.tempdir).iterdir()]
        finally:
            prepared.Confined.end, tempfile.tempdir = end, usual
        if left:
            noted.faults.append(f"temporary files are left: {left}")
        after = _held()
        if after != before:
            noted.faults.append(f"descriptors and processes: {before} became {after}")
        return noted

    def _fault(self, number: int, what: str) -> None:
        self.tally.faults.append(f"case {number} of seed {self._seed}: {what}")


def _held() -> tuple[int, int]:
    """Return how many descriptors this process has, and processes the server."""
    server = prepared._current
    left = len(children_of(server.pid)) if server else 0
    return len(list(Path("/proc/self/fd").iterdir())), left


def clips_of(given: Sequence[Path]) -> list[Path]:
    """Return the files that were given, and those in folders, of at most a megabyte."""
    found = [
        one
        for path in given
        for one in (sorted(path.rglob("*")) if path.is_dir() else [path])
        if one.is_file() and 16 <= one.stat().st_size <= MOST_BYTES
    ]
    if not found:
        raise SystemExit(f"no file of 16 to {MOST_BYTES} bytes was given")
    return found


def main() -> int:
    """Fuzz as the command line says; the status is 1 if there were faults."""
    parser = argparse.ArgumentParser(
        prog="./dev fuzz",
        description="Change clips at random and put them through probe and render. "
        "Status 1 if that led to an error of ours, a hang, or something left behind.",
    )
    parser.add_argument(
        "clips", nargs="*", type=Path, help="files and folders; default: the sample"
    )
    parser.add_argument("--minutes", type=float, default=10, help="default: 10")
    parser.add_argument("--seed", default="1", help="default: 1")
    parser.add_argument("--case", type=int, help="run this case alone")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        folder = Path(name)
        clips = clips_of(chosen.clips) if chosen.clips else seeds(folder)
        cases = range(1_000_000) if chosen.case is None else [chosen.case]
        tally = Fuzz(clips, chosen.seed, folder).run(cases, chosen.minutes * 60)
        prepared.stop()
    print(tally)
    for fault in tally.faults:
        print(f"FAULT {fault}")
    return 1 if tally.faults else 0


if __name__ == "__main__":
    sys.exit(main())
