"""What the service uses of a machine: the largest process, and the API's memory."""

from __future__ import annotations

from typing import Any

from tests.bench import usage
from tests.bench.bench import LOCAL, THIS, Bench
from tests.bench.results import Row, Sample, Target

_MB = 1e6


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

    def overhead(bench: Bench) -> Sample:
        one = bench.build(LOCAL)
        return one.job("film-10.mp4", [{"kind": "thumbnail", "time": "50%"}])

    targets = [
        Target("largest process", most=500),
        Target("growth of the API", most=100),
    ]
    text = "memory in MB: jobs on the film, an upload of 140 MB"
    return [
        Row("memory", text, [film, upload], {THIS: memory}, targets, rounds=1),
        Row(
            "local-still",
            "still of a 10 s clip, local file",
            ["film-10.mp4"],
            {
                LOCAL: overhead,
                "ffmpeg": lambda b: b.peers.still(b.film("film-10.mp4"), 5),
            },
            [Target("wall", "ffmpeg"), Target("cpu", "ffmpeg")],
        ),
    ]
