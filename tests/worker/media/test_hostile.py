"""Files that name other files, draw themselves or lie are refused, unread."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.errors import (
    DecodeError,
    MediaError,
    TooManyPixels,
    UnsupportedFormat,
)
from common.model import MediaInfo, VideoInfo
from common.outputs.specs import ThumbnailSpec
from tests.timing import quickest
from worker.media.engine import RenderJob, Watch
from worker.media.source_file import LocalFile

SECRET = "the secret of the neighbour"


class Canary:
    """A loopback port that counts connections."""

    def __init__(self) -> None:
        self.hits = 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._count, daemon=True).start()

    def _count(self) -> None:
        while True:
            try:
                visitor, _ = self.socket.accept()
            except OSError:
                return
            self.hits += 1
            visitor.close()


@pytest.fixture
def canary() -> Iterator[Canary]:
    bird = Canary()
    yield bird
    bird.socket.close()


def _texts(port: int, folder: Path) -> dict[str, str]:
    host = f"http://127.0.0.1:{port}"
    head = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n"
    return {
        "hls_http": f"{head}{host}/x.ts\n#EXT-X-ENDLIST\n",
        "hls_endless": f"{head}{host}/x.ts\n",
        "hls_file": f"{head}file:///{folder}/neighbour.ts\n#EXT-X-ENDLIST\n",
        "concat_relative": "ffconcat version 1.0\nfile neighbour.ts\n",
        "concat_http": f"ffconcat version 1.0\nfile {host}/x.ts\n",
        "dash": f'<?xml version="1.0"?><MPD><BaseURL>{host}/</BaseURL></MPD>',
        "svg": '<svg xmlns="http://www.w3.org/2000/svg" width="99" height="99"/>',
        "sdp": f"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video {port} RTP/AVP 96\n",
        "text": "nothing but words",
        "ansi": "\x1b[31mred\x1b[0m text as a film " * 20,
    }


@pytest.fixture
def hostile(request: pytest.FixtureRequest, tmp_path: Path, canary: Canary, film: Path):
    (tmp_path / "neighbour.ts").write_bytes(film.read_bytes())
    path = tmp_path / f"{request.param}.mp4"
    path.write_text(_texts(canary.port, tmp_path)[request.param])
    return path


KINDS = sorted(_texts(0, Path("/")))


@pytest.mark.parametrize("hostile", KINDS, indirect=True)
def test_given_a_text_named_mp4_when_it_is_probed_then_it_is_refused_at_once(
    hostile, engine, canary
):
    def refused() -> None:
        with pytest.raises(UnsupportedFormat):
            engine.probe(LocalFile(hostile))

    assert quickest(refused, 2) < 5
    assert canary.hits == 0


@pytest.mark.parametrize("hostile", KINDS, indirect=True)
def test_given_a_probe_that_was_fooled_when_it_is_rendered_then_ffmpeg_refuses_too(
    hostile, engine, canary, workdir
):
    video = VideoInfo(
        index=0, codec="h264", coded_width=64, coded_height=64, width=64, height=64
    )
    media = MediaInfo(container="mov", duration=1.0, video=video)
    spec = ThumbnailSpec(kind="thumbnail", time=0.0)

    with pytest.raises(MediaError) as caught:
        engine.render(RenderJob(spec, media, LocalFile(hostile), workdir), Watch())

    assert canary.hits == 0
    assert caught.value.reports[0].rung == "exact"
    assert not list(workdir.glob("*.jpg"))


def test_given_a_gif_that_states_65535_squared_when_it_is_probed_then_too_many_pixels(
    tmp_path, engine
):
    path = tmp_path / "bomb"
    path.write_bytes(b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\0" * 100)

    with pytest.raises(TooManyPixels, match="65535x65535") as caught:
        engine.probe(LocalFile(path))

    assert "FRAMEMILL_LIMITS_SOURCE_PIXELS" in (caught.value.hint or "")


def test_given_an_empty_file_when_it_is_probed_then_it_says_empty(tmp_path, engine):
    path = tmp_path / "empty.mp4"
    path.touch()

    with pytest.raises(UnsupportedFormat, match="empty"):
        engine.probe(LocalFile(path))


def test_given_half_a_film_without_its_index_when_it_is_probed_then_it_is_damaged(
    tmp_path, engine, film
):
    path = tmp_path / "half.mp4"
    path.write_bytes(film.read_bytes()[: film.stat().st_size // 2])

    with pytest.raises(DecodeError, match="incomplete"):
        engine.probe(LocalFile(path))


@pytest.mark.parametrize(
    "name",
    [
        "-video.mp4",
        "--help.mp4",
        "a b;touch pwned.mp4",
        "percent_%03d.mp4",
        "c:d|e.png",
    ],
)
def test_given_a_strange_name_when_it_is_rendered_then_it_is_only_a_name(
    name, tmp_path, engine, film, workdir
):
    path = tmp_path / name
    path.write_bytes(film.read_bytes())
    spec = ThumbnailSpec(kind="thumbnail", time=1.0)

    done = engine.render(
        RenderJob(spec, engine.probe(LocalFile(path)), LocalFile(path), workdir),
        Watch(),
    )

    assert done.files[0].width == 320
    assert not (workdir / "pwned").exists()
