"""Write the films and `films.json` to a folder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.acceptance.films import make, proof
from tests.acceptance.films.catalogue import FILMS


def main() -> int:
    """Return 0, or with --prove 1 when a film is not what its description says."""
    parser = argparse.ArgumentParser(prog="tests.acceptance.films", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--long", action="store_true", help="the long ones, too")
    parser.add_argument("--only", default="", help="films whose name contains this")
    parser.add_argument("--prove", action="store_true", help="decode each one anew")
    options = parser.parse_args()
    films = [f for f in FILMS if options.long or not f.long]
    films = [f for f in films if options.only in f.name]
    make.write(films, options.folder)
    wrong = False
    for film in films if options.prove else []:
        every = 97 if film.long else 1
        for line in list(proof.differences(options.folder / film.file, film, every))[
            :5
        ]:
            wrong = True
            print(f"{film.name}: {line}")
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
