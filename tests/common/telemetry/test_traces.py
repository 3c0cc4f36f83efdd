"""One trace from a request to FFmpeg and S3, and no cost where nobody wants one.

All parts are real: Valkey, S3 (rclone), FFmpeg, Celery's processes. The first test has
the API and the worker in one process and looks into the exporter's memory; the last one
starts them as an operator does, and reads what they send.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import (
    InMemorySpanExporter,
)

from api.app import create_app
from common import storage
from common.jobs.queue import RecordingDispatcher
from common.jobs.store import JobStore
from common.runtime import Runtime
from common.settings.load import Settings
from common.telemetry import traces
from common.telemetry.spans import Spans
from tests.chaos.service import Service, until
from tests.common import valkey
from tests.common.parts import PARTS, refusal
from tests.common.storage.conftest import KEYS, rclone_endpoint
from tests.conftest import ROOT, SAMPLE
from tests.ports import free_port
from worker.lease import WorkerContext, run
from worker.tasks.prepare import prepare
from worker.tasks.render import render

__all__ = ["rclone_endpoint"]  # fixtures

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PLACE = {"traceparent": f"00-{TRACE}-{CALLER}-01", "X-Request-Id": "r-1"}
STILL = {"kind": "thumbnail", "width": 64}


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    """Have this process make spans, kept in memory."""
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    traces.use(Spans(provider))
    yield memory
    traces.stop()


@pytest.fixture
def runtime(tmp_path: Path, rclone_endpoint: str) -> Iterator[Runtime]:
    with valkey.running(tmp_path) as (url, _):
        settings = Settings.model_validate(
            {
                "store": {"url": url, "prefix": "traces:"},
                "api": {"auth": False, "secret": "s" * 40},
                "blobs": {"backend": "s3"},
                "s3": {
                    "endpoint_url": rclone_endpoint,
                    "access_key_id": KEYS[0],
                    "secret_access_key": KEYS[1],
                },
                "worker": {"scratch": tmp_path / "scratch"},
            }
        )
        store, blobs = JobStore.connect(settings), storage.connect(settings)
        yield Runtime(settings, store, blobs, RecordingDispatcher())


def post(runtime: Runtime) -> str:
    """Post the sample as a caller whose own trace goes on."""
    with SAMPLE.open("rb") as file:
        answer = (
            create_app(runtime)
            .test_client()
            .post(
                "/v1/jobs",
                data={"file": (file, "a.mp4"), "outputs": json.dumps([STILL])},
                headers=PLACE,
            )
        )
    assert answer.status_code == 202, answer.json
    return str(answer.json["id"])


def work(runtime: Runtime) -> None:
    """Do what the messages name, as a worker does."""
    context = WorkerContext.build(runtime, "tester")
    messages = cast("RecordingDispatcher", runtime.dispatcher).messages
    while messages:
        message = messages.pop(0)
        kinds = {"prepare": prepare, "render": render}
        run(context, message.task, "task", kinds[message.kind])


def test_one_trace_leads_from_the_request_to_ffmpeg_and_s3(
    runtime: Runtime, exporter: InMemorySpanExporter
):
    job_id = post(runtime)
    work(runtime)

    job = runtime.store.get(job_id)
    assert job is not None
    assert job.status == "completed"
    spans = exporter.get_finished_spans()
    assert {format(one.context.trace_id, "032x") for one in spans} == {TRACE}
    names = {one.context.span_id: one.name for one in spans}
    tree = {
        (names.get(one.parent.span_id) if one.parent else None, one.name)
        for one in spans
    }
    # Of the caller's span this process knows the id alone.
    assert (None, "POST /v1/jobs") in tree
    assert tree >= {
        ("POST /v1/jobs", "storage commit"),
        ("POST /v1/jobs", "framemill.prepare"),
        ("POST /v1/jobs", "framemill.render"),
        ("framemill.prepare", "storage read"),
        ("framemill.prepare", "probe"),
        ("framemill.render", "ffmpeg"),
        ("framemill.render", "storage put"),
    }
    by_name = {one.name: one for one in spans}
    top = by_name["POST /v1/jobs"]
    assert top.parent is not None
    assert format(top.parent.span_id, "016x") == CALLER
    attempt = dict(by_name["framemill.render"].attributes or {})
    assert attempt.items() >= {
        ("framemill.job", job_id),
        ("framemill.output", "thumbnail"),
        ("framemill.attempt", 1),
        ("framemill.end", "done"),
    }
    assert dict(by_name["ffmpeg"].attributes or {})["process.exit.code"] == 0


def test_an_attempt_that_fails_says_so_and_hides_secrets(
    runtime: Runtime, exporter: InMemorySpanExporter
):
    post(runtime)
    context = WorkerContext.build(runtime, "tester")
    task = cast("RecordingDispatcher", runtime.dispatcher).messages[0].task

    def fail(_: object) -> Any:
        raise ValueError("no https://s3.test/a?X-Amz-Signature=q-signed")

    run(context, task, "task", fail)

    (attempt,) = (
        one for one in exporter.get_finished_spans() if one.name == "framemill.prepare"
    )
    assert attempt.status.status_code.name == "ERROR"
    assert "internal_error" in (attempt.status.description or "")
    assert "q-signed" not in attempt.to_json()


def test_what_nobody_asked_for_is_in_no_trace(
    runtime: Runtime, exporter: InMemorySpanExporter
):
    runtime.blobs.check()
    client = create_app(runtime).test_client()
    for path in ("/healthz", "/readyz", "/metrics"):
        client.get(path)

    assert exporter.get_finished_spans() == ()


def test_we_import_nothing_of_it_unless_it_is_enabled():
    # redis-py imports what it can use of it, wherever it is installed.
    code = (
        "import sys, common.runtime, api.app, worker.lease, api.cli.main; "
        "from common.telemetry import traces; "
        "from common.settings.sections import Traces; "
        "traces.start(Traces(), 'api'); "
        "print([n for n in sys.modules if n.startswith('opentelemetry.exporter') "
        "or n == 'common.telemetry.spans'])"
    )
    told = subprocess.check_output(
        [sys.executable, "-c", code], cwd=ROOT, text=True, timeout=60
    )

    assert told.strip() == "[]"


def test_a_collector_that_is_away_holds_up_no_end():
    code = (
        "import time; from common.settings.sections import Traces; "
        "from common.telemetry import traces; "
        "traces.start(Traces(enabled=True), 'api')\n"
        "with traces.root('POST', 'server', None, {}): pass\n"
        "began = time.monotonic(); traces.stop(); print(time.monotonic() - began)"
    )
    told = subprocess.check_output(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ
        | {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}"},
        text=True,
        timeout=60,
    )

    # OpenTelemetry itself tries for ten seconds.
    assert float(told) < 5


def test_the_lock_has_what_an_image_gets_for_it():
    lock = (ROOT / "deploy" / "locks" / "otel.txt").read_text()

    assert "opentelemetry-sdk==" in lock
    assert "opentelemetry-exporter-otlp-proto-http==" in lock


@pytest.mark.parametrize("part", ["api", "worker"])  # the reaper sends no traces
def test_without_the_packages_a_part_that_should_send_traces_says_so(
    part: str, tmp_path: Path
):
    (tmp_path / "opentelemetry").mkdir()
    (tmp_path / "opentelemetry" / "__init__.py").write_text(
        "raise ImportError('hidden')"
    )
    with valkey.running(tmp_path) as (url, _):
        said = refusal(
            PARTS[part],
            tmp_path,
            FRAMEMILL_TRACES_ENABLED="true",
            REDIS_URL=url,
            PYTHONPATH=str(tmp_path),
        )

    assert "FRAMEMILL_TRACES_ENABLED: the packages" in said
    assert "pip install 'framemill[otel]'" in said


@dataclass
class Collector:
    """What came by OTLP: the name of each service and span, and its trace."""

    port: int
    spans: list[tuple[str, str, str]] = field(default_factory=list)

    def take(self, body: bytes) -> None:
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            facts = {
                one.key: one.value.string_value for one in group.resource.attributes
            }
            for scope in group.scope_spans:
                self.spans += [
                    (facts["service.name"], one.name, one.trace_id.hex())
                    for one in scope.spans
                ]


@contextmanager
def collecting() -> Iterator[Collector]:
    """Answer as a collector of OpenTelemetry does."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path == "/v1/traces"
            found.take(body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Write nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Collector(server.server_port)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield found
        server.shutdown()


def lines(service: Service, part: str) -> list[dict[str, Any]]:
    """Return the lines of a part's log; each is a JSON object."""
    text = (service.folder / f"{part}.log").read_text()
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_processes_send_one_trace_and_name_the_request_in_their_logs(tmp_path: Path):
    with (
        collecting() as collector,
        Service(
            tmp_path,
            FRAMEMILL_TRACES_ENABLED="true",
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{collector.port}",
            OTEL_BSP_SCHEDULE_DELAY="200",
        ) as service,
    ):
        job_id = service.submit(SAMPLE, [STILL], headers=PLACE)
        until(
            lambda: service.get(f"/v1/jobs/{job_id}")["status"] == "completed", 90, "it"
        )

        def sent() -> set[tuple[str, str]]:
            return {(part, name) for part, name, at in collector.spans if at == TRACE}

        expected = {
            ("framemill-api", "POST /v1/jobs"),
            ("framemill-worker", "framemill.prepare"),
            ("framemill-worker", "framemill.render"),
            ("framemill-worker", "ffmpeg"),
            ("framemill-worker", "storage put"),
        }
        until(lambda: sent() >= expected, 60, "the spans came")

        ids = {"request_id": "r-1", "trace_id": TRACE, "job": job_id}
        (accepted,) = (
            one for one in lines(service, "api") if one["event"] == "job.accepted"
        )
        assert accepted.items() >= (ids | {"outputs": accepted["outputs"]}).items()
        settled = [
            one for one in lines(service, "worker") if one["event"] == "task.settled"
        ]
        assert len(settled) == 2
        assert all(one.items() >= ids.items() for one in settled)
        assert [one.get("output") for one in settled] == [None, "thumbnail"]
        assert settled[1]["task"] == f"{job_id}:o:thumbnail"
        assert settled[1]["attempt"] == 1
