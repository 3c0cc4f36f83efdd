"""``framemill batch`` against a real server."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from api.cli import Client, Refused
from api.cli.client import Progress
from api.cli.main import main
from api.cli.origins import find_origins
from api.cli.results import BatchFolder
from tests.api.batches.test_routes import expand
from tests.api.cli.test_main import clip, server
from tests.api.conftest import Context

__all__ = ["clip", "server"]  # fixtures


def made(context: Context) -> Any:
    """Return the record of the one batch that there is."""
    (record,) = context.runtime.store.batches()[0]
    return record


def test_given_files_and_keys_then_each_is_a_source(
    context: Context, server: str, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["batch", str(clip), "s3://framemill/films/a b.mp4", "--server", server]
    assert main([*words, "--json", "--metadata", "[1]"]) == 0
    printed = capsys.readouterr().out
    batch = json.loads(printed[printed.index("{\n") :])
    assert (batch["total"], batch["metadata"]) == (2, [1])
    first, second = context.runtime.store.batch_sources(batch["id"], 0, 9)
    assert (first.kind, first.size, first.name) == ("upload", 600_000, clip.name)
    assert (second.bucket, second.key) == ("framemill", "films/a b.mp4")


def test_a_file_that_is_there_twice_is_made_once_and_said_so(
    context: Context, server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, content in (("a.mp4", b"one"), ("b.mp4", b"two"), ("c.mp4", b"one")):
        (tmp_path / name).write_bytes(content)

    main(["batch", str(tmp_path), "--server", server])

    record = made(context)
    sources = context.runtime.store.batch_sources(record.id, 0, 9)
    assert [source.name for source in sources] == ["a.mp4", "b.mp4"]
    first, copy = tmp_path / "a.mp4", tmp_path / "c.mp4"
    assert f"{copy} has the same content as {first}" in capsys.readouterr().err


def test_given_a_prefix_then_it_is_the_services_to_list(
    context: Context, server: str
) -> None:
    words = ["batch", "--prefix", "s3://framemill/films/", "--suffix", ".mp4"]
    assert main([*words, "--server", server]) == 0
    place = {"bucket": "framemill", "prefix": "films/", "suffix": ".mp4"}
    assert made(context).prefix == place


def test_given_wait_then_the_code_is_that_of_the_batchs_end(
    context: Context, server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        while not (found := context.runtime.store.batches()[0]):
            threading.Event().wait(0.05)
        good, bad = expand(context, found[0].id)
        context.make(good)
        context.runtime.store.cancel(bad)

    worker = threading.Thread(target=work)
    worker.start()
    words = ["batch", "s3://framemill/a", "s3://framemill/b", "--wait"]
    code = main([*words, "--server", server])
    worker.join(60)
    assert code == 3
    printed = capsys.readouterr().out
    assert "\npartial http" in printed
    assert "  1 completed\n  1 cancelled\n" in printed


def test_a_prefix_without_objects_ends_with_the_services_warning(
    context: Context, server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        while not (found := context.runtime.store.batches()[0]):
            threading.Event().wait(0.05)
        claim = context.claim(f"{found[0].id}:batch")
        nothing = ["no object was found"]
        context.runtime.store.end_stage(claim, "expand", warnings=nothing)

    worker = threading.Thread(target=work)
    worker.start()
    words = ["batch", "--prefix", "s3://framemill/nothing/", "--wait"]
    assert main([*words, "--server", server]) == 0
    worker.join(60)
    captured = capsys.readouterr()
    assert "warning: no object was found\n" in captured.err
    assert "warning" not in captured.out


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
    context: Context, server: str, words: list[str]
) -> None:
    assert main(["batch", *words, "--server", server]) == 2
    assert context.runtime.store.batches()[0] == []


def test_given_a_refusal_then_code_4_and_the_faults(
    server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["batch", "s3://another/a", "--server", server]) == 4
    assert "/sources/0/s3/bucket" in capsys.readouterr().err


def test_given_a_folder_then_its_files_are_the_sources_but_no_hidden_ones(
    context: Context, server: str, tmp_path: Path
) -> None:
    for name in ("b.mp4", "a.mp4", "a.txt", ".hidden.mp4", "sub/c.mp4"):
        path = tmp_path / "films" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(name.encode() * 9)
    words = ["batch", str(tmp_path / "films"), "--suffix", ".mp4", "--server", server]
    assert main(words) == 0
    sources = context.runtime.store.batch_sources(made(context).id, 0, 9)
    assert [source.name for source in sources] == ["a.mp4", "b.mp4", "c.mp4"]


def test_given_a_file_that_is_refused_then_the_others_are_made_and_it_is_named(
    context: Context,
    server: str,
    clip: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    large = clip.with_name("large.mp4")
    large.write_bytes(b"y" * 700_000)
    send = Client.upload

    def upload(client: Client, file: Path, progress: Progress) -> str:
        if file == large:
            raise Refused(413, {"detail": "the file is too large"})
        return send(client, file, progress)

    monkeypatch.setattr(Client, "upload", upload)
    assert main(["batch", str(clip), str(large), "--server", server]) == 3
    assert "large.mp4: refused: the file is too large" in capsys.readouterr().out
    (source,) = context.runtime.store.batch_sources(made(context).id, 0, 9)
    assert source.name == clip.name


def test_given_other_outputs_then_a_folder_of_results_is_not_mixed(
    context: Context, server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["batch", "s3://framemill/a", "--server", server, "-o", str(tmp_path)]
    assert main([*words, "--timeout", "0.1"]) == 5
    assert main([*words, "--metadata", "1"]) == 2
    assert "holds the results of other outputs" in capsys.readouterr().err


def test_given_a_rerun_then_only_what_is_missing_is_submitted(
    context: Context, server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["batch", "--server", server, "-o", str(tmp_path), "--timeout", "0.1"]
    assert main([*words, "s3://framemill/a", "s3://framemill/b"]) == 5
    jobs = [context.runtime.store.get(one) for one in expand(context, made(context).id)]
    good, bad = [one.id for one in sorted(jobs, key=lambda one: one.source.key)]
    context.make(good)
    context.runtime.store.cancel(bad)
    capsys.readouterr()

    assert main([*words, "s3://framemill/a"]) == 0
    said = capsys.readouterr().out.splitlines()[-1]
    assert said == "completed: 1 of 1 made, 1 of them by earlier runs, nothing new"
    folder = tmp_path / "a"
    assert sorted(path.name for path in folder.glob("*/*"))

    assert main([*words, "s3://framemill/a", "--json"]) == 0
    printed = capsys.readouterr().out
    document = json.loads(printed[printed.index("{\n") :])
    assert (document["batch"], document["detail"]) == (None, said)
    assert [job["id"] for job in document["jobs"]] == [good]

    assert main([*words, "s3://framemill/a", "s3://framemill/b"]) == 5
    newest = context.runtime.store.batches()[0][0]
    (source,) = context.runtime.store.batch_sources(newest.id, 0, 9)
    assert source.key == "b"
    captured = capsys.readouterr()
    assert "earlier runs took 1 of 2; missing: s3://framemill/b\n" in captured.err
    assert "\nprocessing: 1 of 2 made, 1 of them by earlier runs, 1 not ended" in (
        captured.out
    )


def test_given_a_rerun_of_a_partial_batch_then_it_says_what_is_still_missing(
    context: Context, server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["batch", "--server", server, "-o", str(tmp_path)]
    words += ["s3://framemill/a", "s3://framemill/b"]
    assert main([*words, "--timeout", "0.1"]) == 5
    for one in expand(context, made(context).id):
        if context.runtime.store.get(one).source.key == "a":
            context.make(one)
        else:
            context.runtime.store.cancel(one)

    def cancel_again() -> None:
        while len(found := context.runtime.store.batches()[0]) == 1:
            threading.Event().wait(0.05)
        context.runtime.store.cancel(expand(context, found[0].id)[0])

    worker = threading.Thread(target=cancel_again)
    worker.start()
    capsys.readouterr()
    assert main(words) == 3
    worker.join(60)

    said = capsys.readouterr().out.splitlines()[-2:]
    assert said == [
        "partial: 1 of 2 made, 1 of them by earlier runs, 1 missing",
        "  b: cancelled",
    ]


def test_given_uploads_of_a_run_that_was_cut_off_then_they_are_not_sent_again(
    context: Context, server: str, clip: Path, tmp_path: Path
) -> None:
    folder, client = BatchFolder.open(tmp_path / "out", {}), Client(server)
    (origin,) = find_origins([str(clip)], "")
    folder.remember_upload(origin, client.upload(clip, lambda _: None))

    again = BatchFolder.open(tmp_path / "out", {})
    upload = again.upload_of(origin, client)
    assert upload is not None
    assert client.is_uploaded(upload)

    again.remember_upload(origin, "0" * 32)
    assert again.upload_of(origin, client) is None, "it is gone"
