"""``./dev``: the whole service on this machine, until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import time
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from common.settings.load import SettingsError
from deploy.allinone import demo, embedded
from deploy.allinone.children import ChildDied, NotReady
from deploy.allinone.embedded import NotInstalled
from deploy.allinone.ports import PortTaken
from deploy.allinone.supervisor import (
    CLIENT,
    PROGRAM,
    ROOT,
    AlreadyRunning,
    Supervisor,
    report,
)

_DATA = ROOT / ".data"
_LAST_PORT = 65535
_FAULTS = (
    ChildDied,
    NotInstalled,
    NotReady,
    PortTaken,
    SettingsError,
    demo.DemoFailed,
    OSError,
)


class _Ended(BaseException):
    """Ctrl-C or SIGTERM: raised wherever the supervisor is."""


def _end(_number: int, _frame: FrameType | None) -> None:
    # A second Ctrl-C must not interrupt the ending of the children.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise _Ended


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=PROGRAM, description=__doc__)
    _add_options(parser, data=_DATA, port=None)
    commands = parser.add_subparsers(dest="command")
    for name, text in (
        ("up", "serve without the sample"),
        ("demo", "make pictures of files, then exit"),
    ):
        command = commands.add_parser(name, help=text)
        _add_options(command, data=argparse.SUPPRESS, port=argparse.SUPPRESS)
        if name == "demo":
            command.add_argument("files", nargs="*", type=Path, metavar="FILE")
    return parser.parse_args(argv)


def _add_options(parser: argparse.ArgumentParser, data: Any, port: Any) -> None:
    text = "the folder of data, logs, ports and keys; default: .data"
    parser.add_argument("--data", type=Path, default=data, metavar="FOLDER", help=text)
    text = "the API's port; default: last time's, else 8000, else a free one"
    parser.add_argument("--port", type=_port, default=port, metavar="N", help=text)


def _port(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if not 1 <= number <= _LAST_PORT:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a port: write a whole number from 1 to {_LAST_PORT}"
        )
    return number


def _show(supervisor: Supervisor, clips: list[Path]) -> bool:
    """Make pictures of the clips; return True if every job completed."""
    url, began = supervisor.url, time.monotonic()
    jobs = [(clip, demo.submit(url, clip)) for clip in clips]
    ended = [
        (clip, demo.await_end(url, job, supervisor.restart_dead)) for clip, job in jobs
    ]
    for clip, job in ended:
        print(demo.describe(url, clip, job))
    print(f"  {'took':<11}{time.monotonic() - began:.1f} s", flush=True)
    return all(job["status"] == "completed" for _, job in ended)


def _addresses(supervisor: Supervisor) -> None:
    print(f"  {'page':<11}{supervisor.url}/  (drop a video there)")
    print(f"  {'API':<11}{supervisor.url}/v1/jobs")
    print(f"  {'API docs':<11}{supervisor.url}/docs")
    print(f"  {'Flower':<11}{supervisor.flower_url}  (to look at, not to control)")
    if supervisor.s3_url:
        keys = f"bucket framemill, its keys in {supervisor.data / 'state.json'}"
        print(f"  {'S3':<11}{supervisor.s3_url}  (for S3 clients; a browser gets 400)")
        print(f"  {'':<11}{keys}")
    print(f"  {'logs':<11}{supervisor.data / 'logs'}", flush=True)


def _has_desktop(environment: Mapping[str, str]) -> bool:
    """Return whether a person sits in front of this machine's own screen."""
    screens = ("DISPLAY", "WAYLAND_DISPLAY")
    return sys.stdout.isatty() and any(environment.get(name) for name in screens)


def _serve(supervisor: Supervisor) -> None:
    key = " -H 'Authorization: Bearer KEY'" if supervisor.asks_for_keys else ""
    sample = shlex.quote(str(embedded.SAMPLE))
    print("Up until Ctrl-C. Make pictures of a file:")
    print(
        f"  curl -H 'Prefer: wait=30'{key} -F file=@{sample} {supervisor.url}/v1/jobs",
        flush=True,
    )
    while True:
        supervisor.restart_dead()
        time.sleep(0.3)


def run(argv: list[str]) -> int:
    """Start everything, do what the command says, and return the exit status."""
    arguments = _arguments(argv)
    clips = [] if arguments.command == "up" else [embedded.SAMPLE]
    clips = getattr(arguments, "files", None) or clips
    for clip in clips:
        clip.stat()  # now, not when everything has been started for it
    print("Starting ...", flush=True)
    with Supervisor(arguments.data, dict(os.environ), arguments.port) as supervisor:
        _addresses(supervisor)
        if arguments.command != "demo" and _has_desktop(os.environ):
            webbrowser.open(supervisor.url)
        done = not clips or _show(supervisor, clips)
        if arguments.command != "demo":
            _serve(supervisor)
    return 0 if done else 1


def _advice(argv: list[str]) -> str:
    """Return what to do instead where another supervisor runs already."""
    arguments = _arguments(argv)
    if not getattr(arguments, "files", None):
        return "end it by Ctrl-C first, or use another folder by --data"
    words = [CLIENT, "submit", *map(str, arguments.files), "-o", "results"]
    if arguments.data != _DATA:
        words += ["--data", str(arguments.data)]
    return f"it makes pictures by: {shlex.join(words)}"


def main() -> int:
    """Run ``./dev``; turn signals and known faults into an exit status."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    try:
        return run(sys.argv[1:])
    except _Ended:
        print("Ended.", flush=True)
        return 0
    except AlreadyRunning as error:
        report(f"{error}; {_advice(sys.argv[1:])}")
        return 1
    except _FAULTS as error:
        report(error)
        return 1


if __name__ == "__main__":
    sys.exit(main())
