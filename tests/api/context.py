"""The whole app over a small runtime; a test client of Flask asks its views."""

from __future__ import annotations

import io
import json
from typing import Any

from api.app import create_app
from tests.worker.context import make_runtime

WEBHOOK_SECRET = "whsec_" + "A" * 32


class BrokenBody(io.BytesIO):
    """What gunicorn gives for a client that is gone, or sends broken chunks."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def read(self, size: int | None = -1, /) -> bytes:
        raise self.error


def make_app(folder, **sections: Any):
    """Return the runtime and a test client of the app over it."""
    given = {
        "api": {"secret": "x" * 32, "auth": False, "transfers": 8},
        "webhooks": {"secret": WEBHOOK_SECRET},
        **sections,
    }
    runtime = make_runtime(folder, **given)
    return runtime, create_app(runtime).test_client()


def read_events(text: str) -> list[dict[str, Any]]:
    """Parse server-sent events: id, event and decoded data of each."""
    found = []
    for block in text.split("\n\n"):
        lines = [line.split(": ", 1) for line in block.splitlines() if line[0] != ":"]
        fields = dict(lines)
        if "event" in fields:
            found.append(fields | {"data": json.loads(fields["data"])})
    return found
