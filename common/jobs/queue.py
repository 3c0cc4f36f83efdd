"""The Dispatcher port: messages that tell workers to look at a task.

A message carries the task's id and nothing else. Losing one, or hearing it ten
times, changes nothing: the job store decides what is to be done, and the reaper
sends another one for a task that waits too long. Celery is imported here and in
``worker/app.py`` only.
"""

from __future__ import annotations

import atexit
import math
import secrets
import threading
import time
from collections import deque
from collections.abc import Iterable
from typing import Protocol

import structlog
from celery import Celery
from kombu.entity import Queue as KombuQueue
from kombu.messaging import Producer

from common.jobs import broker
from common.model import Message
from common.settings.load import Settings

log = structlog.get_logger(__name__)

QUEUES = ("fast", "slow")
_MOST_WAITING = 10_000
# A single message is sent after the first time; under load a call is made once in the
# second and carries all that came meanwhile, which costs a third for each message.
_COLLECT_SECONDS, _LOADED_SECONDS = 0.003, 0.02
TASKS = {
    "prepare": "framemill.prepare",
    "render": "framemill.render",
    "publish": "framemill.publish",
    "notice": "framemill.deliver",
    "batch": "framemill.batch",
}


class Dispatcher(Protocol):
    """Sends messages for tasks; one that cannot be sent never fails the caller."""

    def enqueue(self, messages: Iterable[Message]) -> None:
        """Announce the tasks; a message that cannot be sent is logged."""

    def backlog(self) -> dict[str, int]:
        """Return how many messages wait in each queue."""

    def check(self) -> None:
        """Raise Unavailable if the broker is away, SettingsError if it evicts."""


def celery_app(settings: Settings, role: broker.Role) -> Celery:
    """Make the Celery app with the settings that lost nothing under faults.

    ``client`` publishes from the API and the reaper and must answer fast; ``worker``
    consumes. docs/explanation/reliability.md gives the reason for each value.
    """
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
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_max_tasks_per_child=200,
        worker_max_memory_per_child=400_000,
        worker_soft_shutdown_timeout=settings.worker.shutdown_seconds,
        worker_hijack_root_logger=False,
        worker_send_task_events=True,
        task_send_sent_event=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        **broker.configuration(settings, role),
    )
    return app


class CeleryDispatcher:
    """Sends messages by Celery."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self.failures = 0

    def enqueue(self, messages: Iterable[Message]) -> None:
        """Publish the messages in one call, without waiting for a broker that is away.

        A call that fails is made once more: its connection may have been an old one.
        Messages of the first call that did arrive then arrive twice.
        """
        batch = list(messages)
        if not batch:
            return
        error = self._publish(batch)
        if error is not None:
            error = self._publish(batch)
        if error is not None:
            self.failures += len(batch)
            tasks = [message.task for message in batch]
            log.warning("queue.send_failed", tasks=tasks, error=repr(error))

    def _publish(self, batch: list[Message]) -> Exception | None:
        """Return the error that some of the messages met, None if all were sent."""
        try:
            with (
                self._app.producer_pool.acquire(block=True) as producer,
                producer.batch(),
            ):
                for name in {message.queue for message in batch}:
                    producer.maybe_declare(self._app.amqp.queues[name])
                for message in batch:
                    self._send(message, producer)
        # Crash window: the records are written, so the reaper sends the messages; what
        # the broker's client may raise (kombu, redis, OSError) is not one family.
        except Exception as error:  # noqa: BLE001 - see above
            return error
        return None

    def _send(self, message: Message, producer: Producer) -> None:
        """Send one message, as Celery's ``send_task`` does.

        That one also works out routes, retries and a result for each message, of which
        ours have none, and takes twice the CPU.
        """
        made = self._app.amqp.create_task_message(
            secrets.token_hex(16),
            TASKS[message.kind],
            args=[message.task],
            argsrepr=repr([message.task]),
            kwargsrepr="{}",
            ignore_result=True,
        )
        producer.publish(  # type: ignore[no-untyped-call]
            made.body,
            exchange="",
            routing_key=message.queue,
            serializer="json",
            headers=made.headers,
            retry=False,
            **made.properties,
        )

    def backlog(self) -> dict[str, int]:
        """Ask the broker for the length of each queue.

        Raises Unavailable when the broker is away.
        """
        with self._app.connection_for_read() as connection:
            return broker.lengths(connection, QUEUES)

    def check(self) -> None:
        """Check that the broker takes messages and keeps them.

        Raises Unavailable when it is away or refuses to write, SettingsError when it
        evicts.
        """
        with self._app.connection_for_read() as connection:
            broker.check(connection)


class BackgroundQueue:
    """Send messages in a thread of its own, so that no request waits for the broker.

    Messages that come meanwhile are sent together. The reaper sends what a process had
    not sent when it ended, and what did not fit while the broker was away.
    """

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._waiting: deque[Message] = deque(maxlen=_MOST_WAITING)
        self._called = threading.Event()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def enqueue(self, messages: Iterable[Message]) -> None:
        """Leave the messages to the thread."""
        self._waiting.extend(messages)
        if not self._called.is_set():
            self._called.set()
        if self._thread is None:
            self._start()

    def backlog(self) -> dict[str, int]:
        """Ask the broker, as the dispatcher does."""
        return self._dispatcher.backlog()

    def check(self) -> None:
        """Check the broker, as the dispatcher does."""
        self._dispatcher.check()

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="messages", daemon=True
                )
                self._thread.start()
                atexit.register(self._flush)

    def _work(self) -> None:
        sent_at = -math.inf
        while self._called.wait():
            rest = sent_at + _LOADED_SECONDS - time.monotonic()
            time.sleep(max(_COLLECT_SECONDS, rest))
            self._called.clear()
            try:
                self._flush()
            except Exception:
                # The thread must live: without it every later message is the reaper's.
                log.exception("queue.messages_lost")
            sent_at = time.monotonic()

    def _flush(self) -> None:
        messages = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if messages:
            self._dispatcher.enqueue(
                sorted(messages, key=lambda message: message.queue)
            )


class RecordingDispatcher:
    """Keeps the messages, for tests and for tools that send them later."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def enqueue(self, messages: Iterable[Message]) -> None:
        """Remember the messages."""
        self.messages.extend(messages)

    def backlog(self) -> dict[str, int]:
        """Return 0 for each queue: what was recorded is in none of them."""
        return dict.fromkeys(QUEUES, 0)

    def check(self) -> None:
        """Do nothing: there is no broker."""


def connect(settings: Settings) -> CeleryDispatcher:
    """Return the dispatcher of the API and of the reaper."""
    return CeleryDispatcher(celery_app(settings, "client"))
