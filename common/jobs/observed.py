"""The Celery app for programs that look at it: ``celery -A common.jobs.observed``.

Flower needs it behind Sentinels, whose names for a server are no part of a URL.
"""

from __future__ import annotations

from common.jobs.queue import celery_app
from common.settings.load import Settings

app = celery_app(Settings.load(), "client")
