"""Measure what jobs cost, beside the commands of others and an earlier build.

``./dev bench`` runs every row on services of its own and prints one table. The exit
status is 0 only if every target is met that was measured.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from common.settings.load import Settings
from tests.bench import report
from tests.bench.bench import Bench
from tests.bench.builds import object_store
from tests.bench.inputs import Inputs, default_clip
from tests.bench.results import ROUNDS, Measured, Row
from tests.bench.rows import rows
from tests.conftest import ROOT
from worker.media.ffmpeg import binary


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("--against", metavar="REV", help="run an earlier build beside")
    parser.add_argument("--only", metavar="ROW", action="append", help="these rows")
    parser.add_argument("--quick", action="store_true", help="one run, no slow rows")
    parser.add_argument("--list", action="store_true", help="print the rows' names")
    parser.add_argument(
        "--folder", type=Path, default=ROOT / ".data/bench", help="of films and results"
    )
    parser.add_argument(
        "--clip", type=Path, default=default_clip(), help="what films are made of"
    )
    return parser.parse_args(argv)


def _chosen(every: list[Row], requested: argparse.Namespace) -> list[Row]:
    names = [row.name for row in every]
    for name in requested.only or []:
        if name not in names:
            raise SystemExit(f"bench: no row {name!r}; rows are {', '.join(names)}")
    if requested.only:
        return [row for row in every if row.name in requested.only]
    return [row for row in every if not (requested.quick and row.slow)]


def _measure(
    chosen: list[Row],
    requested: argparse.Namespace,
    write: Callable[[list[Measured]], None],
) -> list[Measured]:
    """Start what the rows need, and run them in turns; ``write`` after each."""
    folder = requested.folder.resolve()
    ffmpeg = Path(binary.path(Settings.model_validate({"api": {"secret": "x" * 32}})))
    inputs = Inputs(folder / "inputs", requested.clip.resolve(), ffmpeg)
    films = {name: inputs.path(name) for row in chosen for name in row.films}
    measured = []
    with ExitStack() as stack:
        s3 = stack.enter_context(object_store(folder / "store", films))
        bench = Bench(stack, inputs, s3, folder, requested.against)
        for row in chosen:
            began = time.monotonic()
            found = Measured(row)
            found.take(bench, 1 if requested.quick else ROUNDS)
            measured.append(found)
            print(report.text(found.lines()), flush=True)
            print(f"  ({row.name}: {time.monotonic() - began:.0f} s)", flush=True)
            if found.fault:
                print(f"  {row.name} ended: {found.fault}", flush=True)
            write(measured)
    return measured


def main(argv: list[str] | None = None) -> int:
    """Run what was asked for and return the exit status."""
    requested = _arguments(sys.argv[1:] if argv is None else argv)
    # So that the services end with it, and the worktree is removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    every = rows()
    if requested.list:
        print("\n".join(f"{row.name:24}{row.text}" for row in every))
        return 0
    began = time.monotonic()

    def write(measured: list[Measured]) -> None:
        facts = report.machine(ROOT, requested.against, time.monotonic() - began)
        document = report.document(facts, measured)
        path = requested.folder / "results.json"
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")

    measured = _measure(_chosen(every, requested), requested, write)
    lines = [line for one in measured for line in one.lines()]
    print(report.text(lines))
    for one in measured:
        for side, reason in one.missing.items():
            print(f"not measured: {one.row.name}, {side}: {reason}")
        if one.fault:
            print(f"failed: {one.row.name}: {one.fault}")
    failed = [line for line in lines if line.passes is False]
    for line in failed:
        print(f"missed: {report.miss(line)}")
    return 1 if failed or any(one.fault for one in measured) else 0


if __name__ == "__main__":
    sys.exit(main())
