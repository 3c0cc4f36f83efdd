"""Framemill's own processes, as the supervisor runs them."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

from common.settings.load import Settings
from deploy.allinone import probes
from deploy.allinone.children import Part
from deploy.allinone.ports import LOOPBACK

_PYTHON = [sys.executable, "-m"]


def api(server: socket.socket, settings: Settings) -> Part:
    """Return the API on an open socket: no other program can answer on its port."""
    argv = [*_PYTHON, "gunicorn", "--bind", f"fd://{server.fileno()}"]
    argv += [
        "--worker-class",
        "api.server.Worker",
        "--threads",
        str(settings.api.threads),
    ]
    argv += ["--workers", "1", "--graceful-timeout", "3", "--no-control-socket"]
    argv += ["--worker-tmp-dir", "/dev/shm", "api.wsgi:app"]  # noqa: S108 - gunicorn's
    # advice: a heartbeat file on a disk may block
    url = f"http://{LOOPBACK}:{server.getsockname()[1]}/healthz"
    return Part(
        "api", argv, lambda _pid: probes.http_answers(url), fds=(server.fileno(),)
    )


def worker(settings: Settings, log: Path, port: int) -> Part:
    """Return a Celery worker on both queues, with events for Flower.

    It is ready when its ``log`` says so and the API on ``port`` misses nothing. The API
    alone is not enough: the store still knows a worker that ended a minute ago.
    """
    argv = [*_PYTHON, "celery", "-A", "worker.app", "worker", "--pool", "prefork"]
    argv += ["--concurrency", str(settings.worker.concurrency), "--task-events"]
    argv += ["--queues", ",".join(settings.worker.queues), "--hostname", "framemill@%h"]
    argv += ["--without-gossip", "--without-mingle", "--loglevel", "INFO"]
    url = f"http://{LOOPBACK}:{port}/readyz"
    return Part(
        "worker",
        argv,
        # "ready." is Celery's own last line of its start.
        lambda _pid: b" ready" in log.read_bytes() and probes.service_is_whole(url),
        {"REMAP_SIGTERM": "SIGQUIT"},
    )


def reaper() -> Part:
    """Return the process that recovers lost work and deletes what has expired."""
    return Part("reaper", [*_PYTHON, "worker.maintenance"], lambda _pid: True)


def flower(port: int, broker: str) -> Part:
    """Return Flower on loopback, for looking only.

    Without FLOWER_UNAUTHENTICATED_API it refuses every request that changes something:
    any web page that is open in a browser here could send one.
    """
    argv = [*_PYTHON, "celery", "--broker", broker, "flower"]
    argv += [f"--address={LOOPBACK}", f"--port={port}"]
    url = f"http://{LOOPBACK}:{port}/healthcheck"
    return Part("flower", argv, lambda _pid: probes.http_answers(url))


def write_state(path: Path, state: dict[str, object]) -> None:
    """Write where everything is, for this user's programs; whole or not at all."""
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)  # the keys of the embedded S3 are in it
    fresh.write_text(json.dumps(state, indent=1) + "\n")
    fresh.replace(path)
