"""Put one hostile clip through every kind of output, beside what it may not touch.

Addresses and paths that the clip names become those of canaries: a port that counts
connections, and a file whose openings the kernel reports (inotify(7)), as it does those
of a sibling in the clip's own folder.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import socket
import string
import struct
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.errors import MediaError
from common.outputs.specs import OUTPUT_SPEC
from common.settings.load import Settings
from tests.corpus.inventory import Entry
from worker.media.engine import Engine, RenderJob, Watch
from worker.media.sandbox import prepared
from worker.media.source_file import LocalFile

# What an attacker makes: that it lies about sizes, names other files, or is broken.
CLASSES = (
    "concat-script",
    "corrupt-",
    "decompression-bomb",
    "fuzz-",
    "hls-ssrf",
    "huge-",
    "playlist",
    "svg",
    "text-as-video",
)
SPECS: tuple[dict[str, Any], ...] = (
    {"kind": "thumbnail"},
    {"kind": "animation"},
    {"kind": "preview"},
    {"kind": "storyboard"},
    {"kind": "contact_sheet", "columns": 2, "rows": 2},
    {"kind": "snippets"},
)
MEMORY = 1024 * 1024 * 1024
SECONDS = 60.0
_MARK = b"the secret of the neighbour, " + secrets.token_hex(8).encode()
# As long as the path that clips name, since some count their bytes.
_PASSWD, _LETTERS = b"/etc/passwd", 6
_PLACES = (b"127.0.0.1:8000", b"127.0.0.1:22")
_IN_OPEN = 0x20
_EVENT = struct.Struct("=iIII")
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass
class Trial:
    """What came of one clip; ``slow`` are runs over the time, perhaps of a busy host.

    ``made`` counts outputs, ``peak`` is the most memory of one process in bytes.
    """

    file: str
    faults: list[str] = field(default_factory=list)
    slow: list[str] = field(default_factory=list)
    made: int = 0
    peak: int = 0


class Canaries:
    """A port and two files that nobody but an escaped decoder touches."""

    def __init__(self, folder: Path) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.setblocking(False)
        self.place = b"127.0.0.1:%d" % self._server.getsockname()[1]
        name = "".join(secrets.choice(string.ascii_letters) for _ in range(_LETTERS))
        self.secret = Path("/tmp") / name
        self.secret.write_bytes(_MARK)
        (folder / "neighbour.mp4").write_bytes(_MARK)
        self._notices = _LIBC.inotify_init1(os.O_NONBLOCK)
        for watched in (self.secret, folder):
            done = _LIBC.inotify_add_watch(
                self._notices, os.fsencode(watched), _IN_OPEN
            )
            assert done >= 0, os.strerror(ctypes.get_errno())

    def touched(self, clip: str) -> list[str]:
        """Return which of them were touched since the last call."""
        found = [name for name in self._opened() if name not in {clip, None}]
        with suppress(BlockingIOError):
            while True:
                self._server.accept()[0].close()
                found.append("the port")
        return found

    def _opened(self) -> Iterator[str | None]:
        """Yield the names of files that were opened; None for the folder itself."""
        with suppress(BlockingIOError):
            while data := os.read(self._notices, 64 * 1024):
                while data:
                    _, mask, _, size = _EVENT.unpack_from(data)
                    name = data[_EVENT.size : _EVENT.size + size].rstrip(b"\0").decode()
                    data = data[_EVENT.size + size :]
                    is_folder = mask & 0x40000000
                    yield None if is_folder else name or self.secret.name

    def close(self) -> None:
        self._server.close()
        os.close(self._notices)
        self.secret.unlink()


def is_hostile(entry: Entry) -> bool:
    """Return whether the clip is of one of those classes."""
    return entry.kind.startswith(CLASSES)


def besiege(
    entry: Entry, settings: Settings, specs: Sequence[dict[str, Any]] = SPECS
) -> Trial:
    """Probe a clip, make every kind of output of it, and return what was wrong."""
    trial = Trial(entry.file.name)
    with tempfile.TemporaryDirectory(prefix="hostile-") as name:
        folder = Path(name) / "clip"
        folder.mkdir()
        canaries = Canaries(folder)
        try:
            clip = folder / "clip.mp4"
            clip.write_bytes(_aimed(entry.file.read_bytes(), canaries))
            with _peaks(trial):
                _make_all(clip, Engine(settings), Path(name), specs, trial)
            trial.faults += [
                f"opened {one}" for one in set(canaries.touched(clip.name))
            ]
        finally:
            canaries.close()
    if trial.peak >= MEMORY:
        trial.faults.append(f"{trial.peak >> 20} MiB of memory")
    return trial


def _aimed(data: bytes, canaries: Canaries) -> bytes:
    """Have a clip name the canaries instead of what it was made for."""
    data = data.replace(_PASSWD, os.fsencode(canaries.secret))
    for place in _PLACES:
        data = data.replace(place, canaries.place)
    return data


def _make_all(
    clip: Path,
    engine: Engine,
    folder: Path,
    specs: Sequence[dict[str, Any]],
    trial: Trial,
) -> None:
    began = time.monotonic()
    try:
        media = engine.probe(LocalFile(clip))
    except MediaError as error:
        _judge(error, "probe", trial)
        return
    finally:
        _judge_time(began, "probe", trial)
    for given in specs:
        spec = OUTPUT_SPEC.validate_python(given)
        parts = engine.split(spec, media)
        # As a worker does: each part of a heavy output is a task, with limits of its
        # own. The first and the last are enough here.
        for number, part in enumerate([*parts[:1], *parts[-1:]] or [None]):
            workdir = folder / f"{spec.kind}-{number}"
            workdir.mkdir()
            job = RenderJob(spec, media, LocalFile(clip), workdir, part)
            _make(engine, job, trial)
            shutil.rmtree(workdir)


def _make(engine: Engine, job: RenderJob, trial: Trial) -> None:
    kind, began = job.spec.kind, time.monotonic()
    try:
        made = engine.render(job, Watch()).files
    except MediaError as error:
        _judge(error, kind, trial)
        made = []
    _judge_time(began, kind, trial)
    trial.made += bool(made)
    _judge_files([one.path for one in made], job.workdir, kind, trial)


def _judge(error: MediaError, what: str, trial: Trial) -> None:
    if error.retryable or error.code == "internal_error":
        trial.faults.append(f"{what}: {error.code}: {error.detail}")


def _judge_time(began: float, what: str, trial: Trial) -> None:
    if (seconds := time.monotonic() - began) > SECONDS:
        trial.slow.append(f"{what} took {seconds:.0f} s")


def _judge_files(made: Sequence[Path], workdir: Path, what: str, trial: Trial) -> None:
    passwd = Path("/etc/passwd").read_bytes()
    for path in workdir.rglob("*"):
        if path.name == "source":
            continue  # the link that the engine made
        if path.is_symlink():
            trial.faults.append(f"{what}: {path.name} is a link")
        elif path.is_file():
            content = path.read_bytes()
            if _MARK in content or passwd in content:
                trial.faults.append(f"{what}: {path.name} holds another file")
            if not made:
                trial.faults.append(f"{what}: refused, and {path.name} was left")


@contextmanager
def _peaks(trial: Trial) -> Iterator[None]:
    """Note the most memory of each process, also of those that were killed."""
    end = prepared.Confined.end

    def noted(confined: prepared.Confined) -> prepared.End:
        done = end(confined)
        trial.peak = max(trial.peak, done.peak)
        return done

    prepared.Confined.end = noted
    try:
        yield
    finally:
        prepared.Confined.end = end
