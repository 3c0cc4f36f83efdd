"""The service's own app, whose messages nobody hears: a test looks at the store."""

from __future__ import annotations

from flask import Flask

from api.app import create_app
from common.jobs.queue import RecordingDispatcher
from common.runtime import build_runtime
from common.settings.load import Settings


def load() -> Flask:
    """Build it as gunicorn wants it."""
    return create_app(build_runtime(Settings.load(), RecordingDispatcher()))
