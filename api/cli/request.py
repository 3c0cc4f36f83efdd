"""What ``submit`` and ``batch`` share: the options, the wait, the exit code."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import local_service
from .client import ENDED, Client
from .display import show_progress, tell_where, warn

EXIT_CODES = {"completed": 0, "partial": 3, "failed": 1, "cancelled": 1}
_LATE = 5
_DEFAULT_SERVER = "http://127.0.0.1:8000"


_OUTPUTS_HELP = (
    'what to make, such as \'[{"kind": "storyboard"}]\', or \'[{"kind": '
    '"thumbnail", "widths": [320, 640], "formats": ["avif", "jpeg"]}]\' for '
    'several sizes and formats, \'[{"kind": "thumbnail", "width": 360, "height": '
    '640, "fit": "cover", "gravity": "smart"}]\' for a crop that keeps the '
    'subject, or \'[{"kind": "storyboard", "trickplay": ["bif"]}]\' for the '
    "trickplay of a player; default: a thumbnail and a GIF"
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that describe a request and what becomes of it."""
    parser.add_argument(
        "--server",
        metavar="URL",
        help=f"the service; default: the one that {local_service.STARTER} runs, else "
        f"{_DEFAULT_SERVER}",
    )
    local_service.add_option(parser)
    parser.add_argument(
        "--key", help="the API key; use --key-file to hide it from other users"
    )
    parser.add_argument(
        "--key-file", type=Path, metavar="FILE", help="a file that holds the API key"
    )
    parser.add_argument(
        "--outputs",
        type=_json,
        metavar="JSON",
        help=_OUTPUTS_HELP,
    )
    parser.add_argument(
        "--preset", metavar="NAME", help="a named list of outputs of the service"
    )
    parser.add_argument(
        "--metadata",
        type=_json,
        metavar="JSON",
        help="any JSON; it comes back with each job",
    )
    parser.add_argument(
        "--wait", action="store_true", help="wait until every job has ended"
    )
    parser.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="wait no longer than this"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the whole JSON document"
    )
    parser.add_argument(
        "-o",
        dest="folder",
        type=Path,
        metavar="FOLDER",
        help="wait, then save the results in FOLDER",
    )


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from error


def waits(options: argparse.Namespace) -> bool:
    """Return whether the command waits; raise ValueError for a timeout of no wait."""
    if options.wait or options.folder:
        return True
    if options.timeout is not None:
        raise ValueError("--timeout limits a wait: add --wait or -o FOLDER")
    return False


def make_client(options: argparse.Namespace) -> Client:
    """Return a client of the service that the options name."""
    key = options.key
    if options.key_file:
        key = options.key_file.read_text("utf-8").strip()
    server = options.server
    if server is None:
        running = local_service.find(options.data)
        starter = local_service.STARTER
        if running is None and options.data is not None:
            raise ValueError(
                f"no {starter} runs on {options.data}: start it with {starter} --data "
                f"{options.data}, or name the service by --server URL"
            )
        server = running.url if running else _DEFAULT_SERVER
    return Client(server, key)


def requested(options: argparse.Namespace) -> dict[str, Any]:
    """Return the members of the request that the options give."""
    names = ("outputs", "preset", "metadata")
    given = {name: getattr(options, name) for name in names}
    return {name: value for name, value in given.items() if value is not None}


def await_jobs(
    client: Client, jobs: list[dict[str, Any]], timeout: float | None
) -> list[dict[str, Any]]:
    """Wait for the end of each job, or for ``timeout`` seconds each."""
    for job in jobs:
        if job["status"] not in ENDED:
            tell_where("job", job, job["links"]["self"])
    try:
        return [client.wait(job, show_progress("work"), timeout) for job in jobs]
    except KeyboardInterrupt:
        tell_left(jobs)
        raise


def tell_left(jobs: Sequence[dict[str, Any]], kind: str = "job") -> None:
    """Print which jobs the service goes on with after this command."""
    for job in jobs:
        warn(f"\n{kind} {job['id']} goes on: {job['links']['self']}")


def exit_code(kind: str, ended: Sequence[dict[str, Any]], timeout: float | None) -> int:
    """Return the exit code for all: what has not ended counts first."""
    late = [one for one in ended if one["status"] not in ENDED]
    for one in late:
        warn(f"{kind} {one['id']} has not ended within {timeout:g} s")
    if late:
        return _LATE
    codes = {EXIT_CODES[one["status"]] for one in ended}
    return codes.pop() if len(codes) == 1 else EXIT_CODES["partial"]
