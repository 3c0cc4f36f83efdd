"""Count what calls of the storage cost, and which of them fail."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from common.errors import DiskFull, StorageUnavailable
from common.telemetry import metrics, traces

# Those that ask the storage. What a lazy one yields is part of the call.
_CALLS = (
    *("begin_parts", "put_part", "join_parts", "drop_parts", "commit"),
    *("head", "put", "copy", "delete", "delete_prefix", "export", "check", "tidy"),
)
_LAZY = ("read", "list", "list_parts")
_FAULTS = (StorageUnavailable, DiskFull)
Store = TypeVar("Store", bound=type)
_within = threading.local()


def observed(store: Store) -> Store:
    """Return the class of a store, or of its writer, with its calls counted."""
    for name in (*_CALLS, *_LAZY):
        if hasattr(store, name):
            lazy = name in _LAZY
            setattr(store, name, _counted(name, getattr(store, name), lazy=lazy))
    return store


def _counted(
    name: str, call: Callable[..., Any], *, lazy: bool = False
) -> Callable[..., Any]:
    @functools.wraps(call)
    def counted(*given: Any, **named: Any) -> Any:
        if getattr(_within, "call", False):
            return call(*given, **named)  # a step of another call
        _within.call = True
        began = time.monotonic()
        try:
            with traces.span(f"storage {name}"), _faults(name):
                answer = call(*given, **named)
        finally:
            _within.call = False
            metrics.STORAGE_SECONDS.observe(time.monotonic() - began, operation=name)
        return _items(name, answer) if lazy else answer

    return counted


def _items(name: str, items: Iterator[Any]) -> Iterator[Any]:
    with _faults(name):
        yield from items


@contextmanager
def _faults(name: str) -> Iterator[None]:
    try:
        yield
    except _FAULTS as error:
        metrics.STORAGE_ERRORS.add(operation=name, code=error.code)
        raise
