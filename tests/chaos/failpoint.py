"""The API, but every seventh job's process dies between record and message."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from itertools import count

from api.app import create_app
from common.jobs import queue as dispatch
from common.model import Message
from common.runtime import build_runtime
from common.settings.load import Settings

_EVERY = 7


class DyingDispatcher(dispatch.CeleryDispatcher):
    """Kills its own process instead of sending, now and then."""

    _calls = count(1)

    def enqueue(self, messages: Iterable[Message]) -> None:
        messages = list(messages)
        if messages and next(self._calls) % _EVERY == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        super().enqueue(messages)


settings = Settings.load()
app = create_app(
    build_runtime(settings, DyingDispatcher(dispatch.celery_app(settings, "client")))
)
