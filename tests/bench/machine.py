"""What the service uses of a machine: memory, and time beside the work itself."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from common.outputs.specs import ThumbnailSpec
from common.settings.load import Settings
from tests.bench import usage
from tests.bench.bench import LOCAL, THIS, Bench, job
from tests.bench.results import Row, Sample, Target
from worker.media.engine import Engine, RenderJob, Watch
from worker.media.source_file import LocalFile

_MB = 1e6
_CLIP = "film-10.mp4"
_BESIDE = [Target("wall", "ffmpeg"), Target("cpu", "ffmpeg")]


def rows(film: str, work: list[Any], upload: str) -> list[Row]:
    """Return the row of memory: ``work`` on ``film``, and a file that is uploaded."""

    def memory(bench: Bench) -> Sample:
        one = bench.build(THIS)
        api = usage.processes(one.service.state["children"]["api"])
        idle = {pid: usage.memory(pid) for pid in api}
        with usage.peaks(one.root) as found:
            for outputs in work:
                one.job(film, outputs)
            path = bench.film(upload)
            posted = one.service.post(path, [{"kind": "thumbnail", "time": 1}])
            one.service.wait(posted)
        one.service.ask(f"/v1/jobs/{posted['id']}", method="DELETE")
        one.forget()
        grown = [found.get(pid, (0, ""))[0] - before for pid, before in idle.items()]
        return {
            "largest process": max(size for size, _ in found.values()) / _MB,
            "growth of the API": max(grown) / _MB,
        }

    targets = [
        Target("largest process", most=500),
        Target("growth of the API", most=100),
    ]
    text = "memory in MB: jobs on the film, an upload of 140 MB"
    return [Row("memory", text, [film, upload], {THIS: memory}, targets, rounds=1)]


def overhead(bench: Bench) -> Sample:
    """Return one job on a local clip, and how much longer it takes than the engine."""
    path, spec = bench.film(_CLIP), ThumbnailSpec(kind="thumbnail", time="50%")
    engine = Engine(Settings.model_validate({"api": {"secret": "x" * 32}}))
    _alone(engine, spec, path)  # it prepares its process at the first call
    alone = _alone(engine, spec, path)
    sample = bench.build(LOCAL).job(_CLIP, [spec.model_dump(exclude_unset=True)])
    return sample | {"overhead": (sample["wall"] - alone) * 1000}


def _alone(engine: Engine, spec: ThumbnailSpec, path: Path) -> float:
    """Return the seconds that the engine takes in a bare loop."""
    source = LocalFile(path)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        media = engine.probe(source)
        engine.render(RenderJob(spec, media, source, Path(folder)), Watch())
        return time.perf_counter() - began


def local_rows(film: str, pair: Any, seconds: float) -> list[Row]:
    """Return the rows on local files: the engine alone, and FFmpeg, are beside."""
    return [
        Row(
            "local-still",
            "still of a 10 s clip, local file",
            [_CLIP],
            {LOCAL: overhead, "ffmpeg": lambda b: b.peers.still(b.film(_CLIP), 5)},
            [Target("overhead", most=30), *_BESIDE],
        ),
        Row(
            "local-pair",
            "still at 50 % and 5 s GIF, local file",
            [film],
            {
                LOCAL: job(film, pair, side=LOCAL),
                "ffmpeg": lambda b: b.peers.still_and_gif(
                    b.film(film), seconds, seconds
                ),
            },
            [Target("wall", "ffmpeg", most=1.1), Target("cpu", "ffmpeg")],
        ),
    ]
