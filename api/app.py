"""The application: every route over one runtime."""

from __future__ import annotations

from flask import Flask

from api import health as ops
from api.batches import routes as batches
from api.files import routes as files
from api.http import idempotency as repeats
from api.http import middleware as edge
from api.http import problems as errors
from api.http.auth import Authenticator, KeyAuthenticator, Open
from api.http.long_poll import LongPollSlots
from api.jobs import events as stream
from api.jobs import routes as jobs
from api.jobs.sources import Sources
from api.metrics import Metrics
from api.s3_events import routes as s3_events
from api.uploads import direct as uploads
from api.uploads import tus
from api.web import pages
from api.webhooks import deliveries as webhooks
from api.webhooks import routes as key_webhooks
from common.access.keys import Keys, declared_keys
from common.runtime import Runtime
from common.settings.load import SettingsError
from common.uploads import Uploads

_SECRET_CHARS = 32


def create_app(runtime: Runtime) -> Flask:
    """Build the WSGI app over one world.

    Raises SettingsError when links cannot be signed, or declared keys are not valid.
    """
    settings = runtime.settings.api
    if len(settings.secret) < _SECRET_CHARS:
        raise SettingsError(
            f"FRAMEMILL_API_SECRET: at least {_SECRET_CHARS} random characters"
        )
    app = Flask("api", template_folder="web/templates", static_folder="web/static")
    app.extensions["framemill"] = runtime
    app.url_map.strict_slashes = True
    app.url_map.merge_slashes = False
    app.url_map.redirect_defaults = False
    metrics = Metrics(runtime.store)
    declared = declared_keys(runtime.settings)
    keys = Keys.connect(runtime.settings) if settings.auth else None
    authenticator: Authenticator = (
        Open(settings) if keys is None else KeyAuthenticator(keys, declared)
    )
    long_polls = LongPollSlots(settings.threads // 4)
    streams = LongPollSlots(settings.transfers // 4)
    edge.install(app, settings, metrics)
    repeats.install(app, authenticator, runtime.store)
    errors.register(app)
    sessions = Uploads.connect(runtime.settings, runtime.blobs)
    context = jobs.JobsContext(
        runtime, authenticator, long_polls, Sources(runtime, sessions)
    )
    app.register_blueprint(jobs.blueprint(runtime, context))
    app.register_blueprint(batches.blueprint(runtime, context))
    app.register_blueprint(stream.blueprint(runtime, authenticator, streams))
    app.register_blueprint(webhooks.blueprint(runtime, authenticator))
    app.register_blueprint(key_webhooks.blueprint(runtime, authenticator, keys))
    app.register_blueprint(s3_events.blueprint(runtime))
    app.register_blueprint(files.blueprint)
    app.register_blueprint(uploads.blueprint(runtime, authenticator, sessions))
    app.register_blueprint(tus.blueprint(runtime, authenticator, sessions))
    app.register_blueprint(ops.blueprint(runtime, authenticator, metrics))
    app.register_blueprint(pages.blueprint())
    return app
