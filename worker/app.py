"""The Celery worker: ``celery -A worker.app worker -Q fast,slow``.

A Celery message says that there is work in its queue, and names one task; which task is
done, and everything about it, is in the job store. SIGTERM
is remapped to a soft stop (``REMAP_SIGTERM=SIGQUIT``): running tasks get
FRAMEMILL_WORKER_SHUTDOWN_SECONDS to end, the others are released at once.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import socket
import tempfile
import threading
from multiprocessing.util import Finalize
from typing import Any

import structlog
from billiard.exceptions import WorkerLostError
from celery import Task
from celery.signals import (
    celeryd_after_setup,
    celeryd_init,
    setup_logging,
    task_failure,
    worker_process_init,
    worker_process_shutdown,
    worker_ready,
    worker_shutting_down,
)
from celery.worker import state
from kombu.utils.scheduling import round_robin_cycle

from common.errors import PartAway, StoreUnavailable
from common.jobs.queue import TASKS, CeleryDispatcher, celery_app
from common.jobs.store import JobStore, Outcome
from common.model import TaskKind
from common.runtime import Runtime, build_runtime, check_servers
from common.settings.addresses import broker_kind
from common.settings.load import Settings, SettingsError
from common.telemetry import logging as telemetry
from common.telemetry import metrics, traces
from worker import broker
from worker.lease import Attempt, Work, WorkerContext, run
from worker.media.ffmpeg import binary
from worker.media.sandbox import layers, prepared
from worker.media.sandbox.limits import die_with_parent
from worker.scratch import ScratchDir, remove_abandoned
from worker.source.copies import Copies
from worker.storage_watch import StorageWatch
from worker.tasks.deliver import deliver
from worker.tasks.expand_batch import expand
from worker.tasks.prepare import prepare
from worker.tasks.publish import publish
from worker.tasks.render import render

log = structlog.get_logger(__name__)

SETTINGS = Settings.load()
broker.use()
app = celery_app(SETTINGS, "worker")
# kombu makes one KeptSlot for each connection. A worker whose kept slot alone is free
# asks for `fast` and sees the end of a slow task only when that call returns.
app.conf.broker_transport_options |= {
    "queue_order_strategy": "worker.app:KeptSlot",
    "polling_interval": 0.25,
}
HEARTBEAT_SECONDS = 10.0
# Celery replaces sys.stderr.
_STANDARD_ERROR = 2
_WORK: dict[TaskKind, Work] = {
    "prepare": prepare,
    "render": render,
    "publish": publish,
    "batch": expand,
    "notice": deliver,
}
_queues: list[str] = []
_stopping = threading.Event()
_contexts: dict[int, WorkerContext] = {}
_temporary: ScratchDir | None = None


def context() -> WorkerContext:
    """Return the context of this process; no connection crosses a fork."""
    pid = os.getpid()
    if pid not in _contexts:
        runtime = build_runtime(SETTINGS, CeleryDispatcher(app))
        _contexts.clear()
        _contexts[pid] = WorkerContext.build(runtime, _process_name())
    return _contexts[pid]


def _process_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


class KeptSlot(round_robin_cycle):
    """Which queues to take the next message from: both in turn, but one slot is kept.

    A worker on both queues runs at most ``slots - 1`` slow tasks at once (one if it has
    a single slot), so a fast one never waits for the end of a slow one.
    """

    slots = 1

    def consume(self, n: int) -> list[str]:
        """Return the queues to ask for a message, best first."""
        queues: list[str] = super().consume(n)  # type: ignore[no-untyped-call]
        slow = sum(
            request.delivery_info["routing_key"] == "slow"
            for request in state.reserved_requests
        )
        if "fast" in queues and slow >= max(1, self.slots - 1):
            return [name for name in queues if name != "slow"]
        return queues


def _do(attempt: Attempt) -> Outcome:
    return _WORK[attempt.claim.kind](attempt)


def _receive(self: Task, task: str) -> None:
    """Do the task whose turn it is in the queue that the message was in."""
    queue = self.request.delivery_info["routing_key"]
    run(context(), task, self.request.id, _do, queue)


for _name in TASKS.values():
    app.task(name=_name, bind=True)(_receive)


@setup_logging.connect  # type: ignore[untyped-decorator]
def _configure_logging(**_: Any) -> None:
    telemetry.configure(SETTINGS.log)


@celeryd_init.connect  # type: ignore[untyped-decorator]
def _check_before_work(**_: Any) -> None:
    # Celery logs other errors of a signal's receiver, and goes on.
    if reason := layers.refusal(SETTINGS.engine.sandbox):
        raise SystemExit(f"framemill: {reason}")
    # Before the pool is forked. FFmpeg is tried out when it is looked for, and a
    # failure is remembered: all tasks of a pool process whose trial was killed fail.
    try:
        binary.path(SETTINGS)
    except RuntimeError as error:
        raise SystemExit(f"framemill: {error}") from error
    try:
        check_servers(JobStore.connect(SETTINGS), CeleryDispatcher(app))
        traces.check(SETTINGS.traces)
        metrics.serve(SETTINGS.metrics, "worker")
    except SettingsError as error:
        raise SystemExit(f"framemill: {error}") from error
    metrics.gather()


@celeryd_after_setup.connect  # type: ignore[untyped-decorator]
def _note_what_it_does(instance: Any, **_: Any) -> None:
    KeptSlot.slots = instance.concurrency
    _queues[:] = instance.app.amqp.queues.consume_from
    # KeptSlot chooses what a Redis broker is asked for; RabbitMQ is not asked.
    if len(_queues) > 1 and broker_kind(SETTINGS.broker.url) == "amqp":
        log.warning("worker.no_kept_slot", needed="a worker for each queue")


@celeryd_init.connect  # type: ignore[untyped-decorator]
def _clear_scratch(**_: Any) -> None:
    remove_abandoned(SETTINGS.worker.scratch)
    # The main process has temporary files too: billiard's folder for what it shares
    # with the pool. A kill would leave it.
    folder = _own_temporary_folder()
    # multiprocessing removes its part of it at priority -100.
    Finalize(None, folder.remove, exitpriority=-200)


def _own_temporary_folder() -> ScratchDir:
    """Have all temporary files of this process go the way of its scratch folder."""
    global _temporary  # noqa: PLW0603 - one for this process
    _temporary = ScratchDir(SETTINGS.worker.scratch, "processes")
    tempfile.tempdir = str(_temporary.path)
    return _temporary


@worker_process_init.connect  # type: ignore[untyped-decorator]
def _begin_child(**_: Any) -> None:
    # Without it, a child would go on working after its main process was killed.
    die_with_parent()
    traces.start(SETTINGS.traces, "worker")
    # SIGUSR1 is how Celery's main process says that a task takes too long.
    faulthandler.register(signal.SIGUSR2, _STANDARD_ERROR)
    # The pool process that this one replaces may have been killed during an attempt.
    removed = remove_abandoned(SETTINGS.worker.scratch)
    if removed:
        log.info("scratch.cleared", folders=removed)
    _own_temporary_folder()


@worker_process_shutdown.connect  # type: ignore[untyped-decorator]
def _end_child(**_: Any) -> None:
    traces.stop()
    # The kernel would kill it too, but nobody here would take note of its end.
    prepared.stop()
    if _temporary is not None:
        _temporary.remove()


@worker_ready.connect  # type: ignore[untyped-decorator]
def _begin_heartbeat(**_: Any) -> None:
    sandbox = _sandbox()
    write = log.warning if sandbox["missing"] else log.info
    write("sandbox.layers", **sandbox)
    runtime = build_runtime(SETTINGS, CeleryDispatcher(app))
    watch = StorageWatch(runtime, _process_name())
    threads = (
        ("alive", _heartbeat, (runtime,)),
        ("storage", watch.run, (_stopping, HEARTBEAT_SECONDS)),
        ("copies", _tidy_copies, ()),
    )
    for name, work, given in threads:
        threading.Thread(target=work, args=given, name=name, daemon=True).start()


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _end_heartbeat(**_: Any) -> None:
    _stopping.set()


def _sandbox() -> dict[str, Any]:
    """Return which layers confine decoders here, and why others do not."""
    mode = SETTINGS.engine.sandbox
    return {
        "active": sorted(layers.chosen(mode)),
        "missing": layers.lacking(mode),
    }


def _tidy_copies() -> None:
    """Remove local copies of sources in time, also when no job comes any more."""
    copies = Copies(SETTINGS.worker)
    pause = min(60.0, SETTINGS.worker.cache_seconds / 4)
    while True:
        try:
            if removed := copies.tidy():
                log.info("copies.removed", copies=removed)
        except PartAway as error:
            log.warning("copies.not_removed", error=error.detail)
        if _stopping.wait(pause):
            return


def _heartbeat(runtime: Runtime) -> None:
    name = _process_name()
    facts = {"queues": _queues, "sandbox": _sandbox()}
    while True:
        info = facts | {"clock_skew": runtime.blobs.clock_skew()}
        try:
            runtime.store.worker_alive(name, info)
        except StoreUnavailable as error:
            log.warning("worker.heartbeat_missed", error=error.detail)
        if _stopping.wait(HEARTBEAT_SECONDS):
            return


@task_failure.connect  # type: ignore[untyped-decorator]
def _child_died(
    task_id: str, exception: BaseException, args: tuple[Any, ...], **_: Any
) -> None:
    """Count the death of a pool process; runs in the main process."""
    if not isinstance(exception, WorkerLostError):
        return
    try:
        outcome = context().runtime.store.died(args[0], task_id)
    except StoreUnavailable as error:
        # The lease runs out, and the reaper counts it as lost.
        log.warning("task.death_not_counted", task=args[0], error=error.detail)
        return
    log.error("task.worker_died", task=args[0], applied=outcome.applied)
    context().runtime.dispatcher.enqueue(outcome.messages)
