"""The running service against its OpenAPI document, by schemathesis.

No 500 and no answer that the document does not describe, with keys and without: the
examples of the document, each value at its bounds, fuzzing, and walks along the
document's links. The default run is short; ``FRAMEMILL_FUZZ=25`` makes over 2,000
cases of each. Every run asks the same; ``FRAMEMILL_FUZZ_SEED=7`` asks otherwise, and
the same again under 7.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.openapi import document as openapi
from tests.chaos.service import ROOT, Service

# A number asks for the long form, which also tries every value at its bounds.
LONG = os.environ.get("FRAMEMILL_FUZZ")
OPERATIONS = sum(
    "operationId" in operation
    for item in openapi.document()["paths"].values()
    for operation in item.values()
)
PHASES = "examples,coverage,fuzzing" if LONG else "examples,fuzzing"
WALKS = 100 if LONG else 20
# Not --generation-deterministic: its walks end after a quarter of what is asked for.
CHOICE = ["--seed", os.environ.get("FRAMEMILL_FUZZ_SEED") or "1"]
KEY = ["keys", "create", "fuzz", "--scope", "admin", "--requests-per-second", "10000"]
TOOLS = Path(sys.executable).parent

pytestmark = [pytest.mark.contract, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module", params=["without keys", "with keys"])
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Service, str]]:
    """A service, and the key to it or none."""
    asks = request.param == "with keys"
    folder = tmp_path_factory.mktemp("contract")
    with Service(folder, FRAMEMILL_API_AUTH=str(asks).lower()) as running:
        yield running, running.command(*KEY).strip() if asks else ""


def fuzz(service: Service, key: str, *options: str) -> tuple[str, dict[str, Any]]:
    """Run schemathesis until it finds nothing; gives what it said, and its report."""
    report = service.folder / "report.json"
    argv = [str(TOOLS / "schemathesis"), "--config-file"]
    argv += [str(ROOT / "tests" / "api" / "contract.toml")]
    argv += ["run", f"{service.url}/openapi.json", "--no-color", "--no-shrink"]
    argv += ["--request-timeout", "120", "--suppress-health-check", "too_slow"]
    argv += ["--warnings", "off", *CHOICE, *options]
    argv += ["--report", "json", "--report-json-path", str(report)]
    argv += ["-H", f"Authorization: Bearer {key}"] if key else []
    argv += [] if key else ["--exclude-checks", "ignored_auth"]
    done = subprocess.run(
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
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(report.read_text())
    assert told["failures"] == told["errors"] == []
    return done.stdout, told


def test_no_answer_breaks_the_document(service: tuple[Service, str]) -> None:
    _, told = fuzz(*service, "--phases", PHASES, "--max-examples", LONG or "3")

    cases = told["test_cases"]["generated"]
    print(f"{cases} cases")
    assert told["operations"]["tested"] == OPERATIONS
    assert cases >= (2000 if LONG else 100)


def test_no_walk_along_its_links_breaks_the_document(
    service: tuple[Service, str],
) -> None:
    requested = ["--phases", "stateful", "--max-examples", str(WALKS)]

    said, told = fuzz(*service, *requested)

    walks = re.search(r"Scenarios: +(\d+)\s+API Links: +(\d+) covered", said)
    assert walks is not None, said
    print(
        f"{walks[1]} walks, {told['test_cases']['generated']} cases, {walks[2]} links"
    )
    # How far it comes in its time is the machine's; that it follows ids is ours.
    assert int(walks[1]) >= 3
    assert int(walks[2]) >= 2
