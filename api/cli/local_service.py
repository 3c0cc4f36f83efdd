"""The service that ``./dev`` or ``framemill up`` runs here, as it describes itself.

``./dev`` keeps a lock on its data folder while it runs, and writes ``state.json``
there: its address, and the settings under which its parts run. A command that reads
both talks to that service, and never to another program on a usual port.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

from .server_code import IN_WHEEL, TREE

if sys.platform != "win32":
    import fcntl

# What starts the service here.
STARTER = "framemill up" if IN_WHEEL else "./dev"


def _default_data() -> Path | None:
    """Return the folder that the starter uses by default; None in an image."""
    if IN_WHEEL:
        return Path.home() / ".local" / "share" / "framemill"
    return TREE / ".data" if (TREE / "dev").is_file() else None


DATA = _default_data()


@dataclass(frozen=True)
class LocalService:
    """A running ``./dev``: the API's address and the settings of its parts."""

    url: str
    settings: dict[str, str]


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--data``, which names another ``./dev`` than this checkout's."""
    where = DATA if IN_WHEEL else ".data in this checkout"
    text = f"the data folder of a running {STARTER}; default: {where}"
    parser.add_argument("--data", type=Path, help=text)


def find(data: Path | None = None) -> LocalService | None:
    """Return the service that runs on a data folder; None if none runs.

    ``data`` is a folder given to ``./dev --data``; by default this checkout's. Raises
    OSError if the folder cannot be read.
    """
    folder = data or DATA
    if folder is None:
        return None
    state = folder / "state.json"
    if not state.is_file() or not _is_locked(folder / "lock"):
        return None
    document = json.loads(state.read_text("utf-8"))
    return LocalService(document["api"], document.get("settings", {}))


def _is_locked(path: Path) -> bool:
    """Return True if a running ``./dev`` holds the lock; a killed one does not."""
    if sys.platform == "win32":
        return False  # ./dev runs on Linux alone
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False
