"""The running service against its OpenAPI document, by schemathesis.

No 500 and no answer that the document does not describe, with keys and without: the
examples of the document, each value at its bounds, fuzzing, and walks along the
document's links. The default run is short; ``FRAMEMILL_FUZZ=25`` makes over 2,000
cases of each.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from api import openapi
from tests.chaos.service import ROOT, Service

# A number asks for the long form, which also tries every value at its bounds.
LONG = os.environ.get("FRAMEMILL_FUZZ")
OPERATIONS = sum(
    "operationId" in operation
    for item in openapi.document()["paths"].values()
    for operation in item.values()
)
SHORT_PHASES = ["--phases", "examples,fuzzing,stateful"]
KEY = ["keys", "create", "fuzz", "--scope", "admin", "--requests-per-second", "10000"]
TOOLS = Path(sys.executable).parent

pytestmark = [pytest.mark.contract, pytest.mark.timeout(1800)]


@pytest.fixture(params=["without keys", "with keys"])
def service(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[Service, str]]:
    """A service, and the key to it or none."""
    asks = request.param == "with keys"
    with Service(tmp_path, FRAMEMILL_API_AUTH=str(asks).lower()) as running:
        yield running, running.command(*KEY).strip() if asks else ""


def fuzz(service: Service, key: str, report: Path) -> subprocess.CompletedProcess[str]:
    argv = [str(TOOLS / "schemathesis"), "--config-file"]
    argv += [str(ROOT / "tests" / "api" / "contract.toml")]
    argv += ["run", f"{service.url}/openapi.json", "--no-color", "--no-shrink"]
    argv += ["--generation-deterministic", "--max-examples", LONG or "3"]
    argv += ["--request-timeout", "20", "--warnings", "off"]
    argv += ["--report", "json", "--report-json-path", str(report)]
    argv += [] if LONG else SHORT_PHASES
    argv += ["-H", f"Authorization: Bearer {key}"] if key else []
    argv += [] if key else ["--exclude-checks", "ignored_auth"]
    return subprocess.run(
        argv,
        cwd=service.folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SCHEMATHESIS_HOOKS": "tests.api.contract_hooks",
        },
        check=False,
        capture_output=True,
        text=True,
        timeout=1700,
    )


def test_no_answer_breaks_the_document(
    service: tuple[Service, str], tmp_path: Path
) -> None:
    report = tmp_path / "report.json"

    done = fuzz(*service, report)

    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(report.read_text())
    followed = re.search(r"API Links: +(\d+) covered", done.stdout)
    cases = told["test_cases"]["generated"]
    print(f"{cases} cases, {followed and followed[1]} kinds of links followed")
    assert told["operations"]["tested"] == OPERATIONS
    assert told["phases"]["stateful"]["status"] == "success"
    assert followed is not None
    assert int(followed[1]) >= 5
    assert cases >= (2000 if LONG else 200)
