"""Run the table over a service: `python -m tests.acceptance`, or `./dev acceptance`.

Without ``--against`` all parts of this checkout (or of ``--tree``) are started on a
temporary folder. Without ``--films`` the project's own films are made, or taken from
the cache. The exit status is 0 only when every cell passes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.acceptance.catalogue import CatalogueError, Film, load
from tests.acceptance.run import Run
from tests.acceptance.service import ROOT, Service, started
from tests.acceptance.table import Grid

OPTION_FILMS = 2


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev acceptance", description=__doc__)
    parser.add_argument("--films", type=Path, help="a folder with films and films.json")
    parser.add_argument("--against", metavar="URL", help="a service that runs already")
    parser.add_argument("--key", help="its API key; default: FRAMEMILL_ACCEPTANCE_KEY")
    parser.add_argument("--tree", type=Path, default=ROOT, help="the checkout to start")
    parser.add_argument("--table", type=Path, metavar="OUT.md", help="write the table")
    parser.add_argument("--long", action="store_true", help="the long films, too")
    parser.add_argument("--only", default="", help="films with this in their names")
    parser.add_argument("--option", default="", help="options with this in their names")
    parser.add_argument(
        "--part", choices=["films", "options"], help="one of the two tables alone"
    )
    parser.add_argument(
        "--faults", action="store_true", help="run the tests of single faults instead"
    )
    return parser.parse_args(argv)


@contextmanager
def _service(requested: argparse.Namespace) -> Iterator[Service]:
    key = requested.key or os.environ.get("FRAMEMILL_ACCEPTANCE_KEY")
    if requested.against:
        yield Service(requested.against.rstrip("/"), key=key)
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        started(Path(folder) / "data", requested.tree.resolve()) as service,
    ):
        yield service


def _films(requested: argparse.Namespace, scratch: Path) -> list[Film]:
    folder = requested.films
    if folder is None:
        from tests.acceptance.films.catalogue import FILMS
        from tests.acceptance.films.make import write

        folder = scratch
        write([film for film in FILMS if requested.long or not film.long], folder)
    return load(folder)


def for_options(films: list[Film]) -> list[Film]:
    """Return the two films of which every option is asked.

    Those that ``films.json`` names, else the first of ordinary length and rate.
    """
    marked = [film for film in films if film.options]
    plain = [
        film
        for film in films
        if 8 <= film.length <= 30 and film.frame < 0.2 and not film.expected_errors
    ]
    others = [film for film in plain if film.file.suffix != plain[0].file.suffix]
    return (marked or [*plain[:1], *others] or films)[:OPTION_FILMS]


def _write(grids: list[Grid], requested: argparse.Namespace, seconds: float) -> int:
    cells = [cell for grid in grids for cell in grid.cells]
    failed = [one for grid in grids for one in grid.failed]
    total = f"{len(cells) - len(failed)} of {len(cells)} cells pass, {seconds:.0f} s"
    print(total)
    if requested.table:
        texts = ["# Acceptance", "", total, "", *(grid.markdown() for grid in grids)]
        requested.table.write_text("\n".join(texts), encoding="utf-8")
    return 1 if failed or not cells else 0


def _faults(requested: argparse.Namespace) -> int:
    """Run the fault tests by pytest, which prints what failed."""
    given = {"FRAMEMILL_ACCEPTANCE_TREE": str(requested.tree.resolve())}
    if requested.against:
        given["FRAMEMILL_ACCEPTANCE_URL"] = requested.against
    words = ["-m", "pytest", "-q", "tests/acceptance/faults", "--tb", "no", "-rN"]
    if requested.table:
        words += ["--fault-table", str(requested.table.resolve())]
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=os.environ | given, check=False
    )
    return done.returncode


def main(argv: list[str] | None = None) -> int:
    """Run what was asked and return the exit status."""
    requested = _arguments(sys.argv[1:] if argv is None else argv)
    if requested.faults:
        return _faults(requested)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        try:
            films = _films(requested, Path(scratch))
        except CatalogueError as error:
            print(f"acceptance: {error}", file=sys.stderr)
            return 2
        with _service(requested) as service:
            chosen = [film for film in films if requested.only in film.name]
            run = Run(service, chosen, requested.long, requested.option)
            grids = []
            if requested.part != "options":
                grids.append(run.all_films())
            if requested.part != "films":
                grids.append(run.every_option(for_options(chosen)))
    return _write(grids, requested, time.monotonic() - began)


if __name__ == "__main__":
    sys.exit(main())
