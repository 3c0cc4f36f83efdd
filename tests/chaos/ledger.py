"""What must hold after faults: what was accepted, set beside what became of it.

- **lost**: a job that was answered with 202 and has no record, or has not ended.
- **failed**: a job over a valid source that ended otherwise than it should.
- **doubled**: an output that succeeded, or a job that completed, more than once.
- **broken**: a published file that is not there, or differs from what the job says.
- **orphans**: processes without a parent; folders of attempts; temporary files; objects
  that no record names, and that are not in the list of those to be removed.
- **leaks**: tasks in a queue or in somebody's hands, although every job has ended;
  connections to a Valkey beyond those of the processes that run.
"""

from __future__ import annotations

import hashlib
import io
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from common.jobs.store import JobStore
from common.model import Artifact, JobRecord
from common.settings.load import Settings
from tests.chaos.faults import HARD_SECONDS, WORKERS, Host
from tests.chaos.load import ENDED, Accepted

_INDEXES = ("leased", "delayed", "queued:fast", "queued:slow", "pending:fast")
_OURS = ("in/", "out/", "jobs/")
_CONNECTIONS = 120
_LEFT_SECONDS = 120.0


@dataclass
class Ledger:
    """The jobs that were accepted, and the answers that were none."""

    accepted: dict[str, Accepted] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, accepted: Accepted) -> None:
        with self._lock:
            if accepted.id in self.accepted:
                self.wrong.append(f"the id {accepted.id} was given twice")
            self.accepted[accepted.id] = accepted

    def note(self, answer: str) -> None:
        with self._lock:
            self.answers[answer] += 1

    def unfinished(self, host: Host) -> list[str]:
        """Return the accepted jobs that have not ended; raises redis.RedisError."""
        with self._lock:
            ids = list(self.accepted)
        client = host.client("store")
        pipeline = client.pipeline(transaction=False)
        for one in ids:
            pipeline.hget(f"fm:job:{one}", "status")
        return [
            one
            for one, status in zip(ids, pipeline.execute(), strict=True)
            if status not in ENDED
        ]


@dataclass
class Findings:
    """What did not hold, by what; ``mix`` is how each way of asking ended."""

    mix: Counter[str] = field(default_factory=Counter)
    finished: int = 0
    untold: int = 0
    lost: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)

    @property
    def bad(self) -> dict[str, list[str]]:
        names = ("lost", "failed", "doubled", "broken", "orphans", "leaks")
        return {name: getattr(self, name) for name in names if getattr(self, name)}


def settle(host: Host, ledger: Ledger, *, patient: bool = False) -> Findings:
    """Look at every job and at all that is left; no fault may be going on.

    What ends by itself soon, such as the folder of a dead attempt, gets the time. The
    results of attempts that did not count go HARD_SECONDS after the end of their job:
    only who is ``patient`` waits for that, others find them in the janitor's list.
    """
    found = Findings()
    store = job_store(host)
    lines = host.client("store").zrange("fm:jobs:any", 0, -1)
    stored = {line[13:] for line in lines}
    found.untold = len(stored - set(ledger.accepted))
    named: set[str] = set()
    for job_id in stored | set(ledger.accepted):
        accepted = ledger.accepted.get(job_id)
        job = store.get(job_id)
        if job is None:
            found.lost.append(f"{job_id} has no record")
            continue
        _judge(host, job, accepted, found)
        named |= {f"jobs/{job_id}.json", job.source.key or ""}
        named |= {one.key for output in job.outputs for one in output.artifacts}
    wait = _LEFT_SECONDS + (HARD_SECONDS if patient else 0)
    deadline = time.monotonic() + wait
    while left := _left(host, named, patient=patient):
        if time.monotonic() > deadline:
            found.orphans = left
            break
        time.sleep(1)
    found.leaks = _leaks(host)
    return found


def job_store(host: Host) -> JobStore:
    """Return the job store itself, past its relay."""
    url = f"redis://127.0.0.1:{host.ports['store']}/0"
    return JobStore.connect(Settings.model_validate({"store": {"url": url}}))


def _judge(
    host: Host, job: JobRecord, accepted: Accepted | None, found: Findings
) -> None:
    way = accepted.way if accepted else "not told"
    if job.status not in ENDED:
        found.lost.append(f"{job.id} ({way}) is {job.status}")
        return
    if accepted:
        found.finished += 1
        found.mix[f"{way}: {job.status}"] += 1
        if job.status not in accepted.ends:
            errors = [job.error, *(output.error for output in job.outputs)]
            codes = [one.code for one in errors if one]
            found.failed.append(f"{job.id} ({way}) is {job.status}: {codes}")
    events = host.client("store").xrange(f"fm:events:{job.id}")
    kinds = Counter(
        (event["type"], event["output"])
        for _, event in events
        if event["type"] in {"output.succeeded", f"job.{job.status}"}
    )
    found.doubled += [f"{job.id}: {kind}" for kind, n in kinds.items() if n > 1]
    found.broken += [
        f"{job.id} {output.name}: {fault}"
        for output in job.outputs
        for artifact in output.artifacts
        if (fault := _broken(host, artifact))
    ]


def _broken(host: Host, artifact: Artifact) -> str | None:
    """Return what is wrong with a published file: size, digest, picture."""
    try:
        data = (host.objects / artifact.key).read_bytes()
    except FileNotFoundError:
        return "its file is not there"
    if len(data) != artifact.bytes:
        return f"{len(data)} bytes, not {artifact.bytes}"
    if hashlib.sha256(data).hexdigest() != artifact.sha256:
        return "another digest"
    try:
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
    except OSError as error:
        return f"does not decode: {error}"
    return None


def _left(host: Host, named: set[str], *, patient: bool) -> list[str]:
    """Return processes, folders and objects that nothing stands for now."""
    client = host.client("store")
    # The janitor's list; what stands there goes in its time.
    due = client.zrange("fm:chores", 0, -1)
    listed = {one.removeprefix("blob:") for one in due if one.startswith("blob:")}
    ended = {one.removeprefix("litter:") for one in due if one.startswith("litter:")}
    # An upload that its client gave up goes when its time is over, as a whole.
    uploads = set(client.zrange("fm:uploads", 0, -1))
    used = {key.removeprefix("fm:users:") for key in client.scan_iter("fm:users:*")}
    left = [f"FFmpeg {pid}" for pid in host.orphans()]
    left += [f"process {pid}" for pid in _strays(host)]
    left += [f"folder {one}" for one in (host.scratch / "attempts").glob("*")]
    living = sum(1 + len(host.pool_children(name)) for name in WORKERS)
    owned = list((host.scratch / "processes").glob("*"))
    if len(owned) > living:
        left.append(f"{len(owned)} folders of {living} processes of workers")
    left += [f"temporary {one}" for one in (host.folder / "tmp").iterdir()]
    known = named | listed | used
    for path in host.objects.rglob("*"):
        key = str(path.relative_to(host.objects))
        if not path.is_file() or key in known or not key.startswith(_OURS):
            continue
        kind, name, *_ = key.split("/")
        if kind == "in" and name in uploads:
            continue
        if patient or not (kind == "out" and name in ended):
            left.append(f"object {key}")
    return left


def _strays(host: Host) -> list[int]:
    """Return processes of this service that belong to none of its living parts."""
    groups = {child.pid for child in host.children.values() if child.poll() is None}
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                if str(host.folder).encode() in (folder / "environ").read_bytes():
                    pid = int(folder.name)
                    words = (folder / "stat").read_text().rsplit(")", 1)[1].split()
                    if not {int(words[2]), int(words[3])} & groups:
                        found.append(pid)
    return found


def _leaks(host: Host) -> list[str]:
    client = host.client("store")
    found = [
        f"{size} in {name}"
        for name in (*_INDEXES, "pending:slow")
        if (size := client.zcard(f"fm:{name}"))
    ]
    for name in ("broker", "store"):
        connected = int(host.client(name).info("clients")["connected_clients"])
        if connected > _CONNECTIONS:
            found.append(f"{connected} connections to the {name}")
    return found
