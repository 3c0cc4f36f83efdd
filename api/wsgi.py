"""The WSGI entry point: ``gunicorn -k api.server.Worker api.wsgi:app``."""

from api import create_app
from common import dispatch, telemetry
from common.config import Settings
from common.runtime import build

_settings = Settings.load()
telemetry.configure(_settings.log)
app = create_app(build(_settings, dispatch.Aside(dispatch.connect(_settings))))
