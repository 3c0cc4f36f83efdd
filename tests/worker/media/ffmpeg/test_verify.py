"""A made file is decoded to its end, as strictly as FFmpeg does it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from common.errors import DecodeError
from common.outputs.specs import OUTPUT_SPEC
from worker.media.engine import RenderJob, Watch
from worker.media.ffmpeg import process, verify
from worker.media.ffmpeg.formats import FORMATS
from worker.media.source_file import LocalFile

STILL: dict[str, Any] = {"kind": "thumbnail", "time": 2, "width": 160}
MOVING: dict[str, Any] = {
    "kind": "animation",
    "start": 1,
    "duration": 1.1,
    "fps": 7,
    "width": 160,
}
STILLS = ["jpeg", "png", "webp", "avif"]
FILMS = ["gif", "mp4", "webm", "avif"]
KINDS = [
    *((f"still {name}", STILL | {"format": name}) for name in STILLS),
    *((f"film {name}", MOVING | {"format": name}) for name in FILMS),
]
# What FFmpeg has no complaint about: the file is read as far as it goes, or its
# container is not needed to the end.
LENIENT = {"still jpeg", "film gif", "film webm"}


@pytest.fixture(scope="module")
def made(engine, film, tmp_path_factory) -> Callable[[dict[str, Any]], Path]:
    source, known = LocalFile(film), {}
    media = engine.probe(source)

    def _made(spec: dict[str, Any]) -> Path:
        key = str(spec)
        if key not in known:
            job = RenderJob(
                OUTPUT_SPEC.validate_python(spec),
                media,
                source,
                tmp_path_factory.mktemp("made"),
            )
            known[key] = engine.render(job, Watch()).files[0].path
        return known[key]

    return _made


def _judged(path: Path, settings: Any) -> object:
    """Return the facts of a file, or that it is refused."""
    try:
        return verify.check_file(path, settings, lambda: False)
    except DecodeError:
        return "refused"


@pytest.fixture
def ffmpegs(settings, monkeypatch):
    """Return what FFmpeg, the program, says of a file."""

    def _judge(path: Path) -> object:
        with monkeypatch.context() as patch:
            patch.setattr(verify, "_is_animated_webp", lambda _: True)
            patch.setattr(verify, "FORMATS", f"{FORMATS},image2")
            return _judged(path, settings)

    return _judge


@pytest.mark.parametrize(("kind", "spec"), KINDS, ids=[name for name, _ in KINDS])
def test_a_whole_file_has_the_facts_that_ffmpeg_counts(
    made, settings, ffmpegs, kind, spec
):
    path = made(spec)

    facts = verify.check_file(path, settings, lambda: False)

    assert facts == ffmpegs(path)
    assert (facts.width, facts.height) == (160, 90)
    assert facts.bytes == path.stat().st_size
    if kind.startswith("still"):
        assert (facts.frames, facts.duration) == (1, None)
    else:
        assert facts.frames in (7, 8)
        assert facts.duration == pytest.approx(facts.frames / 7, abs=0.03)


def _spoilt(data: bytes) -> dict[str, bytes]:
    chance = random.Random(5)
    cuts = {f"cut at {share}": data[: int(len(data) * share)] for share in (0.1, 0.6)}
    spoilt = {"last byte": data[:-1], "empty middle": b"", **cuts}
    middle = len(data) // 2
    spoilt["empty middle"] = data[:middle] + bytes(64) + data[middle + 64 :]
    for number in range(3):
        changed = bytearray(data)
        changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        spoilt[f"bit {number}"] = bytes(changed)
    return spoilt


@pytest.mark.parametrize(("kind", "spec"), KINDS, ids=[name for name, _ in KINDS])
def test_a_spoilt_file_is_judged_as_by_ffmpeg(
    made, settings, ffmpegs, tmp_path, kind, spec
):
    path = made(spec)
    copy = tmp_path / path.name

    refused = []
    for how, data in _spoilt(path.read_bytes()).items():
        copy.write_bytes(data)
        judged = _judged(copy, settings)
        assert judged == ffmpegs(copy), how
        if judged == "refused":
            refused.append(how)

    assert refused or kind in LENIENT
    if kind not in LENIENT:
        assert {"cut at 0.1", "cut at 0.6"} <= set(refused)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "avif", "gif", "mp4", "webm"])
def test_what_is_no_picture_is_refused(settings, tmp_path, suffix):
    path = tmp_path / f"made.{suffix}"
    path.write_bytes(b"no picture at all " * 200)

    with pytest.raises(DecodeError, match=rf"the output made\.{suffix} does not"):
        verify.check_file(path, settings, lambda: False)


def test_a_film_without_a_frame_is_refused(made, settings, tmp_path):
    data = made(MOVING | {"format": "webm"}).read_bytes()
    path = tmp_path / "made.webm"
    cluster = data.index(b"\x1f\x43\xb6\x75")
    path.write_bytes(data[: cluster + 40])

    with pytest.raises(DecodeError, match="a video stream has no frame"):
        verify.check_file(path, settings, lambda: False)


def test_an_animated_webp_is_decoded_by_ffmpeg(made, settings, monkeypatch):
    path = made(MOVING | {"format": "webp"})
    monkeypatch.setattr(verify, "_CHILD", "worker.nothing_here")

    facts = verify.check_file(path, settings, lambda: False)

    assert facts.frames in (7, 8)
    assert facts.duration == pytest.approx(facts.frames / 7, abs=0.03)


def test_a_decoder_that_crashes_refuses_the_file(made, settings, monkeypatch):
    path = made(STILL | {"format": "jpeg"})
    run = process.run

    def crashed(*args: Any, **words: Any) -> process.ProcessResult:
        return replace(run(*args, **words), returncode=-11)

    monkeypatch.setattr(process, "run", crashed)

    with pytest.raises(DecodeError, match="does not decode"):
        verify.check_file(path, settings, lambda: False)


def test_a_file_is_decoded_again_only_if_it_has_changed(made, settings, tmp_path):
    path = tmp_path / "made.png"
    path.write_bytes(made(STILL | {"format": "png"}).read_bytes())
    checks = verify.Checks(settings, lambda: False)
    first = checks.facts(path)
    path.with_name("other.png").write_bytes(b"\x89PNG\r\n\x1a\n")

    assert checks.facts(path) is first
    files = verify.CheckedFiles(tmp_path, checks)
    assert files["made.png"] is first
    with pytest.raises(DecodeError, match=r"other\.png"):
        _ = files["other.png"]

    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DecodeError, match=r"made\.png"):
        checks.facts(path)
