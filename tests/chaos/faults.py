"""Every kind of fault that this machine can do to a running service.

``with Host(folder) as host`` runs the service in a form that can be broken: two workers
of two processes, relays before both Valkeys, a proxy before the S3 server, and, for
root, a small disk of its own for scratch files. A supervisor starts again what ends.
``KINDS`` has a function for each kind of fault. It returns when the fault is over and
the part is on its way back, or raises :class:`NotNow` where there was nothing to break.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import redis

from common.jobs.queue import CeleryDispatcher, celery_app
from common.model import Message
from common.settings.load import Settings
from tests.acceptance.faults.storage import FaultyS3
from tests.chaos.relay import Relay
from tests.chaos.service import LEASES, Service, until
from tests.e2e.context import aws, rclone
from tests.tools import children_of

WORKERS = ("worker", "worker2")
PRODUCTION = dict(zip(LEASES, ("30", "5", "5", "10"), strict=True))
HARD_SECONDS = 180
_LOOK_SECONDS = 5.0
_DISK = "192m"
_MIB = 1 << 20


class NotNow(RuntimeError):
    """There was nothing to break, or this machine cannot break it so."""


class Host(Service):
    """The whole service, and what breaks it; ``seconds`` is how long outages last.

    ``trees`` are the checkouts of parts of another version.
    """

    def __init__(
        self,
        folder: Path,
        seconds: float = 4.0,
        *,
        api: str = "tests.chaos.failpoint:app",
        trees: Mapping[str, Path] | None = None,
        **settings: str,
    ) -> None:
        self.seconds = seconds
        self.failpoint = folder / "failpoint"
        super().__init__(
            folder,
            api=api,
            FRAMEMILL_ENGINE_HARD_SECONDS=str(HARD_SECONDS),
            FRAMEMILL_WORKER_CACHE_BYTES=str(48 * _MIB),
            FRAMEMILL_WORKER_SHUTDOWN_SECONDS="5",
            REMAP_SIGTERM="SIGQUIT",
            CHAOS_FAILPOINT=str(self.failpoint),
            **settings,
        )
        self.trees |= trees or {}
        self.has_disk = False
        self._held: set[str] = set()
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.endpoint = stack.enter_context(rclone(self.folder / "s3"))
            self.s3 = stack.enter_context(FaultyS3(self.endpoint))
            self.relays = {
                name: stack.enter_context(Relay(self.ports[name]))
                for name in ("broker", "store")
            }
            self.environment |= self.s3.settings | {
                "FRAMEMILL_SOURCE_BUCKETS": "framemill"
            }
            for name, relay in self.relays.items():
                url = f"redis://127.0.0.1:{relay.port}/0"
                self.environment[f"FRAMEMILL_{name.upper()}_URL"] = url
            # What the service leaves among temporary files is then its own.
            temporary = self.folder / "tmp"
            temporary.mkdir()
            self.environment["TMPDIR"] = str(temporary)
            stack.enter_context(self._disk())
            super().__enter__()
            stack.callback(super().__exit__)
            self.start("worker2")
            until(self.whole, 120, "both workers are there")
            self._supervisor.start()
            stack.callback(self._end_supervision)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        # The base class calls this when its start fails; then nothing is in it yet.
        self._stack.close()
        super().__exit__()

    @property
    def storage(self) -> Any:
        """Make a client of the S3 server itself, which no fault reaches."""
        return aws("s3", self.endpoint)

    @property
    def objects(self) -> Path:
        """The folder that is the bucket."""
        return self.folder / "s3" / "framemill"

    @property
    def scratch(self) -> Path:
        return Path(self.environment["FRAMEMILL_WORKER_SCRATCH"])

    def whole(self) -> bool:
        """Return whether /readyz misses nothing, and both workers are known."""
        with suppress(OSError):
            found = self.get("/readyz")
            return found["status"] == "ok" and found["workers"] >= len(WORKERS)
        return False

    @contextmanager
    def held(self, name: str) -> Iterator[None]:
        """Keep the supervisor from starting a part again until the block ends."""
        with self._lock:
            self._held.add(name)
        try:
            yield
        finally:
            with self._lock:
                self._held.discard(name)

    def restart_all(self) -> None:
        """Start again what has ended, but for what is held."""
        with self._lock:
            for name, child in list(self.children.items()):
                if name in self._held or child.poll() is None:
                    continue
                # What is left of its group would be in the way of the next.
                self.kill(name)
                if name in self.relays:
                    self.start_redis(name)
                else:
                    self.start(name)

    def client(self, name: str) -> redis.Redis:
        """Make a client of a Valkey itself, past its relay."""
        return redis.Redis(port=self.ports[name], decode_responses=True)

    def _supervise(self) -> None:
        while not self._ended.wait(0.3):
            self.restart_all()

    def _end_supervision(self) -> None:
        self._ended.set()
        self._supervisor.join(180)

    @contextmanager
    def _disk(self) -> Iterator[None]:
        """Mount a small disk for scratch files, where this user may."""
        place = self.folder / "scratch"
        place.mkdir(exist_ok=True)
        words = ["mount", "-t", "tmpfs", "-o", f"size={_DISK}", "tmpfs", str(place)]
        with suppress(OSError):
            made = subprocess.run(words, check=False, capture_output=True, timeout=30)
            self.has_disk = made.returncode == 0
        try:
            yield
        finally:
            if self.has_disk:
                words = ["umount", "-l", str(place)]
                subprocess.run(words, check=True, timeout=30)


def _some(find: Callable[[], list[int]], what: str) -> int:
    """Return a process that is there within some seconds; raises NotNow."""
    deadline = time.monotonic() + _LOOK_SECONDS
    while time.monotonic() < deadline:
        if found := find():
            return found[-1]
        time.sleep(0.02)
    raise NotNow(f"no {what} was running")


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError as error:
        raise NotNow("it had just ended") from error


def worker_killed(host: Host) -> None:
    host.kill("worker")


def worker_main_killed(host: Host) -> None:
    _kill(host.children["worker"].pid)


def pool_process_killed(host: Host) -> None:
    _kill(_some(host.pool_children, "pool process"))


def decoder_server_killed(host: Host) -> None:
    def servers() -> list[int]:
        found = []
        for pid in host.pool_children("worker2"):
            with suppress(OSError):
                found += children_of(pid)
        return found  # of a process that starts, also what it runs to look around

    _kill(_some(servers, "server of decoders"))


def ffmpeg_killed(host: Host) -> None:
    _kill(_some(host.orphans, "FFmpeg"))


def both_workers_killed(host: Host) -> None:
    for name in WORKERS:
        host.kill(name)


def worker_stopped_past_its_lease(host: Host) -> None:
    lease = float(host.environment["FRAMEMILL_LEASE_SECONDS"])
    with host.stopped("worker2"):
        time.sleep(1.5 * lease + 1)


def worker_restarted(host: Host) -> None:
    terminate(host, "worker")


def both_workers_restarted(host: Host) -> None:
    for name in WORKERS:
        terminate(host, name)


def terminate(host: Host, name: str) -> None:
    """Have a part end as a deploy does; the supervisor then starts it again."""
    with host.held(name):
        host.children[name].send_signal(signal.SIGTERM)
        host.children[name].wait(180)


def api_killed(host: Host) -> None:
    host.kill("api")


def api_killed_amid_an_upload(host: Host) -> None:
    try:
        link = socket.create_connection(("127.0.0.1", host.ports["api"]), 10)
    except OSError as error:
        raise NotNow("the API was away") from error
    with link:
        head = "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n"
        head += "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
        part = '--b\r\nContent-Disposition: form-data; name="file"; filename="c"'
        link.sendall(f"{head}{part}\r\n\r\n".encode() + bytes(400_000))
        time.sleep(0.5)
        host.kill("api")


def api_dies_between_record_and_message(host: Host) -> None:
    host.failpoint.touch()
    deadline = time.monotonic() + 4 * _LOOK_SECONDS
    while host.failpoint.exists():  # the process removes it before it dies
        if time.monotonic() > deadline:
            host.failpoint.unlink(missing_ok=True)
            raise NotNow("nobody posted a job")
        time.sleep(0.05)


def api_restarted(host: Host) -> None:
    terminate(host, "api")


def reaper_killed(host: Host) -> None:
    host.kill("sweep")


def reaper_away(host: Host) -> None:
    with host.held("sweep"):
        host.kill("sweep")
        time.sleep(3 * host.seconds)


def two_reapers(host: Host) -> None:
    host.start("sweep2")
    time.sleep(2 * host.seconds)
    with host.held("sweep2"):
        host.kill("sweep2")
        del host.children["sweep2"]


def broker_flushed(host: Host) -> None:
    host.client("broker").flushall()


def broker_killed(host: Host) -> None:
    _killed_for_a_while(host, "broker")


def store_killed(host: Host) -> None:
    _killed_for_a_while(host, "store")


def _killed_for_a_while(host: Host, name: str) -> None:
    with host.held(name):
        host.kill(name)
        time.sleep(host.seconds)
        host.start_redis(name)


def broker_stalled(host: Host) -> None:
    with host.stopped("broker"):
        time.sleep(2 * host.seconds)


def store_stalled(host: Host) -> None:
    with host.stopped("store"):
        time.sleep(2 * host.seconds)


def broker_cut(host: Host) -> None:
    host.relays["broker"].cut()


def store_cut(host: Host) -> None:
    host.relays["store"].cut()


def broker_half_open(host: Host) -> None:
    host.relays["broker"].deafen()


def store_half_open(host: Host) -> None:
    host.relays["store"].deafen()


def broker_full(host: Host) -> None:
    _full_for_a_while(host, "broker")


def store_full(host: Host) -> None:
    _full_for_a_while(host, "store")


def _full_for_a_while(host: Host, name: str) -> None:
    client = host.client(name)
    client.config_set("maxmemory", "1mb")
    try:
        time.sleep(host.seconds)
    finally:
        client.config_set("maxmemory", "0")


def messages_repeated(host: Host) -> None:
    """Send the message of every waiting or running task ten times more."""
    store = host.client("store")
    tasks = [*store.zrange("fm:leased", 0, 4)]
    for queue in ("fast", "slow"):
        tasks += store.zrange(f"fm:queued:{queue}", 0, 4)
    if not tasks:
        raise NotNow("no task was there")
    url = host.environment["FRAMEMILL_BROKER_URL"]
    settings = Settings.model_validate({"broker": {"url": url}})
    app = celery_app(settings, "client")
    kind = {"prepare": "prepare", "o": "render", "n": "notice"}
    messages = [
        Message(task=task, kind=kind[task.split(":")[1]], queue="fast")
        for task in tasks
        for _ in range(10)
    ]
    CeleryDispatcher(app).enqueue(messages)
    app.close()


def s3_away(host: Host) -> None:
    def breaks_off(_method: str, _path: str) -> None:
        raise ConnectionResetError

    with host.s3.refusing(breaks_off):
        time.sleep(host.seconds)


def s3_fails(host: Host) -> None:
    with host.s3.refusing(lambda _method, _path: (500, "InternalError")):
        time.sleep(host.seconds)


def s3_refuses(host: Host) -> None:
    with host.s3.refusing(lambda _method, _path: (403, "AccessDenied")):
        time.sleep(host.seconds)


def s3_slow(host: Host) -> None:
    host.s3.delay, host.s3.rate = 0.5, 60e3
    try:
        time.sleep(2 * host.seconds)
    finally:
        host.s3.delay, host.s3.rate = 0.0, None


def s3_breaks_off_answers(host: Host) -> None:
    host.s3.break_after, host.s3.breaks = 100, 5
    try:
        time.sleep(host.seconds)
    finally:
        host.s3.breaks = 0


def s3_clock_wrong(host: Host) -> None:
    host.s3.clock = 3600.0
    try:
        time.sleep(host.seconds)
    finally:
        host.s3.clock = 0.0


def disk_full(host: Host) -> None:
    if not host.has_disk:
        raise NotNow("only root has a disk of its own here")
    filler = host.scratch / "filler"
    try:
        with filler.open("wb", buffering=0) as file:
            _fill(file)
            time.sleep(host.seconds)
    finally:
        filler.unlink(missing_ok=True)


def _fill(file: Any) -> None:
    size = _MIB
    while size >= 512:
        try:
            file.write(bytes(size))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            size //= 2


KINDS: dict[str, Callable[[Host], None]] = {
    kind.__name__.replace("_", " "): kind
    for kind in (
        *(worker_killed, worker_main_killed, pool_process_killed),
        *(decoder_server_killed, ffmpeg_killed, both_workers_killed),
        *(worker_stopped_past_its_lease, worker_restarted, both_workers_restarted),
        *(api_killed, api_killed_amid_an_upload, api_dies_between_record_and_message),
        *(api_restarted, reaper_killed, reaper_away, two_reapers),
        *(broker_flushed, broker_killed, broker_stalled, broker_cut),
        *(broker_half_open, broker_full, messages_repeated),
        *(store_killed, store_stalled, store_cut, store_half_open, store_full),
        *(s3_away, s3_fails, s3_refuses, s3_slow, s3_breaks_off_answers),
        *(s3_clock_wrong, disk_full),
    )
}
