"""The builds under test: each a whole service of its own, before one S3 that counts.

The S3 is that of ``./dev`` (rclone over a folder), behind a :class:`CountingProxy`.
What it spends on a job counts as the service's, and is shown beside, too.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from deploy.allinone import embedded
from deploy.allinone.children import Children
from deploy.allinone.ports import Ports
from tests.acceptance.service import ENDED, Service, started
from tests.bench import usage
from tests.conftest import ROOT
from tests.counting_proxy import CountingProxy
from tests.ports import free_port

Files = Mapping[tuple[str, str], bytes]
# Returns more measures from a job's files by the names of output and artifact.
Judge = Callable[[Files], Mapping[str, float]]
_WEEK_SECONDS = 7 * 86_400
_FILMS = "films"
_POLL_SECONDS = 0.1


class JobFailed(RuntimeError):
    """A measured job did not complete; the text has its error."""


@dataclass(frozen=True)
class S3:
    """The object store: its process, the proxy before it, and how to reach both."""

    pid: int
    proxy: CountingProxy
    folder: Path
    settings: Mapping[str, str]
    client: Any

    def source(self, name: str) -> dict[str, Any]:
        """Return a film as the source of a job."""
        return {"s3": {"bucket": embedded.BUCKET, "key": f"{_FILMS}/{name}"}}

    def link(self, name: str) -> str:
        """Return an address of a film that needs no key, through the proxy.

        It is valid for a week: the service reads a film where it lies only if a retry
        after an outage can still read it.
        """
        wanted = {"Bucket": embedded.BUCKET, "Key": f"{_FILMS}/{name}"}
        return str(
            self.client.generate_presigned_url(
                "get_object", Params=wanted, ExpiresIn=_WEEK_SECONDS
            )
        )

    def warm_up(self, name: str) -> None:
        """Have rclone know the ETag of a film.

        It hashes the whole file, forgets that after minutes, and does it for each of
        the requests that arrive together: ten times the CPU of a job.
        """
        self.client.head_object(Bucket=embedded.BUCKET, Key=f"{_FILMS}/{name}")

    def size(self, name: str) -> int:
        """Return how many bytes a film has."""
        return (self.folder / embedded.BUCKET / _FILMS / name).stat().st_size


@contextmanager
def object_store(folder: Path, films: Mapping[str, Path]) -> Iterator[S3]:
    """Run an empty S3 that has only the films (hard links in ``folder``)."""
    shutil.rmtree(folder, ignore_errors=True)
    place = folder / "s3" / embedded.BUCKET / _FILMS
    place.mkdir(parents=True)
    for name, path in films.items():
        os.link(path, place / name)
    (folder / "ports.json").write_text(json.dumps({"s3": free_port()}))
    program = embedded.rclone_program()
    if program is None:
        raise embedded.NotInstalled("no rclone: run ./dev install dev")
    part, bucket = embedded.rclone(program, Ports(folder / "ports.json"), folder / "s3")
    children = Children(ROOT, folder / "logs", dict(os.environ))
    try:
        child = children.start(part)
        children.await_ready(child)
        with CountingProxy(bucket.endpoint) as proxy:
            client = boto3.client(
                "s3",
                endpoint_url=proxy.url,
                region_name="us-east-1",
                aws_access_key_id=bucket.access_key,
                aws_secret_access_key=bucket.secret_key,
                config=Config(
                    signature_version="s3v4", s3={"addressing_style": "path"}
                ),
            )
            settings = bucket.settings()
            settings["FRAMEMILL_S3_ENDPOINT_URL"] = proxy.url
            s3 = S3(child.process.pid, proxy, folder / "s3", settings, client)
            for name in films:
                s3.warm_up(name)
            yield s3
    finally:
        children.stop()


@dataclass(frozen=True)
class Build:
    """A service of one revision that runs on ``s3``."""

    name: str
    service: Service
    s3: S3

    @property
    def root(self) -> int:
        """Return the process that all others of the service descend from."""
        return int(self.service.state["pid"])

    def job(
        self,
        film: str,
        outputs: Any,
        *,
        source: dict[str, Any] | None = None,
        keep: bool = False,
        judge: Judge | None = None,
        also: Sequence[int] = (),
    ) -> dict[str, float]:
        """Have a film worked on; return what it took from POST to the job's end.

        With ``keep`` the host keeps the copy of the source, so that the next job
        finds it. ``judge`` adds measures of the job's files; ``also`` are processes
        of the service that were started beside it. Raises JobFailed.
        """
        body = {"source": source or self.s3.source(film), "outputs": outputs}
        self.s3.warm_up(film)
        before = self._spent(also)
        began = time.perf_counter()
        job = self.service.ask("/v1/jobs", body, Prefer="wait=60").json()
        while job["status"] not in ENDED:
            time.sleep(_POLL_SECONDS)
            job = self.service.ask(f"/v1/jobs/{job['id']}").json()
        wall = time.perf_counter() - began
        spent = {name: now - before[name] for name, now in self._spent(also).items()}
        if job["status"] != "completed":
            raise JobFailed(f"{self.name}, {film}: {_errors(job)}")
        made = sum(a["bytes"] for o in job["outputs"] for a in o["artifacts"])
        share = spent["read"] / self.s3.size(film)
        more = judge(self._files(job)) if judge else {}
        self.service.ask(f"/v1/jobs/{job['id']}", method="DELETE")
        if not keep:
            self.forget()
        return {"wall": wall, **spent, "share": share, "made": made, **more}

    def _files(self, job: dict[str, Any]) -> Files:
        found = self.service.fetch_all(job)
        return {names: file.body for names, file in found.items()}

    def forget(self) -> None:
        """Empty the host's cache of sources; no job may run."""
        assert self.service.data is not None
        for folder in (self.service.data / "scratch").glob("cache*"):
            for path in folder.iterdir():
                with suppress(IsADirectoryError):
                    path.unlink(missing_ok=True)

    def _spent(self, also: Sequence[int]) -> dict[str, float]:
        proxy = self.s3.proxy
        roots = {"service": self.root, "s3": self.s3.pid}
        more = {f"worker {pid}": pid for pid in also}
        cpu = usage.cpu_seconds(roots | more | self.service.state["children"])
        return {
            "cpu": sum(cpu[name] for name in [*roots, *more]),
            **{f"cpu of {part}": spent for part, spent in cpu.items()},
            "read": proxy.down,
            "requests": len(proxy.requests),
        }


def _errors(job: dict[str, Any]) -> str:
    found = [job["error"], *(output["error"] for output in job["outputs"])]
    return f"{job['status']}: {[error for error in found if error]}"


@contextmanager
def build(
    name: str, tree: Path, data: Path, s3: S3, settings: Mapping[str, str]
) -> Iterator[Build]:
    """Start the service of a checkout on an empty data folder, and warm it up.

    ``settings`` come on top of those of the S3.
    """
    shutil.rmtree(data, ignore_errors=True)
    environment = {
        **s3.settings,
        "FRAMEMILL_SOURCE_URLS": "true",
        "FRAMEMILL_EGRESS_HTTP": "true",
        "FRAMEMILL_EGRESS_PORTS": str(s3.proxy.port),
        "FRAMEMILL_EGRESS_PRIVATE_NETWORKS": "127.0.0.0/8",
        **settings,
    }
    with started(data, tree, **environment) as service:
        one = Build(name, service, s3)
        warm_up(one)
        yield one


def local_store(s3: S3, folder: Path) -> dict[str, str]:
    """Return the settings of a service with the same films in a folder of its own."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(s3.folder / embedded.BUCKET, folder, copy_function=os.link)
    return {"FRAMEMILL_BLOBS_BACKEND": "local", "FRAMEMILL_BLOBS_PATH": str(folder)}


def warm_up(one: Build) -> None:
    """Have every worker process do one job on the sample, which no row measures."""
    key = {"s3": {"bucket": embedded.BUCKET, "key": embedded.SAMPLE_KEY}}
    jobs = [one.service.ask("/v1/jobs", {"source": key}).json() for _ in range(4)]
    for job in jobs:
        ended = one.service.wait(job)
        if ended["status"] != "completed":
            raise JobFailed(f"{one.name}, warming up: {_errors(ended)}")
        one.service.ask(f"/v1/jobs/{job['id']}", method="DELETE")
    one.forget()


@contextmanager
def worktree(revision: str, folder: Path) -> Iterator[Path]:
    """Check a revision of this repository out into a folder, until the block ends."""

    program = shutil.which("git") or "git"

    def git(*words: str) -> None:
        subprocess.run([program, "-C", ROOT, *words], check=True, capture_output=True)

    shutil.rmtree(folder, ignore_errors=True)
    git("worktree", "prune")
    git("worktree", "add", "--detach", str(folder), revision)
    with ExitStack() as stack:
        stack.callback(git, "worktree", "remove", "--force", str(folder))
        yield folder
