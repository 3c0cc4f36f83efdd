"""The API, but every seventh job's process dies between record and message."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from itertools import count

from api.app import create_app
from common import runtime
from common.jobs import queue as dispatch
from common.model import Bell
from common.settings.load import Settings

_EVERY = 7


class DyingDispatcher(dispatch.CeleryDispatcher):
    """Kills its own process instead of ringing, now and then."""

    _rung = count(1)

    def ring(self, bells: Iterable[Bell]) -> None:
        bells = list(bells)
        if bells and next(self._rung) % _EVERY == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        super().ring(bells)


settings = Settings.load()
app = create_app(
    runtime.build(settings, DyingDispatcher(dispatch.celery_app(settings, "client")))
)
