"""``framemill submit``: make pictures of single videos, a job each."""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from typing import Any

from .advice import show_advice
from .client import Client, remote_source, source_name
from .display import show_progress
from .errors import Refused, Unreached
from .request import (
    add_options,
    await_jobs,
    exit_code,
    make_client,
    requested,
    tell_left,
    waits,
)
from .results import unique_folders


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``framemill submit``."""
    parser.set_defaults(run=_submit)
    parser.add_argument(
        "source",
        nargs="+",
        help="a file, s3://BUCKET/KEY or https://...; each becomes a job",
    )
    add_options(parser)


def _submit(options: argparse.Namespace) -> int:
    sources: list[str] = options.source
    waiting = waits(options)
    for source in sources:
        _check(source, options.program)  # before any is uploaded
    folders = _folders(options.folder, sources)
    client = make_client(options)
    jobs = _submit_all(client, sources, requested(options))
    if waiting:
        jobs = await_jobs(client, jobs, options.timeout)
    saved = [
        client.save(job, folder) for job, folder in zip(jobs, folders, strict=False)
    ]
    if options.json:
        print(json.dumps(jobs if jobs[1:] else jobs[0], indent=1))
    else:
        _print_jobs(jobs, sources, saved)
    for job, source in zip(jobs, sources, strict=True):
        show_advice(job, f"{source}: " if jobs[1:] else "")
    return exit_code("job", jobs, options.timeout) if waiting else 0


def _check(source: str, program: str) -> None:
    if "://" in source:
        remote_source(source)
    elif Path(source).is_dir():
        raise ValueError(
            f"{source} is a folder: {program} batch {shlex.quote(source)} makes "
            "pictures of every file in it"
        )
    else:
        Path(source).stat()


def _folders(folder: Path | None, sources: list[str]) -> list[Path]:
    """Make the folder of each job's results; return none where none are saved."""
    if folder is None:
        return []
    names = unique_folders([source_name(source) for source in sources])
    folders = [folder / name for name in names] if sources[1:] else [folder]
    for place in folders:  # now, not when the work is done and has nowhere to go
        place.mkdir(parents=True, exist_ok=True)
    return folders


def _submit_all(
    client: Client, sources: list[str], request: dict[str, Any]
) -> list[dict[str, Any]]:
    jobs: list[dict[str, Any]] = []
    for source in sources:
        try:
            job = client.submit(source, request, show_progress("upload"))
        except (Refused, Unreached, KeyboardInterrupt):
            tell_left(jobs)
            raise
        jobs.append(job)
    return jobs


def _print_jobs(
    jobs: list[dict[str, Any]], sources: list[str], saved: list[list[Path]]
) -> None:
    """Print each job with its files: where they were saved, or else their URLs."""
    for place, (job, source) in enumerate(zip(jobs, sources, strict=True)):
        label = f"{source}: " if jobs[1:] else ""
        print(f"{label}{job['status']} {job['links']['self']}")
        paths = iter(saved[place] if saved else [])
        for output in job["outputs"]:
            problem = output["error"]
            print(f"  {output['name']}: {output['status']}", end="")
            print(f" ({problem['code']}: {problem['detail']})" if problem else "")
            for artifact in output["artifacts"]:
                print(f"    {next(paths, artifact['url'])}")
