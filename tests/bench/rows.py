"""The rows of the table: the work, who does it, and the targets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.builds import Build
from tests.bench.inputs import FILM_SECONDS, Inputs
from tests.bench.peers import Peers
from tests.bench.results import Row, Sample, Target, Unavailable

THIS, EARLIER = "this build", "earlier build"
FILM, SHORT = "film.mp4", "film-10.mp4"
HALF = FILM_SECONDS / 2
_SLOW_LINE = 50e6

STILL = [{"kind": "thumbnail", "time": "50%"}]
AUTO = [{"kind": "thumbnail", "policy": "auto"}]
GIF = {"kind": "animation", "start": HALF, "duration": 5}
PAIR = [*STILL, GIF]

Side = Callable[["Bench"], Sample]


@dataclass(frozen=True)
class Bench:
    """Who takes part: this build, an earlier one or None, and the peers."""

    this: Build
    earlier: Build | None
    peers: Peers
    inputs: Inputs

    def build(self, side: str) -> Build:
        """Return the build of a side; raises Unavailable."""
        one = self.this if side == THIS else self.earlier
        if one is None:
            raise Unavailable("no earlier build: name one by --against")
        return one

    def film(self, name: str) -> Path:
        """Return the local file of a film, as the peers read it."""
        return self.inputs.path(name)


def job(film: str, outputs: Any, line: float | None = None, side: str = THIS) -> Side:
    """Return a side: one job, with S3 held to ``line`` bytes a second."""

    def act(bench: Bench) -> Sample:
        one = bench.build(side)
        one.s3.proxy.bytes_per_second = line
        try:
            return one.job(film, outputs)
        finally:
            one.s3.proxy.bytes_per_second = None

    return act


def jobs(film: str, outputs: Any, line: float | None = None) -> dict[str, Side]:
    """Return both builds as sides."""
    return {side: job(film, outputs, line, side) for side in (THIS, EARLIER)}


def rows() -> list[Row]:
    """Return every row."""
    return [
        _still(),
        Row(
            "pair",
            "still at 50 % and 5 s GIF",
            [FILM],
            jobs(FILM, PAIR)
            | {"ffmpeg": lambda b: b.peers.still_and_gif(b.film(FILM), HALF, HALF)},
            [
                Target("cpu", EARLIER, most=1 / 2),
                Target("share", most=0.02),
                Target("cpu", "ffmpeg"),
                Target("wall", "ffmpeg"),
            ],
        ),
        Row(
            "still-50",
            "still at 50 %, S3 at 50 MB/s",
            [FILM],
            jobs(FILM, STILL, _SLOW_LINE),
            [Target("wall", EARLIER, most=1 / 20)],
        ),
    ]


def _still() -> Row:
    return Row(
        "still",
        "still at 50 %",
        [FILM, SHORT],
        jobs(FILM, STILL)
        | {
            "10 s clip": job(SHORT, STILL),
            "ffmpeg": lambda b: b.peers.still(b.film(FILM), HALF),
        },
        [
            Target("wall", EARLIER, most=1 / 8),
            Target("wall", "10 s clip", most=1.3),
            Target("cpu", EARLIER, most=1 / 10),
            Target("share", most=0.01),
            Target("cpu", "ffmpeg"),
        ],
    )
