"""Plain Celery on Redis with ``acks_late``, under kills: what the message alone loses.

``./dev chaos --anchor`` sends 20,000 messages of a task that does nothing, kills the
worker again and again while it works them off, and counts the messages that were never
executed and are in no queue any more. There is no record, no lease and no reaper: it is
what a service gets that relies on the message. Nothing of it is Framemill's code.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis
from celery import Celery

from tests.common import valkey
from tests.conftest import ROOT

MESSAGES = 20_000
KILLS = 60
_PROCESSES = 2
_PAUSE_SECONDS = 0.5
_QUIET_SECONDS = 20.0
_VISIBILITY_SECONDS = 15
_URL = os.environ.get("ANCHOR_URL", "")

app = Celery("anchor", broker=_URL or None, set_as_current=False)
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "visibility_timeout": _VISIBILITY_SECONDS,
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
    },
)


@app.task(name="anchor.noop")
def noop(number: int) -> None:
    """Note that this message was executed; the list keeps how often."""
    redis.Redis.from_url(_URL, db=1).rpush("executed", number)


@dataclass(frozen=True)
class Count:
    """What became of the messages."""

    messages: int
    kills: int
    lost: int
    repeated: int


def count(messages: int, kills: int) -> Count:
    """Send the messages, kill the worker so often, and count what was executed."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        running = valkey.running(folder, "--appendonly", "yes")
        url, _ = stack.enter_context(running)
        environment = {**os.environ, "ANCHOR_URL": url}
        sender = threading.Thread(
            target=lambda: subprocess.run(
                [sys.executable, "-m", "tests.chaos.anchor", str(messages)],
                cwd=ROOT,
                env=environment,
                check=True,
            )
        )
        sender.start()
        broker = redis.Redis.from_url(url, decode_responses=True)
        done = redis.Redis.from_url(url, db=1, decode_responses=True)
        for kill in range(1, kills + 1):
            with worker(environment):
                # A kill counts only if it meets a busy worker.
                _await_more(done, messages * kill // (kills + 1))
        sender.join()
        with worker(environment):
            _await_quiet(broker, done, messages)
        executed = done.lrange("executed", 0, -1)
        lost = messages - len(set(executed))
        return Count(messages, kills, lost, len(executed) - len(set(executed)))


def _await_more(done: redis.Redis, number: int) -> None:
    deadline = time.monotonic() + 120
    while done.llen("executed") < number:
        if time.monotonic() > deadline:
            raise SystemExit("the worker did nothing for two minutes")
        time.sleep(0.005)


def _await_quiet(broker: redis.Redis, done: redis.Redis, messages: int) -> None:
    """Wait until all were executed, or nothing is left and nothing comes any more."""
    seen, since = -1, time.monotonic()
    while len(set(done.lrange("executed", 0, -1))) < messages:
        waiting = broker.llen("celery") + broker.hlen("unacked")
        now = done.llen("executed")
        if now != seen or waiting:
            seen, since = now, time.monotonic()
        if time.monotonic() - since > _QUIET_SECONDS:
            return
        time.sleep(0.5)


@contextmanager
def worker(environment: dict[str, str]) -> Iterator[None]:
    """Run a worker until the block ends, then kill it and its pool."""
    words = ["-A", "tests.chaos.anchor", "worker", "-c", str(_PROCESSES), "-l", "error"]
    words += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    process = subprocess.Popen(
        [sys.executable, "-m", "celery", *words],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)


def table(found: Count) -> str:
    """Return the count as a table in Markdown."""
    return "\n".join(
        [
            "| messages | kills of the worker | lost | executed more than once |",
            "|--:|--:|--:|--:|",
            f"| {found.messages} | {found.kills} | {found.lost} | {found.repeated} |",
        ]
    )


def send(messages: int) -> None:
    """Send the messages; a process of its own, as the client of a service is."""
    for number in range(messages):
        noop.apply_async((number,))


if __name__ == "__main__":
    send(int(sys.argv[1]))
