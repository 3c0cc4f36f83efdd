"""``python -m deploy.allinone``: everything on this machine until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from common.settings.load import SettingsError
from deploy.allinone import demo, embedded
from deploy.allinone.children import ChildDied, NotReady
from deploy.allinone.embedded import NotInstalled
from deploy.allinone.ports import PortTaken
from deploy.allinone.supervisor import ROOT, AlreadyRunning, Supervisor, report

_FAULTS = (
    AlreadyRunning,
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
    parser = argparse.ArgumentParser(prog="./dev", description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT / ".data")
    parser.add_argument("--port", type=int, help="of the API; default: a free one")
    commands = parser.add_subparsers(dest="command")
    for name, text in (("up", "serve without the sample"), ("demo", "make, then exit")):
        command = commands.add_parser(name, help=text)
        command.add_argument("--port", type=int, default=argparse.SUPPRESS)
        if name == "demo":
            command.add_argument("files", nargs="*", type=Path, metavar="FILE")
    return parser.parse_args(argv)


def _show(supervisor: Supervisor, clips: list[Path]) -> bool:
    """Run the clips through; tell whether every job completed."""
    url, began = supervisor.url, time.monotonic()
    jobs = [(clip, demo.submit(url, clip)) for clip in clips]
    ended = [
        (clip, demo.await_end(url, job, supervisor.children.check))
        for clip, job in jobs
    ]
    for clip, job in ended:
        print(demo.describe(url, clip, job))
    print(f"  {'took':<11}{time.monotonic() - began:.1f} s", flush=True)
    return all(job["status"] == "completed" for _, job in ended)


def _addresses(supervisor: Supervisor) -> None:
    print(f"  {'API':<11}{supervisor.url}/v1/jobs")
    print(f"  {'API docs':<11}{supervisor.url}/docs")
    print(f"  {'Flower':<11}{supervisor.flower_url}  (to look at, not to control)")
    if supervisor.s3_url:
        keys = "bucket framemill, its keys in .data/state.json"
        print(f"  {'S3':<11}{supervisor.s3_url}  ({keys})")
    print(f"  {'logs':<11}.data/logs", flush=True)


def _serve(supervisor: Supervisor) -> None:
    print("Up until Ctrl-C.", flush=True)
    while True:
        supervisor.children.check()
        time.sleep(0.3)


def run(argv: list[str]) -> int:
    """Start everything and do the command; give the exit status."""
    arguments = _arguments(argv)
    clips = [] if arguments.command == "up" else [embedded.SAMPLE]
    clips = getattr(arguments, "files", None) or clips
    print("Starting ...", flush=True)
    with Supervisor(arguments.data, dict(os.environ), arguments.port) as supervisor:
        _addresses(supervisor)
        done = not clips or _show(supervisor, clips)
        if arguments.command != "demo":
            _serve(supervisor)
    return 0 if done else 1


def main() -> int:
    """Turn signals and known faults into an exit status."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    try:
        return run(sys.argv[1:])
    except _Ended:
        print("Ended.", flush=True)
        return 0
    except _FAULTS as error:
        report(error)
        return 1


if __name__ == "__main__":
    sys.exit(main())
