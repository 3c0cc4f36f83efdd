"""The API, but its process dies between record and message when it is told to.

It is told by ``CHAOS_FAILPOINT``: a number, and it dies at each job of that number; or
the name of a file, and it dies at the next job once that file is there.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from itertools import count
from pathlib import Path

from api.app import create_app
from common.jobs import queue as dispatch
from common.model import Message
from common.runtime import build_runtime
from common.settings.load import Settings
from common.telemetry import logging as telemetry

_WHEN = os.environ["CHAOS_FAILPOINT"]


class DyingDispatcher(dispatch.CeleryDispatcher):
    """Kills its own process instead of sending, now and then."""

    _calls = count(1)

    def enqueue(self, messages: Iterable[Message]) -> None:
        messages = list(messages)
        if messages and self._is_time():
            os.kill(os.getpid(), signal.SIGKILL)
        super().enqueue(messages)

    def _is_time(self) -> bool:
        if _WHEN.isdigit():
            return next(self._calls) % int(_WHEN) == 0
        try:
            Path(_WHEN).unlink()
        except FileNotFoundError:
            return False
        return True


_settings = Settings.load()
telemetry.configure(_settings.log)
_dispatcher = DyingDispatcher(dispatch.celery_app(_settings, "client"))
app = create_app(build_runtime(_settings, dispatch.BackgroundQueue(_dispatcher)))
