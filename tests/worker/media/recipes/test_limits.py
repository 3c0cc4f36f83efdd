"""``max_bytes`` on a few clips; ``limits.py`` is the command for all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.worker.media.recipes import limits
from worker.media.engine import Engine


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    names = ("ribbon", "tiny", "clear", "footage")
    return dict(limits.clips(tmp_path_factory.mktemp("clips"), names))


@pytest.mark.parametrize(
    ("clip", "kind", "share"),
    [
        ("footage", "gif", 0.1),
        ("footage", "webp", 0.4),
        ("footage", "mp4", 0.6),
        ("footage", "avif", 0.5),
        ("tiny", "webm", 0.6),
        ("tiny", "gif", 0.5),
        ("clear", "webp", 0.4),
        ("ribbon", "gif", 0.3),
    ],
)
def test_the_best_trial_under_the_limit_is_the_result(
    clip: str,
    kind: str,
    share: float,
    sources: dict[str, Path],
    engine: Engine,
    tmp_path: Path,
) -> None:
    bench = limits.Bench(engine, tmp_path, duration=1.5)

    row = bench.row(clip, sources[clip], kind, share)

    assert row.faults == []
    assert row.bytes >= 0.5 * row.limit
