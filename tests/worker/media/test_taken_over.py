"""A decoder that a source has taken over puts no other file into the outputs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from common.errors import MediaError
from common.outputs.specs import ThumbnailSpec
from common.settings.load import Settings
from common.settings.sections import Engine as EngineSettings
from tests.tools import lack
from worker.media import engine as engine_module
from worker.media.engine import Engine, RenderJob, Watch
from worker.media.ffmpeg import binary
from worker.media.ffmpeg.plan import Step
from worker.media.sandbox import layers
from worker.media.source_file import LocalFile

FONT = "FramemillSans.ttf"
SECRET = b"of another job"
SPEC = ThumbnailSpec(kind="thumbnail", time=0, width=64, format="png")
# Makes a PNG of 64x36 that passes every check, with a stolen file after its end.
FORGED = """
import os, struct, sys, zlib
def chunk(name, data):
    check = struct.pack(">I", zlib.crc32(name + data))
    return struct.pack(">I", len(data)) + name + data + check
shape = struct.pack(">IIBBBBB", 64, 36, 8, 0, 0, 0, 0)
picture = b"\\x89PNG\\r\\n\\x1a\\n" + chunk(b"IHDR", shape)
picture += chunk(b"IDAT", zlib.compress(bytes(65 * 36))) + chunk(b"IEND", b"")
try:
    picture += open(sys.argv[1], "rb").read()
except OSError as error:
    print(error, file=sys.stderr)
open("thumbnail.png", "wb").write(picture)
print("frame:0    pts:0       pts_time:0\\nm=1", file=sys.stderr)
"""
LINKING = """
import os, sys
os.symlink(sys.argv[1], "thumbnail.png")
print("frame:0    pts:0       pts_time:0\\nm=1", file=sys.stderr)
"""


@pytest.fixture
def stolen(tmp_path: Path) -> Path:
    path = tmp_path / "stolen"
    path.write_bytes(SECRET)
    return path


@pytest.fixture
def render(film, workdir, stolen, engine, monkeypatch):
    job = RenderJob(SPEC, engine.probe(LocalFile(film)), LocalFile(film), workdir)

    def _render(code: str, mode: str) -> list[bytes]:
        if mode != "off" and (faults := layers.lacking(mode)):
            lack(f"this host has not all layers: {faults}")
        words = [sys.executable, "-I", "-S", "-c", code, str(stolen)]
        monkeypatch.setattr(binary, "head", lambda _: words)
        settings = Settings(engine=EngineSettings(sandbox=mode))
        done = Engine(settings).render(job, Watch())
        return [one.path.read_bytes() for one in done.files]

    return _render


def test_a_file_that_it_may_not_read_is_not_in_the_picture(render):
    (picture,) = render(FORGED, "auto")

    assert SECRET not in picture


def test_without_the_sandbox_it_is(render):
    (picture,) = render(FORGED, "off")

    assert picture.endswith(SECRET)


@pytest.mark.parametrize("mode", ["auto", "off"])
def test_a_link_to_another_file_is_no_output(render, stolen, workdir, film, mode):
    stolen.write_bytes(Path(film).read_bytes())

    with pytest.raises(MediaError):
        render(LINKING, mode)

    assert [one.name for one in workdir.iterdir()] == []


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_what_the_worker_writes_for_the_next_program_follows_no_link(
    workdir, stolen, link
):
    names = ("title.txt", FONT)
    for name in names:
        getattr(workdir / name, link)(stolen)

    engine_module._write_inputs(
        workdir, Step((), 1.0, texts={"title.txt": "x"}, assets=(FONT,))
    )

    assert stolen.read_bytes() == SECRET
    assert (workdir / "title.txt").read_text() == "x"
