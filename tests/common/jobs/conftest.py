"""Installations whose job store can be lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.common.jobs.installation import Installation
from tests.common.jobs.store.context import StoreContext


@pytest.fixture
def make_installation(
    make_store_context: Callable[..., StoreContext],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Installation]:
    monkeypatch.setattr("common.jobs.reconcile._UNDER_WAY_SECONDS", 0)

    def make(**sections: Any) -> Installation:
        given = {"blobs": {"path": tmp_path / "blobs"}, "api": {"secret": "x" * 32}}
        return Installation(make_store_context(**(given | sections)))

    return make


@pytest.fixture
def installation(make_installation: Callable[..., Installation]) -> Installation:
    return make_installation()
