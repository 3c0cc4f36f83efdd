"""Line 20: a web page cannot end the workers through the Flower of ``./dev``."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.acceptance.service import Service

CONTROLS = (
    "/api/worker/shutdown/framemill@localhost",
    "/api/worker/pool/shrink/framemill@localhost?n=1",
    "/api/worker/pool/grow/framemill@localhost?n=1",
    "/api/task/revoke/00000000-0000-0000-0000-000000000000",
    "/api/task/async-apply/framemill.render",
)


@pytest.fixture
def flower(tree: Path, service: Service) -> str:
    return str(service.state["flower"])


@pytest.mark.parametrize("path", CONTROLS)
def test_a_form_of_another_site_changes_nothing(flower: str, path: str) -> None:
    request = urllib.request.Request(
        flower + path,
        data=b"",
        headers={
            "Origin": "https://elsewhere.example",
            "Content-Type": "application/x-www-form-urlencoded",
        },
    )

    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=30)

    assert caught.value.code == 401


def test_it_shows_the_worker_all_the_same(flower: str) -> None:
    with urllib.request.urlopen(f"{flower}/workers", timeout=30) as answer:
        assert b"framemill@" in answer.read()
