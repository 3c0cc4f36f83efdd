"""The service that ``./dev`` runs in this clone, as it describes itself.

``./dev`` keeps a lock on its data folder while it runs, and writes ``state.json``
there: its address, and the settings under which its parts run. A command that reads
both talks to that service, and never to another program on a usual port.
"""

from __future__ import annotations

import argparse
import fcntl
import json
from dataclasses import dataclass
from pathlib import Path

from common.settings.load import Settings, SettingsError, fill_environment

DATA = Path(__file__).resolve().parents[2] / ".data"


@dataclass(frozen=True)
class LocalService:
    """A running ``./dev``: the API's address and the settings of its parts."""

    url: str
    settings: dict[str, str]


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--data``, which names another ``./dev`` than the clone's own."""
    text = "the data folder of a running ./dev; default: .data of this clone"
    parser.add_argument("--data", type=Path, help=text)


def find(data: Path | None = None) -> LocalService | None:
    """Return the service that runs on a data folder; None when none runs.

    ``data`` is a folder given to ``./dev --data``, by default the clone's own. Raises
    OSError when the folder may not be read.
    """
    folder = data or DATA
    state = folder / "state.json"
    if not state.is_file() or not _is_locked(folder / "lock"):
        return None
    document = json.loads(state.read_text("utf-8"))
    return LocalService(document["api"], document.get("settings", {}))


def load_settings(data: Path | None = None) -> Settings:
    """Return the settings of the service that an operator's command is about.

    Variables of the environment come first, then those of a running ``./dev``. Raises
    SettingsError when neither names the job store: anybody may be at its default.
    """
    service = find(data)
    if service is not None:
        fill_environment(service.settings)
    settings = Settings.load()
    if "url" not in settings.store.model_fields_set:
        raise SettingsError(
            f"it is not known which service is meant: no ./dev runs on {data or DATA}, "
            "and FRAMEMILL_STORE_URL is not set; start ./dev, or set it to the job "
            "store of your service, for example redis://127.0.0.1:6380/0"
        )
    return settings


def _is_locked(path: Path) -> bool:
    """Return True when a running ``./dev`` holds the lock: a killed one holds none."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False
