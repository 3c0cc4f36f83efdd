"""``framemill batch`` against a real server."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from api.cli import main
from tests.api.conftest import World
from tests.api.test_batches import expand
from tests.api.test_cli import clip, server

__all__ = ["clip", "server"]  # fixtures


def made(world: World) -> Any:
    """Give the record of the one batch that there is."""
    (record,) = world.runtime.store.batches()[0]
    return record


def test_given_files_and_keys_then_each_is_a_source(
    world: World, server: str, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["batch", str(clip), "s3://framemill/films/a b.mp4", "--server", server]
    assert main([*words, "--json", "--metadata", "[1]"]) == 0
    printed = capsys.readouterr().out
    batch = json.loads(printed[printed.index("{\n") :])
    assert (batch["total"], batch["metadata"]) == (2, [1])
    first, second = world.runtime.store.batch_sources(batch["id"], 0, 9)
    assert (first.kind, first.size, first.name) == ("upload", 600_000, clip.name)
    assert (second.bucket, second.key) == ("framemill", "films/a b.mp4")


def test_given_a_prefix_then_it_is_the_services_to_list(
    world: World, server: str
) -> None:
    words = ["batch", "--prefix", "s3://framemill/films/", "--suffix", ".mp4"]
    assert main([*words, "--server", server]) == 0
    place = {"bucket": "framemill", "prefix": "films/", "suffix": ".mp4"}
    assert made(world).prefix == place


def test_given_wait_then_the_code_is_that_of_the_batchs_end(
    world: World, server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        while not (found := world.runtime.store.batches()[0]):
            threading.Event().wait(0.05)
        good, bad = expand(world, found[0].id)
        world.make(good)
        world.runtime.store.cancel(bad)

    worker = threading.Thread(target=work)
    worker.start()
    words = ["batch", "s3://framemill/a", "s3://framemill/b", "--wait"]
    code = main([*words, "--server", server])
    worker.join(60)
    assert code == 3
    printed = capsys.readouterr().out
    assert "\npartial http" in printed
    assert "  1 completed\n  1 cancelled\n" in printed


def test_given_a_batch_that_does_not_end_when_time_is_up_then_code_5(
    server: str,
) -> None:
    words = ["batch", "s3://framemill/a", "--wait", "--timeout", "0.1"]
    assert main([*words, "--server", server]) == 5


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["a.mp4", "--prefix", "s3://framemill/x"],
        ["--prefix", "framemill/x"],
        ["s3://framemill/a", "--suffix", ".mp4"],
        ["s3://framemill"],
        ["s3://framemill/a", "no such file.mp4"],
    ],
)
def test_given_no_sources_that_can_be_then_code_2_and_no_batch(
    world: World, server: str, words: list[str]
) -> None:
    assert main(["batch", *words, "--server", server]) == 2
    assert world.runtime.store.batches()[0] == []


def test_given_a_refusal_then_code_4_and_the_faults(
    server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["batch", "s3://another/a", "--server", server]) == 4
    assert "/sources/0/s3/bucket" in capsys.readouterr().err
