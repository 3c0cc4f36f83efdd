"""The Dispatcher port: doorbells that tell workers to look at a piece.

A message carries the piece's id and nothing else. Losing one, or hearing it ten
times, changes nothing: the job store decides what is to be done, and the reaper
rings again for whatever waits too long. This is the only home of Celery besides
``worker/app.py``.
"""

from __future__ import annotations

import atexit
import base64
import json
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterable
from itertools import groupby
from typing import Any, Literal, Protocol

import structlog
from celery import Celery
from kombu.connection import Connection
from kombu.entity import Queue as KombuQueue
from kombu.exceptions import OperationalError

from common.config import Settings
from common.errors import Unavailable
from common.model import Bell

log = structlog.get_logger(__name__)

QUEUES = ("fast", "slow")
_MOST_WAITING = 10_000
_GATHER_SECONDS = 0.003
TASKS = {
    "prepare": "framemill.prepare",
    "render": "framemill.render",
    "publish": "framemill.publish",
    "notice": "framemill.deliver",
    "batch": "framemill.batch",
}


class Dispatcher(Protocol):
    """Rings for pieces. Ringing never fails the caller."""

    def ring(self, bells: Iterable[Bell]) -> None:
        """Announce the pieces; a bell that cannot be rung is logged and counted."""

    def backlog(self) -> dict[str, int]:
        """Tell how many messages wait in each queue."""


def celery_app(settings: Settings, role: Literal["worker", "client"]) -> Celery:
    """Make the Celery app with the settings that lost nothing under faults.

    ``client`` publishes from the API and the reaper and must answer fast; ``worker``
    consumes. docs/explanation/reliability.md gives the reason for each value.
    """
    patient = role == "worker"
    # set_as_current=False: a library's import must not change what another app sees.
    app = Celery("framemill", broker=settings.broker.url, set_as_current=False)
    hard = settings.engine.hard_seconds
    app.conf.update(
        result_backend=None,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        task_acks_late=True,
        task_acks_on_failure_or_timeout=True,
        task_reject_on_worker_lost=False,
        task_time_limit=hard,
        task_soft_time_limit=max(1, hard - 30),
        task_create_missing_queues=False,
        task_queues=[KombuQueue(name) for name in QUEUES],  # type: ignore[no-untyped-call]
        task_default_queue="fast",
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_max_tasks_per_child=200,
        worker_max_memory_per_child=400_000,
        worker_soft_shutdown_timeout=settings.worker.shutdown_seconds,
        worker_hijack_root_logger=False,
        worker_send_task_events=True,
        task_send_sent_event=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": max(3600, 3 * hard),
            "unacked_restore_interval": 10,
            "unacked_restore_throttle": 1,
            "socket_timeout": 10 if patient else 2,
            "socket_connect_timeout": 3 if patient else 1,
            "socket_keepalive": True,
            "health_check_interval": 10,
            # kombu's 10 are fewer than the API has threads.
            "max_connections": settings.api.threads + 16,
        },
    )
    return app


class _Envelopes:
    """Celery's messages: made by Celery once a kind, then only what differs is put in.

    Celery and kombu take about five times as long to make and send one, which was a
    third of the time in which a job is accepted.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._kept: dict[tuple[str, str], dict[str, Any]] = {}

    def write(self, bell: Bell) -> str:
        """Give the message as it lies in the queue's list in Redis."""
        pattern = self._kept.get((bell.kind, bell.queue))
        if pattern is None:
            pattern = self._kept[bell.kind, bell.queue] = self._make(bell)
        name = str(uuid.uuid4())
        body = json.dumps([[bell.piece], {}, pattern["embed"]]).encode()
        headers = {"id": name, "root_id": name, "argsrepr": repr([bell.piece])}
        tags = {"correlation_id": name, "delivery_tag": str(uuid.uuid4())}
        message = pattern["message"]
        return json.dumps(
            message
            | {
                "body": base64.b64encode(body).decode(),
                "headers": message["headers"] | headers,
                "properties": message["properties"] | tags,
            }
        )

    def _make(self, bell: Bell) -> dict[str, Any]:
        """Have Celery send one to nowhere: kombu's virtual transports share a form."""
        with Connection("memory://") as nowhere:  # type: ignore[no-untyped-call]
            self._app.send_task(
                TASKS[bell.kind],
                args=[bell.piece],
                queue=bell.queue,
                ignore_result=True,
                connection=nowhere,
            )
            # The raw message: what a consumer is handed is decoded already.
            raw = nowhere.default_channel._get(bell.queue)  # noqa: SLF001 - see above
            message: dict[str, Any] = raw
        _, _, embed = json.loads(base64.b64decode(message["body"]))
        return {"message": message, "embed": embed}


class CeleryDispatcher:
    """Rings by publishing Celery messages."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._envelopes = _Envelopes(app)
        self._client: Any = None
        self.failures = 0

    def ring(self, bells: Iterable[Bell]) -> None:
        """Publish one message a bell, without waiting for a broker that is away."""
        for queue, some in groupby(bells, key=lambda bell: bell.queue):
            rung = list(some)
            try:
                messages = [self._envelopes.write(bell) for bell in rung]
                self._broker().lpush(queue, *messages)
            # Crash window: the record is written, so the reaper rings again; what the
            # broker's client may raise (kombu, redis, OSError) is not one family.
            except Exception as error:  # noqa: BLE001 - see above
                self.failures += len(rung)
                pieces = [bell.piece for bell in rung]
                log.warning("dispatch.ring_failed", pieces=pieces, error=repr(error))

    def _broker(self) -> Any:
        """Give kombu's own client of the broker; safe for threads, and reconnects."""
        if self._client is None:
            transport = self._app.connection_for_write().transport
            # Straight to the transport: a Connection would wait and try again.
            channel = transport.create_channel(transport.establish_connection())
            with channel.conn_or_acquire() as client:
                self._client = client
        return self._client

    def backlog(self) -> dict[str, int]:
        """Ask the broker for the length of each queue.

        Raises Unavailable when the broker is away.
        """
        with self._app.connection_for_read() as connection:
            try:
                client = connection.default_channel.client
                return {name: int(client.llen(name)) for name in QUEUES}
            except (OperationalError, *connection.connection_errors) as error:
                raise Unavailable("the broker did not answer") from error


class Aside:
    """Rings in a thread of its own, so that nobody waits for the broker.

    Bells that come meanwhile are rung together. A process that ends with bells unrung,
    or a broker that was away for thousands of them, leaves them to the reaper.
    """

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._waiting: deque[Bell] = deque(maxlen=_MOST_WAITING)
        self._called = threading.Event()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def ring(self, bells: Iterable[Bell]) -> None:
        """Leave the bells to the thread."""
        self._waiting.extend(bells)
        if not self._called.is_set():
            self._called.set()
        if self._thread is None:
            self._start()

    def backlog(self) -> dict[str, int]:
        """Ask the broker, as the dispatcher does."""
        return self._dispatcher.backlog()

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="bells", daemon=True
                )
                self._thread.start()
                atexit.register(self._flush)

    def _work(self) -> None:
        while self._called.wait():
            # Under load one message then carries several bells to the broker.
            time.sleep(_GATHER_SECONDS)
            self._called.clear()
            try:
                self._flush()
            except Exception:
                # The thread must live: without it every later bell is the reaper's.
                log.exception("dispatch.bells_lost")

    def _flush(self) -> None:
        bells = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if bells:
            self._dispatcher.ring(sorted(bells, key=lambda bell: bell.queue))


class RecordingDispatcher:
    """Keeps the bells, for tests and for tools that ring later."""

    def __init__(self) -> None:
        self.bells: list[Bell] = []

    def ring(self, bells: Iterable[Bell]) -> None:
        """Remember the bells."""
        self.bells.extend(bells)

    def backlog(self) -> dict[str, int]:
        """Tell that nothing waits: what was recorded is not in any queue."""
        return dict.fromkeys(QUEUES, 0)


def connect(settings: Settings) -> CeleryDispatcher:
    """Give the dispatcher of the API and of the reaper."""
    return CeleryDispatcher(celery_app(settings, "client"))
