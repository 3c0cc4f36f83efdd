"""``framemill batch``: make pictures of many videos, and only what is missing."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .advice import show_advice
from .client import ENDED, Client
from .display import show_progress, tell_where, warn
from .errors import Refused
from .origins import Origin, find_origins
from .request import (
    EXIT_CODES,
    add_options,
    await_jobs,
    exit_code,
    make_client,
    requested,
    tell_left,
    waits,
)
from .results import BatchFolder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``framemill batch``."""
    parser.set_defaults(run=_batch)
    parser.add_argument(
        "source", nargs="*", help="a file, a folder, s3://BUCKET/KEY or https://..."
    )
    parser.add_argument(
        "--prefix",
        metavar="s3://BUCKET/PREFIX",
        help="take every object whose key begins with this, not sources",
    )
    parser.add_argument(
        "--suffix",
        default="",
        help="only names that end with this, such as .mp4, in folders and --prefix",
    )
    add_options(parser)


def _batch(options: argparse.Namespace) -> int:
    request, texts = requested(options), options.source
    waiting = waits(options)
    if bool(texts) == bool(options.prefix):
        raise ValueError("name sources, or else --prefix s3://BUCKET/PREFIX")
    origins = find_origins(texts, options.suffix)
    for origin in origins:
        for copy in origin.copies:
            warn(
                f"{copy} has the same content as {origin.text}, which is made for both"
            )
    client = make_client(options)
    folder = BatchFolder.open(options.folder, request) if options.folder else None
    # A rerun is given what an earlier run made, rather than have it made again.
    request["dedupe"] = True
    if options.prefix:
        request["prefix"] = _prefix(options.prefix, options.suffix)
        run = _Run(batch=client.submit_batch(request))
    else:
        run = _submit_sources(client, origins, request, folder)
    if waiting:
        run.wait(client, options.timeout)
    if folder:
        folder.save(client, run.jobs, lambda path: warn(f"saved {path}"))
    return run.report(options)


def _prefix(text: str, suffix: str) -> dict[str, Any]:
    bucket, slash, prefix = text.removeprefix("s3://").partition("/")
    if not (text.startswith("s3://") and bucket and slash):
        raise ValueError(f"--prefix {text!r} is not s3://BUCKET/PREFIX")
    return {"s3": {"bucket": bucket, "prefix": prefix, "suffix": suffix}}


@dataclass
class _Run:
    """One run of ``framemill batch``: a new batch, and what need not be made again.

    ``earlier`` are the jobs of earlier runs, ``made`` those of the batch once the wait
    is over. ``refused`` has a line for each file that the service did not take.
    """

    batch: dict[str, Any] | None = None
    earlier: list[dict[str, Any]] = field(default_factory=list)
    made: list[dict[str, Any]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    @property
    def jobs(self) -> list[dict[str, Any]]:
        """All jobs, of earlier runs and of this one."""
        return self.earlier + self.made

    def wait(self, client: Client, timeout: float | None) -> None:
        """Wait for the end of all, or for ``timeout`` seconds each."""
        self.earlier = await_jobs(client, self.earlier, timeout)
        if self.batch is None:
            return
        tell_where("batch", self.batch, self.batch["links"]["self"])
        progress = show_progress("work")
        try:
            self.batch = client.wait(self.batch, progress, timeout, "batches")
        except KeyboardInterrupt:
            tell_left([self.batch], "batch")
            raise
        self.made = client.jobs(self.batch["id"])

    def report(self, options: argparse.Namespace) -> int:
        """Print what became of all; return the exit code."""
        if options.json:
            print(json.dumps(self._document(), indent=1))
        else:
            if self.batch is not None:
                _print_batch(self.batch)
            if self.earlier:
                print(self._summary())
        self._explain(warn if options.json else print)
        if not waits(options):
            return EXIT_CODES["partial"] if self.refused else 0
        ended = [*self.jobs, *({"status": "failed"} for _ in self.refused)]
        if self.batch is not None:
            ended.append(self.batch)
        return exit_code("job or batch", ended, options.timeout)

    def _explain(self, tell: Callable[[str], None]) -> None:
        """Print what failed by ``tell``; advice goes to standard error."""
        for line in self.refused:
            tell(f"  {line}")
        for job in self.jobs:
            for line in _failures(job):
                tell(line)
        if self.batch is not None:
            show_advice(self.batch)
        for job in self.jobs:
            show_advice(job, f"{_label(job)}: ")

    def _document(self) -> dict[str, Any]:
        """Return the new batch; where nothing is new, how the earlier jobs stand."""
        if self.batch is not None:
            return self.batch
        return {
            "batch": None,
            "detail": self._summary() if self.earlier else "no source was taken",
            "jobs": self.earlier,
        }

    def _summary(self) -> str:
        """Return one line on all sources, those of earlier runs too."""
        new = self.batch["total"] if self.batch else 0
        total = len(self.earlier) + new + len(self.refused)
        statuses = Counter(job["status"] for job in self.jobs)
        made = statuses["completed"]
        missing = sum(statuses[one] for one in ENDED) - made + len(self.refused)
        working = total - made - missing
        before = sum(job["status"] == "completed" for job in self.earlier)
        status = "processing" if working else "completed"
        if missing and not working:
            status = "partial" if made else "failed"
        parts = [f"{made} of {total} made", f"{before} of them by earlier runs"]
        parts += [f"{missing} missing"] if missing else []
        parts += [f"{working} not ended"] if working else []
        parts += [] if self.batch else ["nothing new"]
        return f"{status}: " + ", ".join(parts)


def _submit_sources(
    client: Client,
    origins: list[Origin],
    request: dict[str, Any],
    folder: BatchFolder | None,
) -> _Run:
    """Submit what earlier runs have not made.

    A file that the service refuses does not keep the others from being made.
    """
    known = folder.known(client) if folder else {}
    earlier = [known[one.identity] for one in origins if one.identity in known]
    fresh = [one for one in origins if one.identity not in known]
    if earlier and fresh:
        names = ", ".join(one.text for one in fresh)
        warn(f"earlier runs took {len(earlier)} of {len(origins)}; missing: {names}")
    run, sources = _Run(earlier=earlier), []
    for origin in fresh:
        try:
            sources.append(_source(client, origin, folder))
        except Refused as error:
            if error.status in {401, 403, 429} or error.status >= 500:
                raise
            run.refused.append(f"{origin.text}: refused: {error}")
    if sources:
        run.batch = client.submit_batch(request | {"sources": sources})
        if folder:
            folder.remember_batch(run.batch["id"])
    return run


def _source(
    client: Client, origin: Origin, folder: BatchFolder | None
) -> dict[str, Any]:
    if origin.file is None:
        return origin.source
    upload = folder.upload_of(origin, client) if folder else None
    if upload is None:
        upload = client.upload(origin.file, show_progress("upload"))
        if folder:
            folder.remember_upload(origin, upload)
    return {"upload": upload}


def _print_batch(batch: dict[str, Any]) -> None:
    print(f"{batch['status']} {batch['links']['self']}")
    for name, count in batch["counts"].items():
        if count:
            print(f"  {count} {name}")
    if problem := batch["error"]:
        print(f"  {problem['code']}: {problem['detail']}")


def _label(job: dict[str, Any]) -> str:
    return str(job["source"]["name"] or job["id"])


def _failures(job: dict[str, Any]) -> Iterator[str]:
    """Yield a line for what a job did not make, and why."""
    name = _label(job)
    if job["status"] == "cancelled":
        yield f"  {name}: cancelled"
    if job["status"] not in {"failed", "partial"}:
        return
    if problem := job["error"]:
        yield f"  {name}: {problem['code']}: {problem['detail']}"
        return
    for output in job["outputs"]:
        if problem := output["error"]:
            label = f"{name}: {output['name']}"
            yield f"  {label}: {problem['code']}: {problem['detail']}"
