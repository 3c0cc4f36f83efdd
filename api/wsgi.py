"""The WSGI entry point: ``gunicorn -k api.server.Worker api.wsgi:app``."""

from api.app import create_app
from common.jobs import queue as dispatch
from common.runtime import build_runtime
from common.settings.load import Settings
from common.telemetry import logging as telemetry

_settings = Settings.load()
telemetry.configure(_settings.log)
app = create_app(
    build_runtime(_settings, dispatch.BackgroundQueue(dispatch.connect(_settings)))
)
