"""Which service an operator's command is about."""

from __future__ import annotations

import argparse

from api.cli import local_service
from common.settings.load import (
    Settings,
    SettingsError,
    fill_environment,
    named_servers,
)


def load_settings(options: argparse.Namespace) -> Settings:
    """Return the settings of the service that the command is about.

    That is the one whose servers the environment names, else the ``./dev`` that runs
    on ``options.data``: settings of two services are never mixed. Raises SettingsError
    where both are named, or neither: the server at its default address may belong to
    anybody.
    """
    named = named_servers()
    if named and options.data is not None:
        raise SettingsError(
            f"{named[0]} and --data name two services: leave --data out, or unset "
            f"{' and '.join(named)}"
        )
    service = None if named else local_service.find(options.data)
    if service is not None:
        fill_environment(service.settings)
    settings = Settings.load()
    if "url" not in settings.store.model_fields_set:
        raise SettingsError(
            f"it is not known which service is meant: {_missing(options)}, and "
            "FRAMEMILL_STORE_URL is not set; start ./dev, or set it to the job store "
            "of your service, for example redis://127.0.0.1:6380/0"
        )
    return settings


def _missing(options: argparse.Namespace) -> str:
    folder = options.data or local_service.DATA
    return f"no ./dev runs on {folder}" if folder else "this is not a checkout"
