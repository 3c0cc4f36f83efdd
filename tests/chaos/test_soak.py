"""The soak sees what grows, and a short one runs to its end."""

from __future__ import annotations

import json

import pytest

from tests.chaos import soak, usage


def samples(values: list[float], what: str = "keys") -> list[usage.Sample]:
    return [{(what, "store"): value} for value in values]


def test_what_grows_by_more_than_its_bound_is_shown_and_fails():
    (flat,) = usage.rows(samples([100, 140, 90, 110, 100, 95, 128, 100]))
    (grown,) = usage.rows(samples([100, 101, 110, 120, 130, 140, 150, 160]))

    assert flat.passes
    assert not grown.passes
    assert "**grew**" not in usage.table([flat])
    assert "**grew**" in usage.table([grown])


def test_what_is_rewritten_at_a_size_may_reach_it():
    sizes = [1.0, 20.0, 50.0, 100.0]
    (row,) = usage.rows(samples(sizes, "append-only file, MiB"))
    (over,) = usage.rows(samples([*sizes[:3], 129.0], "append-only file, MiB"))

    assert row.passes
    assert not over.passes


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_a_short_soak_measures_every_part(tmp_path, monkeypatch):
    monkeypatch.setattr(soak, "PAUSE_SECONDS", 1.0)
    soak.soak(tmp_path, 0.4, drained=False)

    lines = (tmp_path / "samples.jsonl").read_text().splitlines()
    last = json.loads(lines[-1])
    parts = {"api", "worker", "reaper", "broker", "store", "s3", "flower"}
    assert len(lines) > 10
    assert {f"RSS, MiB | {part}" for part in parts} <= set(last)
    assert all(last[f"threads | {part}"] > 0 for part in parts)
    table = (tmp_path / "table.md").read_text()
    assert "went wrong: 0\n" in table, table
    for way in ("upload", "still", "object", "resumable"):
        assert f"  {way}: completed\n" in table, table
    assert "  invalid: failed\n" in table, table
