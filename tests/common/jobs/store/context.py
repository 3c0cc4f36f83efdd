"""A job store under test, with hands on its clockwork.

Leases, delays and messages are made due by moving their scores, so no test sleeps.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection
from typing import Any

import redis

from common.jobs.store import (
    Accepted,
    Claim,
    Idempotency,
    JobStore,
    NewJob,
    NewOutput,
    Opening,
    Outcome,
)
from common.model import (
    Artifact,
    ErrorInfo,
    JobRecord,
    MediaInfo,
    PartFile,
    PartSpec,
    Source,
)
from common.notify.subscriptions import Subscription
from common.settings.load import Settings

_NUMBERS = itertools.count(1)
MEDIA = MediaInfo(container="mp4", duration=4.0)
BAD = ErrorInfo(code="decode_error", title="Bad", detail="nothing decodes")
IDLE = {"fast": 0, "slow": 0}
READERS = {"hash": "hgetall", "set": "smembers", "string": "get"}
# What these answer changes with time, or by another thread's doing.
_READS = {"get", "list", "search", "deliveries", "stats", "workers", "activity"}


class TwiceStore(JobStore):
    """Sends every script twice, as a client does whose first try timed out."""

    def _raw(self, script: str, **arguments: Any) -> str:
        first = super()._raw(script, **arguments)
        again = super()._raw(script, **arguments)
        if script == "heartbeat":
            assert again == first
        elif script not in _READS:
            assert _plain(again) == _plain(first), script
        return again


def _plain(answer: str) -> Any:
    decoded = json.loads(answer)
    # A claim's messages come with its first answer; the reaper sends them again.
    if isinstance(decoded, dict) and "task" in decoded:
        decoded.pop("messages", None)
    return decoded


def an_artifact(claim: Claim, name: str = "a.jpg") -> Artifact:
    return Artifact(
        name=name,
        key=f"out/{claim.job_id}/{claim.output}/{claim.fence}/{name}",
        content_type="image/jpeg",
        bytes=3,
        sha256="0" * 64,
    )


def part_specs(count: int) -> list[PartSpec]:
    """Cut an output into parts of one window each."""
    return [PartSpec(first=k, windows=[(2.0 * k, 2.0)]) for k in range(count)]


def part_files(*names: str) -> list[dict[str, Any]]:
    """Write the result of a part that made files of these names."""
    return [PartFile(name=name, bytes=1).model_dump() for name in names]


class StoreContext:
    """One store, its raw client, and short ways through a job's life."""

    def __init__(self, store: JobStore, client: redis.Redis) -> None:
        self.store = store
        self.client = client
        self.prefix = store.settings.store.prefix

    def key(self, name: str) -> str:
        return self.prefix + name

    def new_job(self, *names: str, **fields: Any) -> NewJob:
        job_id = f"{next(_NUMBERS):032x}"
        given = {
            "id": job_id,
            "owner": "",
            "source": Source(kind="upload", key=f"in/{job_id}/source", name="clip.mp4"),
            "outputs": [
                NewOutput(name, "thumbnail", {"kind": "thumbnail"}, "fast")
                for name in names or ("poster",)
            ],
        }
        told = fields.pop("subscriptions", [])
        fields["subscriptions"] = [Subscription.model_validate(one) for one in told]
        return NewJob(**(given | fields))

    def accept(
        self, *names: str, idempotency: Idempotency | None = None, **fields: Any
    ) -> str:
        accepted = self.store.accept(self.new_job(*names, **fields), idempotency)
        assert isinstance(accepted, Accepted)
        return accepted.job_id

    def claim(self, task: str, token: str | None = None) -> Claim:
        claim = self.store.claim(task, token or f"t{next(_NUMBERS)}", "host:1")
        assert isinstance(claim, Claim), claim
        return claim

    def next(self, queue: str = "fast", named: str = "", token: str = "") -> str:
        """Claim as the message that named a task does; return the claimed task."""
        claim = self.store.claim(named, token or f"t{next(_NUMBERS)}", "host:1", queue)
        assert isinstance(claim, Claim), claim
        return claim.task

    def open(self, job_id: str, **parts: int) -> Outcome:
        """End prepare; ``parts`` says of which outputs how many parts are made."""
        claim = self.claim(f"{job_id}:prepare")
        names = [output.name for output in self.get(job_id).outputs]
        openings = {
            name: Opening(parts=part_specs(parts.get(name, 0))) for name in names
        }
        return self.store.open(claim, MEDIA, claim.source, openings)

    def opened(self, *names: str, **fields: Any) -> str:
        """Return a job whose prepare has ended well."""
        job_id = self.accept(*names, **fields)
        self.open(job_id)
        return job_id

    def make(self, task: str) -> Outcome:
        """Claim and finish a task."""
        claim = self.claim(task)
        return self.store.finish(claim, [an_artifact(claim)], result=part_files(task))

    def ruin(self, task: str) -> Outcome:
        """Claim a task and fail it for good."""
        return self.store.release(self.claim(task), "fatal", error=BAD)

    def done(self, *names: str, **fields: Any) -> str:
        """Return a job that is completed."""
        job_id = self.opened(*names, **fields)
        for output in self.get(job_id).outputs:
            self.make(f"{job_id}:o:{output.name}")
        return job_id

    def get(self, job_id: str) -> JobRecord:
        job = self.store.get(job_id)
        assert job is not None
        return job

    def status(self, job_id: str) -> str:
        return self.get(job_id).status

    def states(self, job_id: str) -> list[str]:
        return [output.status for output in self.get(job_id).outputs]

    def events(self, job_id: str) -> list[str]:
        return [event.type for event in self.store.events(job_id)]

    def reaper_was_here(self) -> None:
        """Have the reaper's last pass be a moment ago."""
        now = self.client.time()[0] * 1000
        self.client.set(self.key("reaper"), now)

    def reaper_was_away(self, seconds: int) -> None:
        now = (self.client.time()[0] - seconds) * 1000
        self.client.set(self.key("reaper"), now)

    def expire(self, task: str) -> None:
        """Let a lease have run out."""
        self._move("leased", task)

    def make_due(self, task: str, index: str) -> None:
        """Let a message or a delay be due."""
        self._move(index, task)
        if index == "delayed":
            self.client.hset(self.key(f"piece:{task}"), "not_before", 1)

    def has_run_out(self, member: str) -> None:
        """Let a cleanup be due."""
        self._move("chores", member)

    def _move(self, index: str, member: str) -> None:
        self.client.zadd(self.key(index), {member: 1}, xx=True)
        assert self.client.zscore(self.key(index), member) == 1

    def snapshot(self, moments: Collection[str] = ()) -> dict[str, Any]:
        """Read everything the store holds but remembered answers.

        Of the sorted sets named by ``moments`` only the members are read.
        """
        keys = [
            key
            for key in sorted(self.client.scan_iter(self.prefix + "*", count=1000))
            if not key.startswith((self.key("call:"), self.key("reaper")))
        ]
        kinds = self._all("type", keys)
        expiring = [seconds >= 0 for seconds in self._all("ttl", keys)]
        names = [key.removeprefix(self.prefix) for key in keys]
        pipe = self.client.pipeline(transaction=False)
        for key, kind, name in zip(keys, kinds, names, strict=True):
            if kind == "zset":
                pipe.zrange(key, 0, -1, withscores=name not in moments)
            elif kind == "stream":
                pipe.xrange(key)
            elif kind == "list":
                pipe.lrange(key, 0, -1)
            else:
                getattr(pipe, READERS[kind])(key)
        return dict(zip(names, zip(pipe.execute(), expiring, strict=True), strict=True))

    def _all(self, command: str, keys: list[str]) -> list[Any]:
        pipe = self.client.pipeline(transaction=False)
        for key in keys:
            getattr(pipe, command)(key)
        return pipe.execute()


def make_settings(prefix: str, url: str | None = None, **sections: Any) -> Settings:
    store = {"prefix": prefix, **({"url": url} if url else {})}
    return Settings(store=store, **sections)
