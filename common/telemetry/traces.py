"""Traces: what one request caused, in the API and in the workers.

A trace begins with a request of the API, or with the caller's ``traceparent``. Each
attempt of a task continues it from the job's record, since a message does not decide
which task is done. What is called meanwhile (FFmpeg, the probe, the storage) has spans
below these two. Elsewhere :func:`span` does nothing.

:mod:`common.telemetry.spans` has all of OpenTelemetry. It is imported only where
``FRAMEMILL_TRACES_ENABLED`` is set.
"""

from __future__ import annotations

import atexit
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from common.model import JobOrigin
from common.settings.load import SettingsError
from common.settings.sections import Traces

if TYPE_CHECKING:
    from common.telemetry.spans import Spans

Fact = str | int | float | bool
_spans: Spans | None = None


def check(settings: Traces) -> None:
    """Raise SettingsError if traces are to be sent and the packages are missing."""
    if not settings.enabled:
        return
    try:
        import common.telemetry.spans  # noqa: F401, PLC0415 - costs the others nothing
    except ImportError as error:
        raise SettingsError(
            "settings are not valid:\n  FRAMEMILL_TRACES_ENABLED: the packages of "
            f"OpenTelemetry are not installed ({error}); run pip install "
            "'framemill[otel]', or set it to false"
        ) from error


def start(settings: Traces, part: Literal["api", "worker"]) -> None:
    """Send the spans of this process from now on, by a thread, if that is asked for.

    Call it after the last fork. Raises SettingsError as :func:`check` does.
    """
    check(settings)
    if settings.enabled:
        from common.telemetry.spans import Spans  # noqa: PLC0415 - see check

        use(Spans.exported(f"framemill-{part}"))
        atexit.register(stop)


def use(spans: Spans | None) -> None:
    """Make spans by these from now on; None makes no more."""
    global _spans  # noqa: PLW0603 - one for this process
    _spans = spans


def stop() -> None:
    """Send what was not sent yet; no more spans follow."""
    if _spans is not None:
        _spans.stop()
    use(None)


@contextmanager
def root(
    name: str,
    kind: Literal["server", "consumer"],
    origin: JobOrigin | None,
    facts: Mapping[str, Fact],
) -> Iterator[JobOrigin | None]:
    """Make a span that continues the origin's trace, or begins one.

    Yields the origin of what is asked for meanwhile. What is raised marks the span as
    failed.
    """
    if _spans is None:
        yield origin
        return
    with _spans.root(name, kind, origin or JobOrigin(), facts) as here:
        yield here


@contextmanager
def span(name: str) -> Iterator[None]:
    """Make a span below the current one; without one, do nothing."""
    if _spans is None:
        yield
        return
    with _spans.below(name):
        yield


def note(facts: Mapping[str, Fact], error: str | None = None) -> None:
    """Add facts to the current span; ``error`` says that it failed, and why."""
    if _spans is not None:
        _spans.note(facts, error)
