"""Fuzzing against the OpenAPI document: no 500, no answer that it does not describe.

The default run is short. ``FRAMEMILL_FUZZ=400 pytest -m contract`` does over 2,000
cases.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import fakeredis
import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

from api import create_app
from common import blobs
from common.config import Settings
from common.dispatch import RecordingDispatcher
from common.jobstore import JobStore
from common.runtime import Runtime

EXAMPLES = int(os.environ.get("FRAMEMILL_FUZZ", "12"))
# Keys are off here, and some rules stand between fields or are the store's (cursors,
# keys used before): such requests are refused although the schema allows them.
EXCLUDED = [ignored_auth, positive_data_acceptance]


def make_app() -> Flask:
    world = Settings(
        api={"auth": False, "secret": "s" * 40},
        blobs={"path": Path(tempfile.mkdtemp(prefix="framemill-fuzz-"))},
    )
    client = fakeredis.FakeRedis(decode_responses=True)
    store = JobStore(world, client)
    return create_app(
        Runtime(world, store, blobs.connect(world), RecordingDispatcher())
    )


# Schemathesis cannot take its schema from a fixture under pytest 9.
schema = schemathesis.openapi.from_wsgi("/openapi.json", make_app())


@pytest.mark.contract
@pytest.mark.timeout(1800)
@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_given_any_request_then_the_answer_is_as_documented(case: Any) -> None:
    if "Prefer" in (case.headers or {}):
        case.headers["Prefer"] = "wait=0"
    case.call_and_validate(excluded_checks=EXCLUDED)
