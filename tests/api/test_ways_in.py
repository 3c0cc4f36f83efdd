"""Direct and resumable uploads over real HTTP, on local files and on rclone's S3.

The server is gunicorn, killed and started again where a test says so.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from tusclient.client import TusClient

from common.blobs import connect
from common.blobs.base import PART_BYTES, BlobStore
from common.config import Settings
from common.jobstore import JobStore
from common.uploads import NewUpload, Uploads
from tests.common import valkey

HERE = Path(__file__).parent
KEYS = ("ways", "ways-secret")
MIB = 1024 * 1024
# Read before a fixture takes away what the shell has set.
NODE_MODULES = os.environ.get("FRAMEMILL_TEST_NODE_MODULES", "node_modules")
TUS = {"Tus-Resumable": "1.0.0"}
OCTETS = {"Content-Type": "application/offset+octet-stream"}
_NUMBERS = itertools.count(1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(argv: list[str], port: int, environ: dict[str, str]) -> Any:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("FRAMEMILL_")}
    root = HERE.parent.parent
    process = subprocess.Popen(
        argv, cwd=root, env={**kept, **environ}, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 20
    while True:
        assert process.poll() is None, f"{argv[0]} ended"
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return process
        assert time.monotonic() < deadline, f"{argv[0]} does not listen"
        time.sleep(0.02)


def refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 0.2).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


@dataclass
class Server:
    """gunicorn with the upload routes."""

    environ: dict[str, str]
    port: int = field(default_factory=free_port)
    process: Any = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def begin(self) -> None:
        gunicorn = str(Path(sys.executable).parent / "gunicorn")
        argv = [gunicorn, "--pythonpath", f"{HERE.parent.parent},{HERE}"]
        argv += ["-k", "gthread", "--threads", "8", "-b", f"127.0.0.1:{self.port}"]
        argv += ["ways_in_server:load()"]
        self.process = start(argv, self.port, self.environ)

    def kill(self) -> None:
        """kill -9 the worker first (it serves), then the master."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        pids = [int(pid) for pid in children.read_text().split()]
        os.kill(self.process.pid, signal.SIGKILL)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(10)
        # A dying worker holds the port for a while.
        await_true(lambda: refused(self.port))

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with valkey.running(tmp_path_factory.mktemp("valkey")) as (url, _):
        yield url


@pytest.fixture(scope="session")
def storages(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, dict[str, str]]]:
    folder = tmp_path_factory.mktemp("rclone")
    (folder / "framemill").mkdir()
    port = free_port()
    argv = [str(Path(sys.executable).parent / "rclone"), "--config", "/dev/null"]
    argv += ["serve", "s3", str(folder), "--addr", f"127.0.0.1:{port}"]
    process = start([*argv, "--auth-key", ",".join(KEYS)], port, {})
    yield {
        "local": {"FRAMEMILL_BLOBS_PATH": str(tmp_path_factory.mktemp("blobs"))},
        "rclone": {
            "FRAMEMILL_BLOBS_BACKEND": "s3",
            "FRAMEMILL_S3_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "FRAMEMILL_S3_ACCESS_KEY_ID": KEYS[0],
            "FRAMEMILL_S3_SECRET_ACCESS_KEY": KEYS[1],
        },
    }
    process.terminate()
    process.wait(10)


@dataclass
class World:
    server: Server
    settings: Settings
    blobs: BlobStore
    store: JobStore
    uploads: Uploads

    def blob(self, upload_id: str) -> bytes:
        return b"".join(self.blobs.read(f"in/{upload_id}/source"))

    def leftovers(self, upload_id: str) -> list[str]:
        return [info.key for info in self.blobs.list(f"in/{upload_id}/")]


@pytest.fixture(scope="session", params=["local", "rclone"])
def world(
    request: pytest.FixtureRequest,
    redis_url: str,
    storages: dict[str, dict[str, str]],
) -> Iterator[World]:
    environ = {
        **storages[request.param],
        "FRAMEMILL_STORE_URL": redis_url,
        "FRAMEMILL_STORE_PREFIX": f"w{next(_NUMBERS)}:",
        "FRAMEMILL_API_SECRET": "ways-in-secret-" * 3,
        "FRAMEMILL_API_AUTH": "false",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environ.items():
            patch.setenv(name, value)
        settings = Settings.load()
    blobs = connect(settings)
    uploads = Uploads.connect(settings, blobs)
    server = Server(environ)
    server.begin()
    yield World(server, settings, blobs, JobStore.connect(settings), uploads)
    server.end()


def url_id(url: str) -> str:
    return url.rpartition("/")[2]


# Resumable --------------------------------------------------------------------------


def begin(world: World, size: int, **metadata: str) -> str:
    label = ",".join(
        f"{k} {b64encode(v.encode()).decode()}" for k, v in metadata.items()
    )
    answer = requests.post(
        f"{world.server.url}/v1/tus",
        headers={**TUS, "Upload-Length": str(size), "Upload-Metadata": label},
        timeout=20,
    )
    assert answer.status_code == 201, answer.text
    return answer.headers["Location"]


def patch(url: str, offset: int, data: Any, **headers: str) -> requests.Response:
    told = {**TUS, **OCTETS, "Upload-Offset": str(offset), **headers}
    return requests.patch(url, data=data, headers=told, timeout=60)


def offset_of(url: str) -> int:
    answer = requests.head(url, headers=TUS, timeout=20)
    assert answer.status_code == 200
    return int(answer.headers["Upload-Offset"])


@pytest.mark.parametrize("chunk", [300_000, 3 * MIB, PART_BYTES, 100 * MIB])
def test_tuspy_when_it_uploads_in_chunks_then_the_same_bytes_and_a_job(
    world: World, chunk: int
) -> None:
    size = 2 * MIB + 1 if chunk == 300_000 else 2 * PART_BYTES + 12_345
    data = os.urandom(size)
    client = TusClient(f"{world.server.url}/v1/tus")
    uploader = client.uploader(
        file_stream=io.BytesIO(data),
        chunk_size=chunk,
        metadata={"filename": "süß.mp4", "filetype": "video/mp4", "job": "{}"},
        upload_checksum=chunk == PART_BYTES,
    )
    uploader.upload()
    upload_id = url_id(uploader.url)
    assert world.blob(upload_id) == data
    assert world.leftovers(upload_id) == [f"in/{upload_id}/source"]
    job = world.store.get(upload_id)
    assert job is not None
    assert (job.source.name, job.source.size) == ("süß.mp4", size)
    assert job.source.etag == world.blobs.head(f"in/{upload_id}/source").etag


def test_tuspy_when_the_api_is_killed_then_it_resumes_where_the_server_says(
    world: World,
) -> None:
    data = os.urandom(2 * PART_BYTES + 777)
    client = TusClient(f"{world.server.url}/v1/tus")
    first = client.uploader(file_stream=io.BytesIO(data), chunk_size=MIB)
    for _ in range(9):
        first.upload_chunk()
    assert first.url is not None
    world.server.kill()
    world.server.begin()
    assert offset_of(first.url) == 9 * MIB
    second = client.uploader(
        file_stream=io.BytesIO(data), url=first.url, chunk_size=4 * MIB
    )
    assert second.offset == 9 * MIB
    second.upload()
    assert world.blob(url_id(first.url)) == data


def test_tus_js_client_when_the_api_is_killed_then_it_ends_the_upload(
    world: World, tmp_path: Path
) -> None:
    if shutil.which("node") is None or not Path(NODE_MODULES, "tus-js-client").is_dir():
        pytest.skip("no Node.js, or no tus-js-client in FRAMEMILL_TEST_NODE_MODULES")
    data = os.urandom(3 * PART_BYTES + 11)
    (tmp_path / "clip.mp4").write_bytes(data)
    argv = ["node", str(HERE / "tus_client.cjs"), f"{world.server.url}/v1/tus"]
    argv += [str(tmp_path / "clip.mp4"), str(3 * MIB)]
    with subprocess.Popen(
        argv,
        env={**os.environ, "NODE_PATH": NODE_MODULES},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as client:
        assert client.stderr is not None
        for line in client.stderr:
            if int(line) > PART_BYTES:
                break
        world.server.kill()
        world.server.begin()
        url, told = client.communicate(timeout=60)
    assert client.returncode == 0, told
    assert world.blob(url_id(url.strip())) == data
    assert world.store.get(url_id(url.strip())) is not None


def slowly(
    data: bytes, gate: threading.Event, reached: threading.Event
) -> Iterator[bytes]:
    yield data[: len(data) // 2]
    reached.set()
    gate.wait(20)
    yield data[len(data) // 2 :]


def test_the_api_when_killed_inside_a_patch_then_the_offset_is_true(
    world: World,
) -> None:
    data = os.urandom(3 * PART_BYTES)
    url = begin(world, len(data))
    gate, reached = threading.Event(), threading.Event()
    outcome: list[Any] = []

    def send() -> None:
        try:
            outcome.append(patch(url, 0, slowly(data, gate, reached)).status_code)
        except requests.RequestException as error:
            outcome.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    assert reached.wait(20)
    await_true(lambda: world.uploads.get(url_id(url), None).offset == PART_BYTES)
    world.server.kill()
    gate.set()
    thread.join(20)
    world.server.begin()
    at = offset_of(url)
    assert at == PART_BYTES
    assert patch(url, at, data[at:]).status_code == 204
    assert world.blob(url_id(url)) == data


def await_true(fact: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_two_writers_when_at_once_then_the_newer_wins_and_the_bytes_are_its(
    world: World,
) -> None:
    mine, other = os.urandom(PART_BYTES + 5), os.urandom(PART_BYTES + 5)
    url = begin(world, len(mine))
    gate, reached = threading.Event(), threading.Event()
    old: list[int] = []
    thread = threading.Thread(
        target=lambda: old.append(
            patch(url, 0, slowly(other[:1000], gate, reached)).status_code
        )
    )
    thread.start()
    assert reached.wait(20)
    await_true(lambda: world.uploads.get(url_id(url), None).fence == 1)
    assert patch(url, 0, mine).status_code == 204
    gate.set()
    thread.join(20)
    assert old == [409]
    assert world.blob(url_id(url)) == mine


def test_a_client_when_it_breaks_off_then_what_came_counts(world: World) -> None:
    data = os.urandom(MIB)
    url = begin(world, len(data))
    host = ("127.0.0.1", world.server.port)
    with socket.create_connection(host, 10) as raw:
        head = f"PATCH /v1/tus/{url_id(url)} HTTP/1.1\r\nHost: x\r\n"
        for name, value in {**TUS, **OCTETS, "Upload-Offset": "0"}.items():
            head += f"{name}: {value}\r\n"
        head += f"Content-Length: {len(data)}\r\n\r\n"
        raw.sendall(head.encode() + data[:400_000])
    await_true(lambda: offset_of(url) == 400_000)
    assert patch(url, 400_000, data[400_000:]).status_code == 204
    assert world.blob(url_id(url)) == data


@pytest.mark.parametrize("offset", [1, 5, 11])
def test_a_wrong_offset_then_409_and_nothing_changes(world: World, offset: int) -> None:
    url = begin(world, 20)
    assert patch(url, offset, b"x").status_code == 409
    assert offset_of(url) == 0


def test_more_bytes_than_announced_then_413(world: World) -> None:
    url = begin(world, 5)
    assert patch(url, 0, b"123456").status_code == 413
    assert patch(url, 0, iter([b"123", b"456"])).status_code == 413


def test_a_checksum_when_wrong_then_460_and_none_of_the_bytes_count(
    world: World,
) -> None:
    data = os.urandom(PART_BYTES + 10)
    url = begin(world, len(data))
    right = b64encode(hashlib.sha1(data).digest()).decode()  # noqa: S324 - tus names it
    wrong = b64encode(b"x" * 20).decode()
    refused = patch(url, 0, data[::-1], **{"Upload-Checksum": f"sha1 {wrong}"})
    assert refused.status_code == 460
    assert offset_of(url) == 0
    unknown = patch(url, 0, data, **{"Upload-Checksum": f"crc9 {right}"})
    assert unknown.status_code == 400
    taken = patch(url, 0, data, **{"Upload-Checksum": f"sha1 {right}"})
    assert taken.status_code == 204
    assert world.blob(url_id(url)) == data


def test_creation_with_upload_then_one_request_is_enough(world: World) -> None:
    answer = requests.post(
        f"{world.server.url}/v1/tus",
        data=b"all of it",
        headers={**TUS, **OCTETS, "Upload-Length": "9"},
        timeout=20,
    )
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, "9")
    assert world.blob(url_id(answer.headers["Location"])) == b"all of it"


def test_an_empty_upload_then_an_empty_blob(world: World) -> None:
    assert world.blob(url_id(begin(world, 0))) == b""


def test_termination_then_404_and_nothing_left(world: World) -> None:
    url = begin(world, 1000)
    assert patch(url, 0, b"x" * 500).status_code == 204
    answer = requests.delete(url, headers=TUS, timeout=20)
    assert answer.status_code == 204
    assert requests.head(url, headers=TUS, timeout=20).status_code == 404
    assert world.leftovers(url_id(url)) == []


def test_head_then_length_metadata_and_no_store(world: World) -> None:
    url = begin(world, 7, filename="a b.mp4")
    told = requests.head(url, headers=TUS, timeout=20).headers
    assert told["Upload-Length"] == "7"
    assert told["Upload-Metadata"] == "filename YSBiLm1wNA=="
    assert told["Cache-Control"] == "no-store"
    assert told["Tus-Resumable"] == "1.0.0"
    assert told["Upload-Expires"].endswith("GMT")


def test_options_then_what_the_server_can(world: World) -> None:
    told = requests.options(f"{world.server.url}/v1/tus", timeout=20)
    assert told.status_code == 204
    assert told.headers["Tus-Version"] == "1.0.0"
    assert "creation-with-upload" in told.headers["Tus-Extension"]
    assert "sha1" in told.headers["Tus-Checksum-Algorithm"]


def test_a_proxy_s_way_by_post_then_the_named_method(world: World) -> None:
    url = begin(world, 3)
    told = {**TUS, **OCTETS, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
    answer = requests.post(url, data=b"abc", headers=told, timeout=20)
    assert answer.status_code == 204
    assert world.blob(url_id(url)) == b"abc"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 412),
        ({"Tus-Resumable": "0.2.2"}, 412),
        (TUS, 400),
        ({**TUS, "Upload-Length": "-1"}, 400),
        ({**TUS, "Upload-Length": "x"}, 400),
        ({**TUS, "Upload-Length": "99999999999999"}, 413),
        ({**TUS, "Upload-Length": "1", "Upload-Metadata": "a ***"}, 400),
        ({**TUS, "Upload-Length": "1", "Upload-Metadata": "job eA=="}, 400),
        ({**TUS, "Upload-Length": "1", "Upload-Metadata": "job eyJ4IjoxfQ=="}, 422),
    ],
)
def test_a_malformed_creation_then_4xx(
    world: World, headers: dict[str, str], status: int
) -> None:
    answer = requests.post(f"{world.server.url}/v1/tus", headers=headers, timeout=20)
    assert answer.status_code == status


# Direct -----------------------------------------------------------------------------


def announce(world: World, **asked: Any) -> Any:
    answer = requests.post(f"{world.server.url}/v1/uploads", json=asked, timeout=20)
    assert answer.status_code == 201, answer.text
    return answer.json()


def put(permission: dict[str, Any], data: bytes) -> requests.Response:
    return requests.put(
        permission["url"], data=data, headers=permission["headers"], timeout=60
    )


def test_curl_by_a_single_put_then_complete_starts_the_job(
    world: World, tmp_path: Path
) -> None:
    data = os.urandom(100_000)
    (tmp_path / "clip").write_bytes(data)
    asked = {"filename": "clip.mp4", "content_type": "video/mp4", "job": {}}
    upload = announce(world, size=len(data), **asked)
    permission = upload["put"]
    told = [f"-H{name}: {value}" for name, value in permission["headers"].items()]
    argv = ["curl", "-sf", "-T", str(tmp_path / "clip"), *told, permission["url"]]
    subprocess.run(argv, check=True, timeout=30)
    done = requests.post(upload["links"]["complete"], timeout=20)
    assert done.status_code == 200
    assert done.json()["status"] == "complete"
    assert world.blob(upload["id"]) == data
    job = world.store.get(upload["id"])
    assert job is not None
    assert job.source.name == "clip.mp4"


def test_parts_then_joined_and_verified_and_complete_bears_a_repeat(
    world: World,
) -> None:
    data = os.urandom(2 * PART_BYTES + 99)
    upload = announce(world, size=len(data), mode="parts", job={"metadata": 1})
    told = []
    for item in reversed(upload["parts"]["items"]):
        at = (item["number"] - 1) * upload["parts"]["part_bytes"]
        answer = put(item, data[at : at + item["size"]])
        assert answer.status_code == 200
        told.append({"number": item["number"], "etag": answer.headers["ETag"]})
    for _ in range(2):
        done = requests.post(
            upload["links"]["complete"], json={"parts": told}, timeout=60
        )
        assert done.status_code == 200, done.text
    assert world.blob(upload["id"]) == data
    job = world.store.get(upload["id"])
    assert job is not None
    assert job.metadata == 1


def test_complete_when_bytes_are_missing_then_409(world: World) -> None:
    for mode in ("put", "parts"):
        upload = announce(world, size=PART_BYTES + 1, mode=mode)
        done = requests.post(upload["links"]["complete"], timeout=20)
        assert done.status_code == 409
        assert world.store.get(upload["id"]) is None


def test_complete_with_another_etag_then_422(world: World) -> None:
    upload = announce(world, size=3)
    assert put(upload["put"], b"abc").status_code == 200
    told = {"etag": "0" * 32}
    done = requests.post(upload["links"]["complete"], json=told, timeout=20)
    assert done.status_code == 422


def test_a_put_of_another_size_then_it_never_completes(world: World) -> None:
    upload = announce(world, size=3)
    put(upload["put"], b"abcdef")
    done = requests.post(upload["links"]["complete"], timeout=20)
    assert done.status_code in {409, 422}


def test_abort_then_404_and_nothing_left(world: World) -> None:
    upload = announce(world, size=PART_BYTES, mode="parts")
    put(upload["parts"]["items"][0], bytes(PART_BYTES))
    assert requests.delete(upload["links"]["self"], timeout=20).status_code == 204
    assert requests.get(upload["links"]["self"], timeout=20).status_code == 404
    assert world.leftovers(upload["id"]) == []


def test_many_parts_then_pages(world: World) -> None:
    upload = announce(world, size=150 * PART_BYTES)
    assert (upload["mode"], len(upload["parts"]["items"])) == ("parts", 100)
    page = requests.get(upload["parts"]["next"], timeout=20).json()
    assert [page["items"][0]["number"], page["items"][-1]["number"]] == [101, 150]
    assert page["next"] is None


@pytest.mark.parametrize(
    "asked",
    [{}, {"size": 0}, {"size": 1.5}, {"size": 1, "x": 1}, {"size": 1, "job": {"y": 1}}],
)
def test_an_invalid_announcement_then_422(world: World, asked: dict[str, Any]) -> None:
    url = f"{world.server.url}/v1/uploads"
    assert requests.post(url, json=asked, timeout=20).status_code == 422


# Sessions ---------------------------------------------------------------------------


def test_expired_uploads_then_swept_with_their_bytes(world: World) -> None:
    kept = world.settings.retention.model_copy(update={"upload_hours": 3e-5})
    brief = world.settings.model_copy(update={"retention": kept})
    uploads = Uploads.connect(brief, world.blobs)
    new = NewUpload(owner="", mode="tus", size=10, content_type="x/y")
    upload = uploads.create(new)
    await_true(lambda: uploads.sweep() > 0)
    assert upload.ref is not None
    with pytest.raises(Exception, match="upload"):
        uploads.get(upload.id, None)


def test_another_owner_s_upload_then_unknown(world: World) -> None:
    new = NewUpload(owner="a", mode="put", size=1, content_type="x/y")
    upload = world.uploads.create(new)
    assert world.uploads.get(upload.id, "a").id == upload.id
    with pytest.raises(Exception, match="there is no upload"):
        world.uploads.get(upload.id, "b")
    assert world.uploads.get(upload.id, None).owner == "a"
