"""A runtime and a worker for tests: fakeredis runs the real Lua."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import fakeredis

from common import storage as blobs
from common.access.keys import Keys
from common.jobs.queue import RecordingDispatcher
from common.jobs.service import new_id
from common.jobs.store import Accepted, JobStore, NewJob, NewOutput
from common.model import Source
from common.notify.subscriptions import Subscription
from common.runtime import Runtime
from common.settings.load import Settings
from worker.lease import WorkerContext, run
from worker.tasks.deliver import deliver

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


def make_runtime(folder: Path, **sections: Any) -> Runtime:
    """Build a runtime whose webhooks are signed; ``sections`` change settings."""
    given: dict[str, Any] = {
        "blobs": {"backend": "local", "path": folder / "blobs"},
        "api": {"secret": "x" * 32, "public_url": "https://frames.test"},
        "webhooks": {"secret": SECRET, "retry_seconds": [0.05], "timeout_seconds": 30},
        "worker": {"scratch": folder / "scratch"},
    }
    given.update(sections)
    settings = Settings.model_validate(given)
    server = fakeredis.FakeServer(server_type="valkey")
    client = fakeredis.FakeRedis(server=server, decode_responses=True)
    return Runtime(
        settings=settings,
        store=JobStore(settings, client),
        blobs=blobs.connect(settings),
        dispatcher=RecordingDispatcher(),
    )


def make_context(runtime: Runtime, **parts: Any) -> WorkerContext:
    """Build the context of a worker; ``parts`` replace what it stands on."""
    return replace(WorkerContext.build(runtime, "tester"), **parts)


def send(runtime: Runtime, task: str, **parts: Any) -> None:
    """Run one delivery task; ``parts`` as in :func:`make_context`."""
    run(make_context(runtime, **parts), task, "task", deliver)


def keys_of(runtime: Runtime) -> Keys:
    """Return the API keys that lie in the runtime's job store."""
    return Keys(runtime.store._client, runtime.settings.store.prefix)


def accept_job(runtime: Runtime, *subscriptions: dict[str, Any], **more: Any) -> str:
    """Put a job with one thumbnail on record; its first event notifies."""
    job = NewJob(
        id=new_id(),
        owner=more.pop("owner", "me"),
        source=Source(kind="upload", key="in/x/source", name="holiday.mp4"),
        outputs=[NewOutput("thumbnail", "thumbnail", {"kind": "thumbnail"}, "fast")],
        subscriptions=[Subscription.model_validate(one) for one in subscriptions],
        **more,
    )
    accepted = runtime.store.accept(job)
    assert isinstance(accepted, Accepted)
    return accepted.job_id
