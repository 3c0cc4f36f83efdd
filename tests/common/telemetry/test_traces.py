"""One trace from a request to FFmpeg and S3, and no cost where nobody wants one.

The processes are started as an operator starts them, and what they send is read.
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
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from tests.chaos.service import Service, until
from tests.conftest import ROOT, SAMPLE
from tests.ports import free_port

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PLACE = {"traceparent": f"00-{TRACE}-{CALLER}-01", "X-Request-Id": "r-1"}
STILL = {"kind": "thumbnail", "width": 64}


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
