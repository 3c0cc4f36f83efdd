"""One running service for all end-to-end tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.allinone import AllInOne, running


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AllInOne]:
    with running(tmp_path_factory.mktemp("allinone")) as one:
        yield one
