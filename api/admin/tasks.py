"""``framemill dead``, ``redrive`` and ``purge``: tasks that failed for good."""

from __future__ import annotations

import argparse
import sys

from api.admin.service import load_settings
from common.errors import NotFound
from common.jobs.store import JobStore
from common.runtime import Runtime, build_runtime
from common.telemetry import logging as telemetry

_NONE_DEAD = "no task has failed for good"


def show_dead(options: argparse.Namespace) -> int:
    """Print each dead task on a line: its id, the error's code, the error's detail."""
    dead = _runtime(options).store.dead()
    for task in dead:
        print(f"{task.task}\t{task.error.code}\t{task.error.detail}")
    if not dead:
        print(_NONE_DEAD, file=sys.stderr)
    return 0


def redrive(options: argparse.Namespace) -> int:
    """Run dead tasks again, the named ones or all; print the id of each."""
    runtime = _runtime(options)
    tasks = options.task or [one.task for one in runtime.store.dead()]
    if not tasks:
        print(_NONE_DEAD, file=sys.stderr)
    for task in tasks:
        runtime.dispatcher.enqueue(runtime.store.redrive(task).messages)
        print(task)
    return 0


def purge(options: argparse.Namespace) -> int:
    """Strike tasks off the list, the named ones or all; print how many.

    Raises NotFound for one that is not listed; those before it are struck off.
    """
    store = _runtime(options).store
    if options.all:
        struck = store.purge()
    else:
        struck = sum(_strike(store, task) for task in options.task)
    print(f"{struck} struck off")
    return 0


def _strike(store: JobStore, task: str) -> int:
    struck = store.purge(task)
    if not struck:
        raise NotFound(f"the task {task!r} is not in the list of those that failed")
    return struck


def _runtime(options: argparse.Namespace) -> Runtime:
    settings = load_settings(options)
    telemetry.configure(settings.log)
    return build_runtime(settings)
