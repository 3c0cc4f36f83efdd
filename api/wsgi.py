"""The WSGI entry point: ``gunicorn -k api.server.Worker api.wsgi:app``."""

from api.app import create_app
from common.jobs import queue as dispatch
from common.runtime import build_runtime, check_servers
from common.settings.load import Settings
from common.telemetry import logging as telemetry
from common.telemetry import traces

_settings = Settings.load()
telemetry.configure(_settings.log)
traces.start(_settings.traces, "api")
_runtime = build_runtime(
    _settings, dispatch.BackgroundQueue(dispatch.connect(_settings))
)
check_servers(_runtime.store, _runtime.dispatcher)
app = create_app(_runtime)
