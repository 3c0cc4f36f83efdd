"""What the rows run on: services that are started when the first row wants them."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.bench.builds import S3, Build, Judge, build, local_store, worktree
from tests.bench.inputs import Inputs
from tests.bench.peers import Peers
from tests.bench.quality import Quality
from tests.bench.results import Sample, Unavailable
from tests.conftest import ROOT

THIS, EARLIER, LOCAL = "this build", "earlier build", "local file"
SLOW_LINE = 50e6

Side = Callable[["Bench"], Sample]


class Bench:
    """The services, the peers and the films; ``stack`` ends the services."""

    def __init__(
        self,
        stack: ExitStack,
        inputs: Inputs,
        s3: S3,
        folder: Path,
        against: str | None,
    ) -> None:
        self.stack = stack
        self.inputs = inputs
        self.s3 = s3
        self.folder = folder
        self.peers = Peers(inputs.ffmpeg, folder / "peers")
        self.quality = Quality(inputs.ffmpeg, folder / "quality")
        self._against = against
        self._builds: dict[str, Build] = {}

    def build(self, side: str) -> Build:
        """Return the service of a side, which runs from now on; raises Unavailable."""
        if side not in self._builds:
            self._builds[side] = self._start(side)
        return self._builds[side]

    def film(self, name: str) -> Path:
        """Return the local file of a film, as the peers read it."""
        return self.inputs.path(name)

    def pinned(self) -> Build:
        """Return a service with one worker process of one thread."""
        if "pinned" not in self._builds:
            settings = {
                "FRAMEMILL_WORKER_CONCURRENCY": "1",
                "FRAMEMILL_ENGINE_THREADS": "1",
            }
            context = build("pinned", ROOT, self.folder / "pinned", self.s3, settings)
            self._builds["pinned"] = self.stack.enter_context(context)
        return self._builds["pinned"]

    def _start(self, side: str) -> Build:
        tree, settings, data = ROOT, {}, self.folder / side.replace(" ", "-")
        if side == EARLIER:
            if self._against is None:
                raise Unavailable("no earlier build: name one by --against")
            where = worktree(self._against, self.folder / "tree")
            tree = self.stack.enter_context(where)
        if side == LOCAL:
            settings = local_store(self.s3, self.folder / "local-blobs")
        return self.stack.enter_context(build(side, tree, data, self.s3, settings))


def job(
    film: str,
    outputs: Any,
    *,
    line: float | None = None,
    side: str = THIS,
    judge: Judge | None = None,
) -> Side:
    """Return a side: one job, with S3 held to ``line`` bytes a second."""

    def act(bench: Bench) -> Sample:
        one = bench.build(side)
        one.s3.proxy.rate = line
        try:
            return one.job(film, outputs, judge=judge)
        finally:
            one.s3.proxy.rate = None

    return act


def jobs(film: str, outputs: Any, line: float | None = None) -> dict[str, Side]:
    """Return both builds as sides."""
    return {side: job(film, outputs, line=line, side=side) for side in (THIS, EARLIER)}


def cores() -> list[int]:
    """Return the cores that this process may use."""
    return sorted(os.sched_getaffinity(0))
