"""Fault 7: transparency is kept by AVIF stills, AVIF animations and WebM."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg
import pytest

from tests.acceptance.decode import decode
from tests.acceptance.service import Service

SHORT = {"kind": "animation", "start": 0, "duration": 0.6, "fps": 5.0, "width": 128}
OUTPUTS: list[dict[str, Any]] = [
    *({"kind": "thumbnail", "time": 0.2, "format": form} for form in ("avif", "png")),
    *(SHORT | {"format": form} for form in ("avif", "webm", "webp", "gif")),
    *(SHORT | {"format": form, "max_bytes": 50_000} for form in ("avif", "webm")),
    {"kind": "preview", "segments": 2, "segment_duration": 0.2, "format": "avif"},
    {"kind": "preview", "segments": 2, "segment_duration": 0.2, "format": "webm"},
    {"kind": "snippets", "window": 1.0, "format": "webm", "width": 128},
]
NAMES = [
    "-".join(str(v) for v in one.values() if isinstance(v, str)) for one in OUTPUTS
]
PLACES = range(len(OUTPUTS))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second whose left half is seen and whose right half is not."""
    path = tmp_path_factory.mktemp("films") / "half.mov"
    source = "testsrc2=s=192x108:r=10:d=1,format=gbrap"
    half = "geq=r='r(X,Y)':g='g(X,Y)':b='b(X,Y)':a='255*lt(X,W/2)'"
    argv = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "lavfi"]
    argv += ["-i", f"{source},{half}", "-c:v", "png", str(path)]
    subprocess.run(argv, check=True, timeout=60)
    return path


@pytest.fixture(scope="module")
def bodies(film: Path, service: Service) -> list[bytes]:
    """The first file of every output."""
    requested = [one | {"name": f"o{place}"} for place, one in enumerate(OUTPUTS)]
    job = service.submit(film, requested)
    assert job["status"] == "completed", job
    return [service.fetch(one["artifacts"][0]).body for one in job["outputs"]]


def _alphas(body: bytes) -> list[tuple[int, int]]:
    """Return the alpha of a seen and of an unseen place, for each frame."""
    if body[:4] == b"\x1a\x45\xdf\xa3":
        return _alphas_of_webm(body)
    found = []
    for frame in decode(body):
        alpha = frame.picture.convert("RGBA").getchannel("A")
        places = [(alpha.width * share // 8, alpha.height // 2) for share in (2, 6)]
        found.append(tuple(int(alpha.getpixel(place)) for place in places))
    return found


def _alphas_of_webm(body: bytes) -> list[tuple[int, int]]:
    # FFmpeg's own VP9 decoder leaves transparency out; libvpx reads it.
    decoder, found = av.CodecContext.create("libvpx-vp9", "r"), []
    with av.open(io.BytesIO(body)) as container:
        for packet in container.demux(video=0):
            for frame in decoder.decode(packet if packet.size else None):
                assert frame.format.name == "yuva420p"
                plane = frame.planes[3]
                row = bytes(plane)[frame.height // 2 * plane.line_size :]
                found.append((row[frame.width // 4], row[frame.width * 3 // 4]))
    return found


@pytest.mark.parametrize("place", PLACES, ids=NAMES)
def test_what_cannot_be_seen_in_the_film_cannot_be_seen_in_the_output(place, bodies):
    alphas = _alphas(bodies[place])

    assert alphas
    assert all(seen > 250 and unseen < 5 for seen, unseen in alphas), alphas


def test_behind_a_background_nothing_is_transparent(film, service):
    spec = SHORT | {"format": "avif", "background": "#ff0000"}

    job = service.submit(film, [spec])

    (output,) = job["outputs"]
    for frame in decode(service.fetch(output["artifacts"][0]).body):
        red, green, blue = frame.picture.convert("RGB").getpixel((96, 36))
        assert red > 240
        assert max(green, blue) < 15
