"""The service's own app, whose doorbells nobody hears: a test looks at the store."""

from __future__ import annotations

from flask import Flask

from api import create_app
from common.config import Settings
from common.dispatch import RecordingDispatcher
from common.runtime import build


def load() -> Flask:
    """Build it as gunicorn wants it."""
    return create_app(build(Settings.load(), RecordingDispatcher()))
