"""The application: every route over one runtime."""

from __future__ import annotations

from flask import Flask

from api import health
from api.batches import routes as batches
from api.files import routes as files
from api.http import idempotency, middleware, problems
from api.http.auth import Authenticator, KeyAuthenticator, Open
from api.http.long_poll import LongPollSlots
from api.http.services import Services
from api.jobs import archive, events, output_schema
from api.jobs import routes as jobs
from api.operators import routes as operators
from api.render import routes as render
from api.s3_events import routes as s3_events
from api.sessions import routes as sessions
from api.shares import routes as shares
from api.uploads import direct, tus
from api.web import pages, site
from api.webhooks import deliveries
from api.webhooks import routes as webhooks
from common.access.keys import Keys, declared_keys
from common.runtime import Runtime
from common.settings.load import check_secret
from common.uploads import Uploads


def create_app(runtime: Runtime) -> Flask:
    """Return the WSGI app over a runtime.

    Raises SettingsError for a secret too short to sign links with, or declared keys
    that are not valid.
    """
    settings = runtime.settings.api
    check_secret(settings.secret)
    app = Flask("api", template_folder="web/templates", static_folder="web/static")
    app.extensions["framemill"] = runtime
    app.url_map.strict_slashes = True
    app.url_map.merge_slashes = False
    app.url_map.redirect_defaults = False
    services = _services(runtime)
    middleware.install(app, settings)
    idempotency.install(app, services.authenticator, runtime.store, settings.secrets)
    problems.register(app)
    app.register_blueprint(jobs.blueprint(services))
    app.register_blueprint(batches.blueprint(services))
    app.register_blueprint(events.blueprint(services))
    app.register_blueprint(output_schema.blueprint(services))
    app.register_blueprint(archive.blueprint(services))
    app.register_blueprint(deliveries.blueprint(services))
    app.register_blueprint(webhooks.blueprint(services))
    app.register_blueprint(s3_events.blueprint(runtime))
    app.register_blueprint(files.blueprint)
    app.register_blueprint(render.blueprint(services))
    app.register_blueprint(direct.blueprint(services))
    app.register_blueprint(tus.blueprint(services))
    app.register_blueprint(shares.blueprint(services))
    app.register_blueprint(sessions.blueprint(services))
    app.register_blueprint(operators.blueprint(services))
    app.register_blueprint(health.blueprint(services))
    app.register_blueprint(pages.blueprint())
    app.register_blueprint(site.blueprint(services))
    return app


def _services(runtime: Runtime) -> Services:
    settings = runtime.settings.api
    declared = declared_keys(runtime.settings)
    keys = Keys.connect(runtime.settings) if settings.auth else None
    authenticator: Authenticator = (
        Open(settings)
        if keys is None
        else KeyAuthenticator(keys, declared, settings.public_url)
    )
    return Services(
        runtime=runtime,
        authenticator=authenticator,
        keys=keys,
        uploads=Uploads.connect(runtime.settings, runtime.blobs),
        long_polls=LongPollSlots(settings.threads // 4),
        event_streams=LongPollSlots(settings.transfers // 4),
        archives=LongPollSlots(settings.transfers // 8),
    )
