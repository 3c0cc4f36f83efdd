"""What one exact still costs: CPU of every process of the service, beside bare FFmpeg.

``./dev bench still [CLIP]`` starts the service on loopback, sends one job after another
for the frame at the middle of a clip (the sample, unless one is named), and prints the
CPU milliseconds of one job by process, from the request to the end of the job. It also
prints what each run in the sandbox costs, and what the bare command costs.

Aim: the whole job costs at most twice the bare command.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.outputs.specs import ThumbnailSpec
from common.settings.load import Settings
from tests.bench import usage
from tests.chaos.service import Service
from tests.conftest import SAMPLE
from worker.media.engine import Engine, RenderJob, Watch
from worker.media.ffmpeg import binary, process
from worker.media.source_file import LocalFile

SPEC = {"kind": "thumbnail", "time": "50%", "width": 640}
KEY = "films/clip"


def bare_milliseconds(clip: Path, seconds: float, rounds: int) -> float:
    """Return the CPU that the bare command uses for the same still."""
    with tempfile.TemporaryDirectory() as folder:
        words = [_program(), "-v", "error", "-ss", f"{seconds}", "-i", str(clip)]
        words += ["-frames:v", "1", "-vf", "scale=640:-2", "-y", f"{folder}/still.jpg"]
        return 1000 * statistics.fmean(usage.run(words).cpu for _ in range(rounds))


def _program() -> str:
    return binary.path(Settings())


@contextmanager
def recorded_runs() -> Iterator[list[tuple[str, process.ProcessResult]]]:
    """List the runs in the sandbox until the block ends, by what they run."""
    seen: list[tuple[str, process.ProcessResult]] = []
    run = process.run

    def recorded(program: Any, **words: Any) -> process.ProcessResult:
        done = run(program, **words)
        seen.append((_kind(program), done))
        return done

    process.run = recorded
    try:
        yield seen
    finally:
        process.run = run


def _kind(program: Sequence[str] | process.Main) -> str:
    text = str(program)
    if "framecrc" in text or "verify" in text:
        return "check"
    return "probe" if "probe" in text else "render"


def print_runs(clip: Path, rounds: int) -> None:
    """Print what each run of one still costs, and how long it takes."""
    engine, spec = Engine(Settings()), ThumbnailSpec.model_validate(SPEC)
    source = LocalFile(clip)
    costs: dict[str, list[process.ProcessResult]] = {}
    before, used = time.monotonic(), time.process_time()
    with recorded_runs() as seen:
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as folder:
                media = engine.probe(source)
                engine.render(RenderJob(spec, media, source, Path(folder)), Watch())
    for name, done in seen:
        costs.setdefault(name, []).append(done)
    print(f"{'run in the sandbox':22}{'runs':>6}{'CPU ms':>9}{'wall ms':>9}")
    for name, ends in costs.items():
        cpu = 1000 * statistics.fmean(one.cpu_seconds for one in ends)
        wall = 1000 * statistics.fmean(one.seconds for one in ends)
        print(f"{name:22}{len(ends) / rounds:6.1f}{cpu:9.1f}{wall:9.1f}")
    wall, own = time.monotonic() - before, time.process_time() - used
    print(
        f"{'the engine itself':28}{1000 * own / rounds:9.1f}{1000 * wall / rounds:9.1f}"
    )


class Processes:
    """The CPU that the processes of a service have used, by their part in it."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def seconds(self) -> Counter[str]:
        """Return the seconds of each part so far; ended children count for parents."""
        roots = {name: child.pid for name, child in self._service.children.items()}
        worker, pool = roots.pop("worker"), self._service.pool_children()
        spent = Counter(usage.cpu_seconds(roots))
        spent["worker: main process"] = usage.own_seconds(worker)
        tasks = sum(map(usage.own_seconds, pool))
        spent["worker: its tasks"] = tasks
        runs = usage.cpu_seconds({str(pid): pid for pid in pool})
        spent["worker: sandbox"] = sum(runs.values()) - tasks
        return spent


def ask(url: str, spec: dict[str, Any] = SPEC) -> tuple[dict[str, Any], float]:
    """Send one job and wait for its end; return it, and the seconds that it took."""
    source = {"s3": {"bucket": "framemill", "key": KEY}}
    body = {"source": source, "outputs": [spec], "dedupe": False}
    request = urllib.request.Request(
        f"{url}/v1/jobs",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "Prefer": "wait=30"},
    )
    began = time.perf_counter()
    with urllib.request.urlopen(request, timeout=60) as answer:
        job: dict[str, Any] = json.load(answer)
    if job["status"] != "completed":
        raise SystemExit(f"the job ended as {job['status']}: {job}")
    return job, time.perf_counter() - began


def measure(folder: Path, clip: Path, jobs: int) -> tuple[dict[str, float], float]:
    """Return the CPU milliseconds of one job by process, and the median wall time."""
    place = folder / "blobs" / KEY
    place.parent.mkdir(parents=True)
    shutil.copyfile(clip, place)
    with Service(folder) as service:
        for _ in range(6):  # both processes of the pool have then worked once
            ask(service.url)
        processes = Processes(service)
        before = processes.seconds()
        times = [ask(service.url)[1] for _ in range(jobs)]
        spent = processes.seconds()
    spent.subtract(before)
    by_part = {name: 1000 * seconds / jobs for name, seconds in spent.items()}
    return by_part, 1000 * statistics.median(times)


def main() -> int:
    """Measure the clip that the command line names, or the sample."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", nargs="?", type=Path, default=SAMPLE)
    parser.add_argument("--jobs", type=int, default=30)
    options = parser.parse_args()
    duration = Engine(Settings()).probe(LocalFile(options.clip)).duration or 0.0
    rounds = max(3, options.jobs // 3)
    bare: Callable[[], float] = lambda: bare_milliseconds(  # noqa: E731 - used twice
        options.clip, duration / 2, rounds
    )
    first = bare()
    print_runs(options.clip, rounds)
    with tempfile.TemporaryDirectory() as folder:
        spent, wall = measure(Path(folder), options.clip, options.jobs)
    yardstick = (first + bare()) / 2
    for name, milliseconds in spent.items():
        print(f"{name:28}{milliseconds:9.1f}")
    total = sum(spent.values())
    print(f"{'one job':28}{total:9.1f}{wall:9.1f}")
    print(f"{'bare FFmpeg':28}{yardstick:9.1f}")
    print(f"{'ratio':28}{total / yardstick:9.2f}   (aim: 2.00)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
