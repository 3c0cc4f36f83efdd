"""``framemill submit`` and ``framemill batch``: make pictures of files, S3 keys, URLs.

Both use the public HTTP API alone.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import local_service
from .client import ENDED, Client
from .errors import Refused
from .origins import Origin, find_origins
from .results import BatchFolder, unique_folders

EXIT_CODES = {"completed": 0, "partial": 3, "failed": 1, "cancelled": 1}
_LATE = 5
_BAR_WIDTH = 30
DEFAULT_SERVER = "http://127.0.0.1:8000"


def add_submit(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``framemill submit``."""
    parser.set_defaults(run=_submit)
    parser.add_argument("file", nargs="+", type=Path, help="a video; each is a job")
    _add_request(parser)


def add_batch(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``framemill batch``."""
    parser.set_defaults(run=_batch)
    parser.add_argument(
        "source", nargs="*", help="a file, a folder, s3://BUCKET/KEY, https://..."
    )
    parser.add_argument("--prefix", help="all of s3://BUCKET/PREFIX instead")
    parser.add_argument(
        "--suffix", default="", help="only names that end so, as .mp4 (folder, prefix)"
    )
    _add_request(parser)


def _add_request(parser: argparse.ArgumentParser) -> None:
    default = f"default: the running ./dev, else {DEFAULT_SERVER}"
    parser.add_argument("--server", help=default)
    local_service.add_option(parser)
    parser.add_argument("--key", help="API key, better in --key-file")
    parser.add_argument("--key-file", type=Path, help="a file that holds the API key")
    parser.add_argument("--outputs", type=_json, help="JSON list of what to make")
    parser.add_argument("--preset", help="a named list of outputs of the service")
    parser.add_argument("--metadata", type=_json, help="any JSON, comes back as sent")
    parser.add_argument("--wait", action="store_true", help="until all has ended")
    parser.add_argument("--timeout", type=float, help="seconds to wait at most")
    parser.add_argument("--json", action="store_true", help="print the whole document")
    parser.add_argument("-o", dest="folder", type=Path, help="save the results here")


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from error


def warn(line: str) -> None:
    """Print a line for people, apart from what scripts read."""
    print(line, file=sys.stderr)


def _bar(label: str) -> Callable[[float], None]:
    """Return a function that draws a bar on a terminal, and nothing into a pipe."""
    if not sys.stderr.isatty():
        return lambda _: None

    def draw(share: float) -> None:
        full = round(share * _BAR_WIDTH)
        end = "\n" if share >= 1 else ""
        bar = "#" * full + "." * (_BAR_WIDTH - full)
        print(
            f"\r{label:<10} [{bar}] {share:4.0%}", end=end, file=sys.stderr, flush=True
        )

    return draw


def _client(options: argparse.Namespace) -> Client:
    key = options.key
    if options.key_file:
        key = options.key_file.read_text("utf-8").strip()
    server = options.server
    if server is None:
        running = local_service.find(options.data)
        server = running.url if running else DEFAULT_SERVER
    return Client(server, key)


def _requested(options: argparse.Namespace) -> dict[str, Any]:
    names = ("outputs", "preset", "metadata")
    given = {name: getattr(options, name) for name in names}
    return {name: value for name, value in given.items() if value is not None}


def _submit(options: argparse.Namespace) -> int:
    client, files = _client(options), options.file
    for file in files:
        file.stat()  # before any is uploaded
    folders = unique_folders([file.name for file in files])
    places: list[Path | None] = [None] * len(files)
    if options.folder:
        places = [
            options.folder / name if files[1:] else options.folder for name in folders
        ]
        for place in places:
            if place:  # now, not when the work is done and has nowhere to go
                place.mkdir(parents=True, exist_ok=True)
    requested = _requested(options)
    jobs = [client.submit(file, requested, _bar("upload")) for file in files]
    waits = bool(options.wait or options.folder)
    if waits:
        jobs = _await_jobs(client, jobs, options.timeout)
    for job, place in zip(jobs, places, strict=True):
        if place:
            client.save(job, place, _print_saved)
    _print_jobs(jobs, files, whole=options.json)
    return _exit_code("job", jobs, options.timeout) if waits else 0


def _await_jobs(
    client: Client, jobs: list[dict[str, Any]], timeout: float | None
) -> list[dict[str, Any]]:
    try:
        return [client.wait(job, _bar("work"), timeout) for job in jobs]
    except KeyboardInterrupt:
        for job in jobs:
            warn(f"\njob {job['id']} goes on: {job['links']['self']}")
        raise


def _exit_code(
    kind: str, ended: Sequence[dict[str, Any]], timeout: float | None
) -> int:
    """Return the code for all: what has not ended first, then how many succeeded."""
    late = [one for one in ended if one["status"] not in ENDED]
    for one in late:
        warn(f"{kind} {one['id']} has not ended within {timeout:g} s")
    if late:
        return _LATE
    codes = {EXIT_CODES[one["status"]] for one in ended}
    return codes.pop() if len(codes) == 1 else EXIT_CODES["partial"]


def _print_saved(path: Path) -> None:
    warn(f"saved {path}")


def _print_jobs(jobs: list[dict[str, Any]], files: list[Path], *, whole: bool) -> None:
    if whole:
        print(json.dumps(jobs if jobs[1:] else jobs[0], indent=1))
        return
    for job, file in zip(jobs, files, strict=True):
        label = f"{file}: " if jobs[1:] else ""
        print(f"{label}{job['status']} {job['links']['self']}")
        for output in job["outputs"]:
            problem = output["error"]
            print(f"  {output['name']}: {output['status']}", end="")
            print(f" ({problem['code']}: {problem['detail']})" if problem else "")
            for artifact in output["artifacts"]:
                print(f"    {artifact['url']}")


def _batch(options: argparse.Namespace) -> int:
    requested, texts = _requested(options), options.source
    if bool(texts) == bool(options.prefix):
        raise ValueError("name sources, or else --prefix s3://BUCKET/PREFIX")
    origins = find_origins(texts, options.suffix)
    for origin in origins:
        for copy in origin.copies:
            warn(
                f"{copy} has the same content as {origin.text}, which is made for both"
            )
    client = _client(options)
    folder = BatchFolder.open(options.folder, requested) if options.folder else None
    # A rerun is given what an earlier run made, rather than have it made again.
    requested["dedupe"] = True
    if options.prefix:
        requested["prefix"] = _prefix(options.prefix, options.suffix)
        run = _Run(batch=client.submit_batch(requested))
    else:
        run = _submit_sources(client, origins, requested, folder)
    if options.wait or folder:
        run.wait(client, options.timeout)
    if folder:
        folder.save(client, run.jobs, _print_saved)
    return run.report(options)


def _prefix(text: str, suffix: str) -> dict[str, Any]:
    bucket, slash, prefix = text.removeprefix("s3://").partition("/")
    if not (text.startswith("s3://") and bucket and slash):
        raise ValueError(f"--prefix {text!r} is not s3://BUCKET/PREFIX")
    return {"s3": {"bucket": bucket, "prefix": prefix, "suffix": suffix}}


@dataclass
class _Run:
    """One run of ``framemill batch``: a new batch, and what need not be made again.

    ``jobs`` are those of earlier runs, and after the wait those of the batch, too.
    ``refused`` are the files that the service did not take, each with the reason.
    """

    batch: dict[str, Any] | None = None
    jobs: list[dict[str, Any]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def wait(self, client: Client, timeout: float | None) -> None:
        """Wait for the end of all, or for ``timeout`` seconds each."""
        self.jobs = _await_jobs(client, self.jobs, timeout)
        if self.batch is None:
            return
        try:
            self.batch = client.wait(self.batch, _bar("work"), timeout, "batches")
        except KeyboardInterrupt:
            place = self.batch["links"]["self"]
            warn(f"\nbatch {self.batch['id']} goes on: {place}")
            raise
        self.jobs += client.jobs(self.batch["id"])

    def report(self, options: argparse.Namespace) -> int:
        """Print what became of all; return the exit code."""
        if options.json:
            print(json.dumps(self.batch, indent=1))
        elif self.batch is not None:
            _print_batch(self.batch)
        else:
            print(f"nothing new: {len(self.jobs)} made by earlier runs")
        for line in self.refused:
            print(f"  {line}")
        for job in self.jobs:
            _print_failure(job)
        if not (options.wait or options.folder):
            return EXIT_CODES["partial"] if self.refused else 0
        ended = [*self.jobs, *({"status": "failed"} for _ in self.refused)]
        if self.batch is not None:
            ended.append(self.batch)
        return _exit_code("job or batch", ended, options.timeout)


def _submit_sources(
    client: Client,
    origins: list[Origin],
    requested: dict[str, Any],
    folder: BatchFolder | None,
) -> _Run:
    """Submit what earlier runs have not made.

    A file that the service refuses does not keep the others from being made.
    """
    known = folder.known(client) if folder else {}
    run, sources = _Run(), []
    for origin in origins:
        if origin.identity in known:
            run.jobs.append(known[origin.identity])
            continue
        try:
            sources.append(_source(client, origin, folder))
        except Refused as error:
            if error.status in {401, 403, 429} or error.status >= 500:
                raise
            run.refused.append(f"{origin.text}: refused: {error}")
    if sources:
        run.batch = client.submit_batch(requested | {"sources": sources})
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
        upload = client.upload(origin.file, _bar("upload"))
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


def _print_failure(job: dict[str, Any]) -> None:
    """Print which source did not become what was wanted, and why."""
    if job["status"] not in {"failed", "partial"}:
        return
    name = job["source"]["name"] or job["id"]
    if problem := job["error"]:
        print(f"  {name}: {problem['code']}: {problem['detail']}")
        return
    for output in job["outputs"]:
        if problem := output["error"]:
            label = f"{name}: {output['name']}"
            print(f"  {label}: {problem['code']}: {problem['detail']}")
