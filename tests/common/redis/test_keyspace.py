"""KEYSPACE.md against the keys that the service really makes."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis

from common.access import keys as access_keys
from common.access.keys import KeyRecord, Keys
from common.access.quota import DailyQuota
from common.jobs.store import JobStore, NewBatch, connection
from common.redis.client import open_client
from common.redis.scripts import ScriptFiles
from common.settings.load import Settings
from common.storage import connect
from common.uploads import NewUpload, Uploads, sessions
from tests.common.jobs.store.context import BAD, StoreContext
from tests.common.jobs.store.test_repeats import whole_life
from tests.conftest import ROOT

PAGE = ROOT / "common" / "redis" / "KEYSPACE.md"
PREFIX = "keyspace:"
_ROW = re.compile(
    r"^\| `([^`]+)` \| (\w+) \| (yes|no|ended) \| [^|]+ \| ([^|]+) \|$", re.MULTILINE
)
_VALUES = {"STATUS": "[a-z]+", "QUEUE": "(?:fast|slow)", "DAY": "[0-9]+"}


@dataclass(frozen=True)
class Row:
    key: str
    kind: str
    ttl: str
    writers: tuple[str, ...]

    @property
    def pattern(self) -> re.Pattern[str]:
        text = re.sub(r"\[(:[A-Z]+)\]", r"(?:\1)?", self.key)
        text = re.sub(r"[A-Z]+", lambda found: _VALUES.get(found[0], ".*"), text)
        return re.compile(text)


ROWS = [
    Row(key, kind, ttl, tuple(re.findall(r"`(\w+)`", writers)))
    for key, kind, ttl, writers in _ROW.findall(PAGE.read_text("utf-8"))
]


@dataclass
class Seen:
    """What was seen of each key, by its name without the prefix."""

    # Its type, and whether it had an expiry.
    kinds: dict[str, set[tuple[str, bool]]] = field(
        default_factory=lambda: defaultdict(set)
    )
    # The files of each script that created, changed or removed it.
    changers: dict[str, set[ScriptFiles]] = field(
        default_factory=lambda: defaultdict(set)
    )


class Watch:
    """Looks at every key of the prefix before and after each script."""

    def __init__(self, url: str) -> None:
        self.seen = Seen()
        self._client = redis.Redis.from_url(url)

    def look(self) -> dict[str, bytes]:
        """Note all keys; return what each holds."""
        keys = list(self._client.scan_iter(f"{PREFIX}*", count=1000))
        pipe = self._client.pipeline(transaction=True)
        for key in keys:
            pipe.type(key)
            pipe.pttl(key)
            pipe.dump(key)
        found = pipe.execute()
        held: dict[str, bytes] = {}
        facts = zip(keys, found[::3], found[1::3], found[2::3], strict=True)
        for key, kind, ttl, dump in facts:
            if dump is not None:
                name = key.decode().removeprefix(PREFIX)
                held[name] = dump
                self.seen.kinds[name].add((kind.decode(), ttl >= 0))
        return held

    @contextmanager
    def script(self, files: ScriptFiles) -> Iterator[None]:
        before = self.look()
        yield
        after = self.look()
        for name in before.keys() | after.keys():
            if before.get(name) != after.get(name):
                self.seen.changers[name].add(files)


class WatchedStore(JobStore):
    watch: Watch

    def _raw(self, script: str, **arguments: Any) -> str:
        with self.watch.script(connection.SCRIPT_FILES[script]):
            return super()._raw(script, **arguments)


class WatchedUploads(Uploads):
    watch: Watch

    def _call(self, step: str, upload_id: str, **arguments: Any) -> Any:
        with self.watch.script(sessions.SCRIPT_FILES):
            return super()._call(step, upload_id, **arguments)


class WatchedKeys(Keys):
    watch: Watch

    def _call(self, step: str, **arguments: Any) -> dict[str, Any]:
        with self.watch.script(access_keys.SCRIPT_FILES):
            return super()._call(step, **arguments)


def life_of_a_dead_task(context: StoreContext) -> None:
    """Dead-letter a task, rerun it, dead-letter it again, and let that be long ago."""
    task = f"{context.accept()}:prepare"
    give_up(context, task)
    context.store.redrive(task)
    give_up(context, task)
    context.client.zadd(context.key("dead"), {task: 1})
    context.store.reap()


def give_up(context: StoreContext, task: str) -> None:
    for _ in range(context.store.settings.lease.max_attempts):
        context.store.release(context.claim(task), "retry", error=BAD)


def end_of_retention(context: StoreContext) -> None:
    """End a job with a delivery, and a batch, and clean all that is kept of them."""
    told = [{"id": "s", "type": "webhook", "events": ["job.completed"]}]
    job_id = context.done(subscriptions=told)
    context.make(f"{job_id}:n:1")
    context.store.accept_batch(NewBatch("c" * 32, "me", [], None, {}))
    context.store.end_stage(context.claim(f"{'c' * 32}:batch"), "expand")
    waiting = context.key("chores")
    while due := context.client.zrange(waiting, 0, -1):
        context.client.zadd(waiting, dict.fromkeys(due, 1))
        for cleanup in context.store.cleanups():
            context.store.finish_cleanup(cleanup)


def life_of_uploads(settings: Settings, watch: Watch) -> None:
    uploads = WatchedUploads.connect(settings, connect(settings))
    uploads.watch = watch
    new = NewUpload("me", "tus", 3, "video/mp4", job={"outputs": []})
    uploads.drop(uploads.create(new, most=2, quota=DailyQuota("k", 5)))


def life_of_an_api_key(settings: Settings, watch: Watch) -> None:
    api_keys = WatchedKeys.connect(settings)
    api_keys.watch = watch
    record = KeyRecord(id="k", name="k", owner="me", requests_per_second=1)
    token = api_keys.create(record)
    api_keys.admit(token)
    api_keys.sign_in(token, hours=1)


@pytest.fixture(scope="module")
def seen(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Return all keys of whole lives: of jobs, batches, uploads and API keys."""
    settings = Settings(
        store={"url": valkey_url, "prefix": PREFIX},
        blobs={"path": tmp_path_factory.mktemp("blobs")},
    )
    store = WatchedStore.connect(settings)
    store.watch = watch = Watch(valkey_url)
    context = StoreContext(store, open_client(settings))
    whole_life(context)
    life_of_a_dead_task(context)
    end_of_retention(context)
    store.part_away("host:1", BAD)
    life_of_uploads(settings, watch)
    life_of_an_api_key(settings, watch)
    return watch.seen


def rows_of(key: str) -> list[Row]:
    return [row for row in ROWS if row.pattern.fullmatch(key)]


def test_every_key_has_one_row(seen: Seen) -> None:
    rows = {key: len(rows_of(key)) for key in seen.kinds}
    assert rows == dict.fromkeys(rows, 1)


def test_every_row_has_a_key(seen: Seen) -> None:
    made = {row.key for key in seen.kinds for row in rows_of(key)}
    assert {row.key for row in ROWS} == made


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.key)
def test_types_and_expiries_are_as_the_page_says(seen: Seen, row: Row) -> None:
    facts = {
        fact for key in seen.kinds if row in rows_of(key) for fact in seen.kinds[key]
    }
    expires = {"yes": {True}, "no": {False}, "ended": {True, False}}[row.ttl]
    assert facts == {(row.kind, one) for one in expires}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.key)
def test_the_writers_are_as_the_page_says(seen: Seen, row: Row) -> None:
    scripts = {
        files
        for key in seen.changers
        if row in rows_of(key)
        for files in seen.changers[key]
    }
    parts = [{file.stem for file in files} for files in scripts]
    unknown = [one for one in parts if not one & set(row.writers)]
    assert unknown == [], "scripts that change the key and hold none of its writers"
    idle = set(row.writers) - set().union(*parts)
    assert idle == set(), "writers that are in no script that changes the key"
