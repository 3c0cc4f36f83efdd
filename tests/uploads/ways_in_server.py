"""The upload routes as an app of their own, for tests."""

from __future__ import annotations

from flask import Flask

from api import errors, files, tus, uploads
from api.guard import Open
from common.config import Settings
from common.dispatch import RecordingDispatcher
from common.runtime import Runtime, build
from common.uploads import Uploads


def make_app(runtime: Runtime) -> Flask:
    """Build the app over one world."""
    app = Flask(__name__)
    app.extensions["framemill"] = runtime
    errors.register(app)
    sessions = Uploads.connect(runtime.settings, runtime.blobs)
    app.register_blueprint(files.blueprint)
    app.register_blueprint(uploads.blueprint(runtime, Open(), sessions))
    app.register_blueprint(tus.blueprint(runtime, Open(), sessions))
    return app


def load() -> Flask:
    """Build it as gunicorn wants it."""
    return make_app(build(Settings.load(), RecordingDispatcher()))
