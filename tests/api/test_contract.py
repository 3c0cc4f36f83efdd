"""Fuzzing against the OpenAPI document: no 500, no answer that it does not describe.

The default run is short. ``FRAMEMILL_FUZZ=400 pytest -m contract`` does over 2,000
cases.
"""

from __future__ import annotations

import atexit
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import (
    ignored_auth,
    missing_required_header,
    negative_data_rejection,
    positive_data_acceptance,
    unsupported_method,
)

from api import create_app, openapi
from common import blobs
from common.config import Settings
from common.dispatch import RecordingDispatcher
from common.jobstore import JobStore
from common.runtime import Runtime
from tests.common import valkey

EXAMPLES = int(os.environ.get("FRAMEMILL_FUZZ", "6"))
# Keys are off here, and some rules stand between fields or are the store's (cursors,
# keys used before): such requests are refused although the schema allows them.
EXCLUDED = [ignored_auth, positive_data_acceptance]
# tus 1.0 answers 412 where its version header is missing, to whatever method.
TUS = [missing_required_header, negative_data_rejection, unsupported_method]


@schemathesis.serializer("application/offset+octet-stream")
def write_bytes(_ctx: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def make_app() -> Flask:
    folder = Path(tempfile.mkdtemp(prefix="framemill-fuzz-"))
    port = valkey.free_port()
    atexit.register(valkey.start(folder, port).kill)
    world = Settings(
        api={"auth": False, "secret": "s" * 40},
        store={"url": f"redis://127.0.0.1:{port}/0"},
        blobs={"path": folder / "blobs"},
    )
    store = JobStore.connect(world)
    return create_app(
        Runtime(world, store, blobs.connect(world), RecordingDispatcher())
    )


# Schemathesis cannot take its schema from a fixture under pytest 9, and the store must
# not start before a test of it runs.
schema = schemathesis.openapi.from_dict(openapi.document())


@pytest.fixture(scope="module")
def app() -> Flask:
    return make_app()


@pytest.mark.contract
@pytest.mark.timeout(1800)
@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_given_any_request_then_the_answer_is_as_documented(
    app: Flask, case: Any
) -> None:
    if "Prefer" in (case.headers or {}):
        case.headers["Prefer"] = "wait=0"
    tus = case.path.startswith("/v1/tus")
    case.call_and_validate(app=app, excluded_checks=EXCLUDED + TUS * tus)
