"""The command line: ``framemill`` for people and scripts.

``submit`` talks to the public HTTP API alone. ``keys``, ``dead`` and ``redrive`` are
for who runs the service: they read the service's own settings and reach its store.

Exit codes: 0 all is well, 1 a job failed or was cancelled, 2 wrong usage or settings,
3 a job is partial, 4 the service refused or did not answer, 5 not ended in time,
130 interrupted by Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from api import key_commands, openapi
from api.client import Client, Refused, Unreached
from common import telemetry
from common.config import Settings, SettingsError
from common.errors import FramemillError
from common.model import JOB_ENDED
from common.runtime import Runtime, build

_CODES = {"completed": 0, "partial": 3, "failed": 1, "cancelled": 1}
_WRONG, _REFUSED, _LATE, _INTERRUPTED = 2, 4, 5, 130
_WIDTH = 30
_HERE = "http://127.0.0.1:8000"


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    options = _parser().parse_args(words)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except (Refused, Unreached, FramemillError) as error:
        _explain(error)
        return _REFUSED
    except (SettingsError, OSError, ValueError) as error:
        _explain(error)
        return _WRONG
    except KeyboardInterrupt:
        _tell("interrupted")
        return _INTERRUPTED


def _explain(error: Exception) -> None:
    if isinstance(error, Refused):
        faults = error.problem.get("faults") or []
        # Where faults are listed, the document's own hint is the first one's.
        hint = "" if faults else error.problem.get("hint")
        _tell(f"refused: {error}" + (f" ({hint})" if hint else ""))
        for fault in faults:
            hint = f" ({fault['hint']})" if fault.get("hint") else ""
            _tell(f"  {fault['pointer']}: {fault['detail']}{hint}")
    elif isinstance(error, FramemillError):
        hint = f" ({error.hint})" if error.hint else ""
        _tell(f"{error.title}: {error.detail}{hint}")
    elif isinstance(error, OSError) and error.filename:
        _tell(f"{error.filename}: {error.strerror}")
    else:
        _tell(str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="framemill", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    submit = commands.add_parser("submit", help="make pictures of a video")
    submit.set_defaults(run=_submit)
    submit.add_argument("file", type=Path)
    _add_request(submit)
    submit.add_argument("-o", dest="folder", type=Path, help="save the results here")
    batch = commands.add_parser("batch", help="make pictures of many videos")
    batch.set_defaults(run=_batch)
    batch.add_argument("source", nargs="*", help="a file, s3://BUCKET/KEY, https://...")
    batch.add_argument("--prefix", help="all of s3://BUCKET/PREFIX instead")
    batch.add_argument("--suffix", default="", help="those that end so, as .mp4")
    _add_request(batch)
    key_commands.add_to(commands.add_parser("keys", help="make and tend API keys"))
    dead = commands.add_parser("dead", help="list the pieces that were given up")
    dead.set_defaults(run=_dead)
    redrive = commands.add_parser("redrive", help="run given up pieces again")
    redrive.set_defaults(run=_redrive)
    redrive.add_argument("piece", nargs="*", help="default: all of them")
    document = commands.add_parser("openapi", help="print the OpenAPI document")
    document.set_defaults(run=_openapi)
    return parser


def _add_request(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--server", default=_HERE, help=f"default: {_HERE}")
    parser.add_argument("--key", help="API key, better in --key-file")
    parser.add_argument("--key-file", type=Path, help="a file that holds the API key")
    parser.add_argument("--outputs", type=_json, help="JSON list of what to make")
    parser.add_argument("--preset", help="a named list of outputs of the service")
    parser.add_argument("--metadata", type=_json, help="any JSON, comes back as sent")
    parser.add_argument("--wait", action="store_true", help="until all has ended")
    parser.add_argument("--timeout", type=float, help="seconds to wait at most")
    parser.add_argument("--json", action="store_true", help="print the whole document")


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from error


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


def _bar(label: str) -> Callable[[float], None]:
    """Draw a bar on a terminal, and nothing into a pipe."""
    if not sys.stderr.isatty():
        return lambda _: None

    def draw(share: float) -> None:
        full = round(share * _WIDTH)
        end = "\n" if share >= 1 else ""
        bar = "#" * full + "." * (_WIDTH - full)
        print(
            f"\r{label:<10} [{bar}] {share:4.0%}", end=end, file=sys.stderr, flush=True
        )

    return draw


def _client(options: argparse.Namespace) -> Client:
    key = options.key
    if options.key_file:
        key = options.key_file.read_text("utf-8").strip()
    return Client(options.server, key)


def _asked(options: argparse.Namespace) -> dict[str, Any]:
    asked = {name: getattr(options, name) for name in ("outputs", "preset", "metadata")}
    return {name: value for name, value in asked.items() if value is not None}


def _batch(options: argparse.Namespace) -> int:
    asked, sources = _asked(options), options.source
    if bool(sources) == bool(options.prefix) or (sources and options.suffix):
        raise ValueError(
            "name sources, or else --prefix s3://BUCKET/PREFIX, which --suffix narrows"
        )
    client = _client(options)
    if options.prefix:
        place = _s3_place(options.prefix)
        prefix = {"bucket": place["bucket"], "prefix": place["key"]}
        asked["prefix"] = {"s3": prefix | {"suffix": options.suffix}}
    else:
        files = [Path(one) for one in sources if "://" not in one]
        for file in files:
            file.stat()  # before any is uploaded
        asked["sources"] = [_source(client, one) for one in sources]
    batch = client.submit_batch(asked)
    if options.wait:
        try:
            batch = client.wait(batch, _bar("work"), options.timeout, "batches")
        except KeyboardInterrupt:
            _tell(f"\nbatch {batch['id']} goes on: {batch['links']['self']}")
            raise
    _print_batch(batch, whole=options.json)
    if not options.wait:
        return 0
    if batch["status"] not in JOB_ENDED:
        _tell(f"batch {batch['id']} has not ended within {options.timeout:g} s")
        return _LATE
    return _CODES[batch["status"]]


def _source(client: Client, text: str) -> dict[str, Any]:
    if text.startswith("s3://"):
        return {"s3": _s3_place(text)}
    if "://" in text:
        return {"url": text}
    return {"upload": client.upload(Path(text), _bar("upload"))}


def _s3_place(text: str) -> dict[str, str]:
    bucket, slash, key = text.removeprefix("s3://").partition("/")
    if not (text.startswith("s3://") and bucket and slash):
        raise ValueError(f"{text!r} is not s3://BUCKET/KEY")
    return {"bucket": bucket, "key": key}


def _print_batch(batch: dict[str, Any], *, whole: bool) -> None:
    if whole:
        print(json.dumps(batch, indent=1))
        return
    print(f"{batch['status']} {batch['links']['self']}")
    for name, count in batch["counts"].items():
        if count:
            print(f"  {count} {name}")
    if problem := batch["error"]:
        print(f"  {problem['code']}: {problem['detail']}")


def _submit(options: argparse.Namespace) -> int:
    if options.folder:
        # Now, not when the work is done and has nowhere to go.
        options.folder.mkdir(parents=True, exist_ok=True)
    client = _client(options)
    job = client.submit(options.file, _asked(options), _bar("upload"))
    if options.wait or options.folder:
        try:
            job = client.wait(job, _bar("work"), options.timeout)
        except KeyboardInterrupt:
            _tell(f"\njob {job['id']} goes on: {job['links']['self']}")
            raise
        if options.folder:
            _save(client, job, options.folder)
    if options.json:
        print(json.dumps(job, indent=1))
    else:
        _print_job(job)
    if not (options.wait or options.folder):
        return 0
    if job["status"] not in JOB_ENDED:
        _tell(f"job {job['id']} has not ended within {options.timeout:g} s")
        return _LATE
    return _CODES[job["status"]]


def _save(client: Client, job: dict[str, Any], folder: Path) -> None:
    for output in job["outputs"]:
        # Both names are the service's; only their last parts become paths. A folder
        # for each output, because indexes name its other files beside themselves.
        place = folder / Path(output["name"]).name
        place.mkdir(parents=True, exist_ok=True)
        for artifact in output["artifacts"]:
            path = place / Path(artifact["name"]).name
            client.fetch(artifact["url"], path)
            _tell(f"saved {path}")


def _print_job(job: dict[str, Any]) -> None:
    print(f"{job['status']} {job['links']['self']}")
    for output in job["outputs"]:
        problem = output["error"]
        print(f"  {output['name']}: {output['status']}", end="")
        print(f" ({problem['code']}: {problem['detail']})" if problem else "")
        for artifact in output["artifacts"]:
            print(f"    {artifact['url']}")


def _dead(_: argparse.Namespace) -> int:
    for piece in _runtime().store.dead():
        print(f"{piece.piece}\t{piece.error.code}\t{piece.error.detail}")
    return 0


def _redrive(options: argparse.Namespace) -> int:
    runtime = _runtime()
    pieces = options.piece or [one.piece for one in runtime.store.dead()]
    for piece in pieces:
        runtime.dispatcher.ring(runtime.store.redrive(piece).bells)
        print(piece)
    return 0


def _runtime() -> Runtime:
    settings = Settings.load()
    telemetry.configure(settings.log)
    return build(settings)


def _openapi(_: argparse.Namespace) -> int:
    sys.stdout.write(openapi.text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
