"""Structured logs: one JSON object a line, the event's name a constant.

Terminals get lines for people, in colours.

Never a secret, a body or the query of a presigned URL: what looks like one is
masked here, at the one place that all lines pass.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

from common.forks import no_fork
from common.settings.sections import Log

_QUERY = re.compile(r"(https?://[^\s?\"']+)\?[^\s\"']+")
_USERINFO = re.compile(r"([a-z][a-z0-9+]*://)[^/@\s]+@")
_SECRET_KEYS = frozenset({"authorization", "secret", "password", "token", "signature"})


def mask(text: str) -> str:
    """Hide the query and the credentials of every URL in a text."""
    return _USERINFO.sub(r"\1***@", _QUERY.sub(r"\1?***", text))


def _mask_event(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if key.lower() in _SECRET_KEYS:
            event[key] = "***"
        elif isinstance(value, str):
            event[key] = mask(value)
    return event


class _Lines(structlog.PrintLogger):
    """Writes lines under a lock that no forked process inherits locked."""

    def msg(self, message: str) -> None:
        with no_fork():
            super().msg(message)

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


class _Handler(logging.StreamHandler[TextIO]):
    """The same for the lines of the standard library."""

    def emit(self, record: logging.LogRecord) -> None:
        with no_fork():
            super().emit(record)


def configure(settings: Log) -> None:
    """Set up structlog, and send the standard library's logs through it."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    terminal = sys.stderr.isatty()
    for_people = terminal if settings.format == "auto" else settings.format == "console"
    last = (
        structlog.dev.ConsoleRenderer(colors=terminal)
        if for_people
        else structlog.processors.JSONRenderer()
    )
    tail: list[Any] = [structlog.processors.format_exc_info, _mask_event, last]
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    structlog.configure(
        processors=[*shared, *tail],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _Lines(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = _Handler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *tail,
            ],
            foreign_pre_chain=shared,
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
