"""The command line against a real server, and the operators' commands."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from werkzeug.serving import make_server

from api.cli import display, local_service
from api.cli.main import main
from common.access.keys import Keys
from common.jobs.store import JobStore, Opening
from common.model import ErrorInfo, MediaInfo
from common.redis.client import open_client
from tests.api.conftest import Context

Make = Callable[..., Context]
DEAD = ErrorInfo(code="worker_lost", title="Lost", detail="x").model_dump_json()


@contextmanager
def serving(context: Context) -> Iterator[str]:
    app = context.client.application
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(60)


@pytest.fixture
def server(context: Context) -> Iterator[str]:
    with serving(context) as url:
        yield url


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / 'cl"ip é.mp4'
    path.write_bytes(b"x" * 600_000)
    return path


@pytest.fixture
def running_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    """A ``./dev`` that runs in the checkout, by its lock; yields its settings."""
    its = {
        "FRAMEMILL_STORE_URL": "redis://127.0.0.1:1/0",
        "FRAMEMILL_BLOBS_BACKEND": "s3",
    }
    document = {"api": "http://127.0.0.1:1", "settings": its}
    (tmp_path / "state.json").write_text(json.dumps(document))
    monkeypatch.setattr(local_service, "DATA", tmp_path)
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield its


@pytest.fixture
def operator(context: Context, monkeypatch: pytest.MonkeyPatch) -> Context:
    store = context.runtime.settings.store
    monkeypatch.setenv("FRAMEMILL_STORE_URL", store.url)
    monkeypatch.setenv("FRAMEMILL_STORE_PREFIX", store.prefix)
    monkeypatch.setenv("FRAMEMILL_API_SECRET", context.runtime.settings.api.secret)
    return context


def test_a_service_that_the_environment_names_gets_nothing_of_one_that_runs_here(
    operator: Context, running_here: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keys", "create", "bob"]) == 0

    assert main(["keys", "list"]) == 0
    assert '"bob"' in capsys.readouterr().out
    assert running_here.keys() & os.environ.keys() == {"FRAMEMILL_STORE_URL"}


def test_two_services_at_once_are_refused(
    operator: Context,
    running_here: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["keys", "list", "--data", str(tmp_path)]) == 2

    assert "FRAMEMILL_STORE_URL and --data name two services" in capsys.readouterr().err


def test_given_a_file_when_submitted_then_the_job_is_told(
    context: Context, server: str, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["submit", str(clip), "--server", server, "--json"]
    assert main([*words, "--metadata", '{"a":1}']) == 0
    printed = capsys.readouterr().out
    job = json.loads(printed[printed.index("{\n") :])
    assert job["source"]["bytes"] == 600_000
    assert job["source"]["name"] == clip.name
    assert job["metadata"] == {"a": 1}


def test_given_wait_and_a_folder_when_the_job_ends_then_its_files_are_there(
    context: Context,
    server: str,
    clip: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def work() -> None:
        while not (jobs := context.runtime.store.list()[0]):
            threading.Event().wait(0.05)
        context.make(jobs[0].id)

    worker = threading.Thread(target=work)
    worker.start()
    folder = tmp_path / "out"
    code = main(["submit", str(clip), "--server", server, "-o", str(folder)])
    worker.join(60)
    assert code == 0
    names = sorted(str(path.relative_to(folder)) for path in folder.glob("*/*"))
    assert names == ["animation/animation.bin", "thumbnail/thumbnail.bin"]
    assert (folder / names[0]).read_bytes() == b"GIF"
    captured = capsys.readouterr()
    shown = [line for line in captured.out.splitlines() if line.startswith("    ")]
    assert sorted(shown) == [f"    {folder / name}" for name in names], "no URL, too"
    assert "saved" not in captured.err


def test_warnings_and_hints_are_told_on_standard_error_each_once(
    context: Context, server: str, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = context.runtime.store
    error = ErrorInfo(code="no_frame", title="t", detail="none", hint="ask for sound")

    def work() -> None:
        while not (jobs := store.list()[0]):
            threading.Event().wait(0.05)
        job = jobs[0]
        opened = {output.name: Opening() for output in job.outputs}
        claim = context.claim(f"{job.id}:prepare")
        media = MediaInfo(container="mp4", duration=4.0)
        store.open(claim, media, job.source, opened, ["damaged", "of_tomorrow"])
        for output in job.outputs:
            claim = context.claim(f"{job.id}:o:{output.name}")
            store.release(claim, "fatal", error=error)

    worker = threading.Thread(target=work)
    worker.start()
    assert main(["submit", str(clip), "--server", server, "--wait"]) == 1
    worker.join(60)
    captured = capsys.readouterr()
    told = [line for line in captured.err.splitlines() if "job" not in line]
    assert told == [
        "warning: damaged: Parts of the video could not be decoded.",
        "warning: of_tomorrow",
        "hint: ask for sound",
    ]
    assert "  thumbnail: failed (no_frame: none)" in captured.out


def test_given_a_job_that_does_not_end_when_time_is_up_then_code_5(
    server: str, clip: Path
) -> None:
    words = ["submit", str(clip), "--server", server, "--wait", "--timeout", "0.1"]
    assert main(words) == 5


def test_given_a_refusal_then_code_4_and_the_faults(
    server: str, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["submit", str(clip), "--server", server]
    assert main([*words, "--outputs", '[{"kind":"film"}]']) == 4
    told = capsys.readouterr().err
    assert told.startswith("refused: /outputs/0/kind: ")
    assert "thumbnail" in told, "what would be right"
    assert told.count("\n") == 1, "and no fault twice"
    assert main([*words, "--outputs", '[{"kind":"film"}, {"kind":"clip"}]']) == 4
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "refused: the request has 2 faults"
    assert [line.split(": ")[0] for line in told[1:]] == [
        "  /outputs/0/kind",
        "  /outputs/1/kind",
    ]


def test_submit_takes_an_address_as_it_is(
    make_context: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    context = make_context(source={"urls": True})
    url = "https://a.example//films/a.mp4?b=//c"
    with serving(context) as server:
        words = ["submit", url, "s3://framemill/films/a b.mp4", "--server", server]
        assert main([*words, "--json"]) == 0
    printed = capsys.readouterr().out
    by_url, by_key = json.loads(printed[printed.index("[\n") :])
    assert context.runtime.store.get(by_url["id"]).source.url == url
    assert by_key["source"]["key"] == "films/a b.mp4"


@pytest.mark.parametrize("source", ["s3://framemill", "s3:///key", "none.mp4"])
def test_submit_checks_every_source_before_it_sends_one(
    context: Context, server: str, clip: Path, source: str
) -> None:
    assert main(["submit", str(clip), source, "--server", server]) == 2
    assert context.runtime.store.list("") == ([], None)


def test_submit_of_a_folder_points_to_batch_as_it_is_called_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["submit", str(tmp_path)]) == 2
    assert f"{tmp_path} is a folder: ./framemill batch {tmp_path}" in (
        capsys.readouterr().err
    )


def test_without_a_terminal_a_wait_says_where_the_job_is_and_how_far(
    server: str,
    clip: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(display, "_LINE_SECONDS", 0)
    words = ["submit", str(clip), "--server", server, "--wait", "--timeout", "0.1"]
    assert main(words) == 5
    told = capsys.readouterr().err.splitlines()
    assert "upload: 100%" in told
    assert any(f" is accepted: {server}/v1/jobs/" in line for line in told)
    assert "work: 0%" in told


def test_a_job_before_one_that_is_refused_is_named(
    server: str,
    clip: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["submit", str(clip), "s3://another/a", "--server", server]
    assert main(words) == 4
    assert f" goes on: {server}/v1/jobs/" in capsys.readouterr().err


def test_submit_says_which_file_each_of_several_jobs_is_of(
    server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [tmp_path / name for name in ("good.mp4", "bad.mp4")]
    for file in files:
        file.write_bytes(file.name.encode())

    main(["submit", *map(str, files), "--server", server])

    shown = [line for line in capsys.readouterr().out.splitlines() if "/jobs/" in line]
    places = [line.split(": ")[0] for line in shown]
    assert places == [str(file) for file in files]


@pytest.mark.parametrize("command", ["submit", "batch"])
def test_a_timeout_without_a_wait_is_refused(
    command: str, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, str(clip), "--timeout", "9"]) == 2
    assert capsys.readouterr().err == (
        "--timeout limits a wait: add --wait or -o FOLDER\n"
    )


@pytest.mark.parametrize("server", ["127.0.0.1:9", "localhost:9", "ftp://a.example"])
def test_a_server_without_http_is_refused_with_what_would_be_right(
    server: str, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["submit", str(clip), "--server", server]) == 2
    host = server.removeprefix("ftp://")
    assert capsys.readouterr().err.endswith(f": write http://{host}\n")


def test_no_option_may_be_abbreviated(
    clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["submit", str(clip), "--output", "[]"])
    assert stop.value.code == 2
    assert "unrecognized arguments: --output" in capsys.readouterr().err


def test_given_no_server_then_code_4(clip: Path) -> None:
    assert main(["submit", str(clip), "--server", "http://127.0.0.1:9"]) == 4


@pytest.mark.parametrize("command", ["submit", "batch"])
def test_data_where_no_dev_runs_is_refused_rather_than_port_8000_asked(
    command: str, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for data in (tmp_path, tmp_path / "none"):
        assert main([command, str(clip), "--data", str(data)]) == 2
        assert capsys.readouterr().err.startswith(f"no ./dev runs on {data}: ")


def test_given_a_folder_that_cannot_be_then_code_2_and_no_job(
    server: str, clip: Path, context: Context
) -> None:
    words = ["submit", str(clip), "--server", server, "-o", str(clip / "out")]
    assert main(words) == 2
    assert context.runtime.store.list("") == ([], None)


def test_given_no_file_then_code_2(server: str, tmp_path: Path) -> None:
    assert main(["submit", str(tmp_path / "none"), "--server", server]) == 2


def test_given_a_key_made_by_command_then_it_is_listed_until_revoked(
    operator: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["keys", "create", "tests", "--owner", "anna", "--scope", "read"]
    assert main([*words, "--jobs-per-day", "5"]) == 0
    token = capsys.readouterr().out.strip()
    admission = Keys.connect(operator.runtime.settings).admit(token)
    assert admission is not None
    assert (admission.key.owner, admission.key.scopes) == ("anna", ["read"])
    assert main(["keys", "list"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert (listed["id"], listed["jobs_per_day"]) == (admission.key.id, 5)
    assert token not in json.dumps(listed)
    assert main(["keys", "revoke", listed["id"]]) == 0
    assert f"the key {listed['id']} is revoked" in capsys.readouterr().err
    assert main(["keys", "revoke", listed["id"]]) == 4


def make_key(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[str, str]:
    """Make a key by command; gives its id and the key itself."""
    assert main(["keys", "create", "tests", *words]) == 0
    captured = capsys.readouterr()
    return captured.err.split()[1], captured.out.strip()


def test_given_changed_limits_then_the_others_stay(
    operator: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--jobs-per-day", "5", "--jobs-at-once", "2", "--bucket", "b"]
    key_id, token = make_key(capsys, *words)
    changed = [
        "--jobs-per-day",
        "none",
        "--destination",
        "results/x/",
        "--bucket",
        "none",
    ]
    assert main(["keys", "limits", key_id, *changed]) == 0
    admission = Keys.connect(operator.runtime.settings).admit(token)
    assert admission is not None
    assert (admission.key.jobs_per_day, admission.key.jobs_at_once) == (None, 2)
    assert (admission.key.destinations, admission.key.buckets) == (["results/x/"], [])


@pytest.mark.parametrize("words", [[], ["--jobs-per-day", "0"], ["--scope", "root"]])
def test_given_no_valid_change_then_code_2_and_the_key_stays(
    operator: Context, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    key_id, _ = make_key(capsys, "--jobs-per-day", "5")
    assert main(["keys", "limits", key_id, *words]) == 2
    record = Keys.connect(operator.runtime.settings).find(key_id)
    assert (record.jobs_per_day, record.scopes) == (5, ["submit", "read"])


@pytest.mark.parametrize("option", ["--burst", "--scope"])
def test_a_limit_that_every_key_has_cannot_be_none(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["keys", "limits", "x", option, "none"])
    assert stop.value.code == 2
    assert f"argument {option}: cannot be none: " in capsys.readouterr().err


def test_given_a_rotated_key_then_the_new_secret_alone_opens(
    operator: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    key_id, old = make_key(capsys)
    assert main(["keys", "rotate", key_id]) == 0
    new = capsys.readouterr().out.strip()
    keys = Keys.connect(operator.runtime.settings)
    assert keys.admit(old) is None
    admission = keys.admit(new)
    assert admission is not None
    assert admission.key.id == key_id
    assert main(["keys", "revoke", key_id]) == 0
    assert keys.admit(new) is None


def test_given_a_webhook_by_command_then_it_is_listed_without_its_secret(
    operator: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    key_id, _ = make_key(capsys)
    url = "https://example.org/hook?token=x"
    assert main(["keys", "webhook", key_id, url, "--event", "job.*"]) == 0
    secret = capsys.readouterr().out.strip()
    assert secret.startswith("whsec_")
    main(["keys", "list"])
    printed = capsys.readouterr().out
    (webhook,) = json.loads(printed)["webhooks"]
    assert (webhook["events"], webhook["url"]) == (
        ["job.*"],
        "https://example.org/hook?***",
    )
    assert secret not in printed
    assert main(["keys", "unhook", key_id, webhook["id"]]) == 0
    assert f"webhook {webhook['id']} is removed" in capsys.readouterr().err
    assert main(["keys", "unhook", key_id, webhook["id"]]) == 4


def test_given_an_event_that_does_not_exist_then_the_command_names_those_that_do(
    operator: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    key_id, _ = make_key(capsys)
    hook = ["keys", "webhook", key_id, "https://a.b/", "--event", "job.complete"]
    assert main(hook) == 2
    said = capsys.readouterr().err
    assert "'job.complete' is not an event; did you mean 'job.completed'?" in said
    assert "output.succeeded" in said
    main(["keys", "list"])
    assert "a.b" not in capsys.readouterr().out


def test_given_no_such_key_or_address_then_it_is_said(operator: Context) -> None:
    assert main(["keys", "limits", "nobody", "--burst", "2"]) == 4
    assert main(["keys", "rotate", "nobody"]) == 4
    assert main(["keys", "webhook", "nobody", "ftp://x"]) == 2
    assert main(["keys", "webhook", "nobody", "https://a.b/"]) == 4


def test_given_a_bad_limit_then_code_2(
    operator: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keys", "create", "x", "--jobs-per-day", "0"]) == 2
    assert "--jobs-per-day: " in capsys.readouterr().err


def test_given_no_dead_tasks_then_the_list_is_empty(
    operator: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dead"]) == 0
    assert capsys.readouterr() == ("", "no task has failed for good\n")
    assert main(["redrive"]) == 0
    assert capsys.readouterr() == ("", "no task has failed for good\n")


def test_given_an_unknown_task_when_redriven_then_code_4(operator: Context) -> None:
    assert main(["redrive", f"{'0' * 32}:prepare"]) == 4


def test_a_dead_task_is_struck_off_by_name_or_with_all(
    operator: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = operator.runtime.settings
    store, client = JobStore.connect(settings), open_client(settings)
    prefix = settings.store.prefix
    for name in ("a", "b", "c"):
        client.zadd(f"{prefix}dead", {f"{name}:prepare": 1})
        info = {"job": name, "owner": "", "error": DEAD, "output": ""}
        client.hset(f"{prefix}dead:info", f"{name}:prepare", json.dumps(info))
    assert len(store.dead()) == 3
    assert main(["purge", "a:prepare"]) == 0
    assert capsys.readouterr().out == "1 struck off\n"
    assert main(["purge", "a:prepare"]) == 4
    assert {one.task for one in store.dead()} == {"b:prepare", "c:prepare"}
    assert main(["purge", "--all"]) == 0
    assert store.dead() == []


def test_what_is_to_be_struck_off_must_be_said(
    operator: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["purge"])
    assert "--all" in capsys.readouterr().err
