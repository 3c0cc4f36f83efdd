"""Times are those of the frames, whatever a file's clock is like."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import av
import pytest

from common.model import MediaInfo
from common.outputs.specs import OUTPUT_SPEC
from worker.media.engine import Engine, Rendered, RenderJob, Watch
from worker.media.probe import media_info
from worker.media.probe.sniff import looks_like_media
from worker.media.source_file import LocalFile

_FILM = "testsrc2=s=320x180:r=24:d=4"


@pytest.fixture
def render(engine: Engine, workdir: Path):
    def _render(clip: Path, kind: str, **spec: object) -> Rendered:
        checked = OUTPUT_SPEC.validate_python({"kind": kind, **spec})
        media = engine.probe(LocalFile(clip))
        return engine.render(
            RenderJob(checked, media, LocalFile(clip), workdir), Watch()
        )

    return _render


@pytest.fixture(scope="session")
def cut(make, ffmpeg):
    """Return a film of 25 fps, a keyframe every 2 s, without its first 20 packets."""

    def _cut(name: str) -> Path:
        film = make("long.mp4", "testsrc2=s=320x180:r=25:d=6", "-g", "50")
        clip = film.with_name(name)
        if not clip.exists():
            drop = ["-c", "copy", "-bsf:v", "noise=drop='lt(n,20)'"]
            argv = [ffmpeg, "-v", "error", "-i", film, *drop, "-copyts", clip]
            subprocess.run(argv, check=True, timeout=60)
        return clip

    return _cut


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("coarse.avi", ["-c:v", "mpeg4", "-g", "12"]),
        ("coarse.mxf", ["-c:v", "mpeg2video", "-g", "12"]),
        ("coarse.mjpeg", ["-r", "25"]),
    ],
)
@pytest.mark.parametrize("requested", [0.51, 1.37, 2.9])
def test_given_a_coarse_clock_when_a_time_is_asked_then_a_frames_time_is_told(
    render, make, name, words, requested
):
    rate = 25 if name.endswith("mjpeg") else 24
    clip = make(name, _FILM, *words)

    told = render(clip, "thumbnail", time=requested).files[0].time

    assert told * rate == pytest.approx(round(told * rate), abs=0.01)
    assert 0 <= requested - told < 1 / rate


def test_given_a_coarse_clock_when_a_gif_is_made_then_its_frames_are_all_there(
    render, make
):
    clip = make("slow.mp4", "testsrc2=s=320x180:r=1:d=9", "-video_track_timescale", "1")

    gif = render(clip, "animation", duration=4.0, start=2.0).files[0]

    assert gif.frames == 60


@pytest.mark.parametrize("suffix", ["mkv", "ts"])
def test_given_a_film_cut_amid_a_group_when_probed_then_its_first_frame_is_the_begin(
    engine, cut, suffix
):
    clip = cut(f"cut.{suffix}")

    media = engine.probe(LocalFile(clip))

    with av.open(str(clip)) as container:
        first = next(container.decode(video=0)).time
        start = (container.start_time or 0) / 1e6
    assert media.video.start_time == pytest.approx(first - start, abs=0.002)
    assert media.video.start_time - media.video.stream_start > 1.0
    assert "begin_cut" in media.warnings


@pytest.mark.parametrize("suffix", ["mkv", "ts"])
def test_given_a_film_cut_amid_a_group_when_a_gif_is_made_then_it_moves_from_the_start(
    render, cut, suffix
):
    gif = render(cut(f"cut.{suffix}"), "animation").files[0]

    assert gif.frames == pytest.approx(60, abs=1)


def test_given_packets_without_a_length_when_probed_then_the_last_frame_counts(
    engine, make
):
    clip = make("short.wmv", "testsrc2=s=320x180:r=5:d=2", "-c:v", "wmv2")

    assert engine.probe(LocalFile(clip)).duration == pytest.approx(2.0, abs=0.01)


def _stream(**facts: object) -> dict[str, object]:
    common = {"first": 0.0, "last": 3.9, "end": 4.0, "duration": None, "fps": 10.0}
    return {**common, "packets": 40, **facts}


def test_given_a_last_frame_of_an_hour_when_judged_then_the_stated_end_counts():
    facts = {"container": "mov", "duration": 4.0, "start": 0.0}

    assert media_info._length(_stream(end=3604.0), facts) == pytest.approx(4.0)


def test_given_a_too_short_statement_when_judged_then_the_frames_count():
    facts = {"container": "mov", "duration": 2.0, "start": 0.0}

    assert media_info._length(_stream(), facts) == pytest.approx(4.0)


def test_given_chained_streams_when_judged_then_all_their_frames_count():
    facts = {"container": "ogg", "duration": 4.0, "start": 0.0}

    assert media_info._length(_stream(packets=80), facts) == pytest.approx(8.0)


def test_given_a_damaged_keyframe_when_a_storyboard_is_made_then_all_is_decoded(
    render, make, tmp_path
):
    film = make("keys.mp4", "testsrc2=s=640x360:r=25:d=8", "-g", "50", "-bf", "0")
    with av.open(str(film)) as container:
        keys = [p.pos for p in container.demux(video=0) if p.is_keyframe and p.size]
    data = bytearray(film.read_bytes())
    data[keys[2] + 900 : keys[2] + 1900] = random.Random(7).randbytes(1000)
    clip = tmp_path / "damaged.mp4"
    clip.write_bytes(data)

    done = render(clip, "storyboard", interval=2.0)

    assert [report.rung for report in done.reports] == ["keyframes", "decode"]
    assert "damaged" in done.warnings


def test_given_text_that_begins_with_a_g_when_sniffed_then_it_is_no_stream():
    assert not looks_like_media(b"Good morning. " * 40)
    assert looks_like_media((b"G" + bytes(187)) * 3)
    assert looks_like_media(b"G" + bytes(187))


def test_given_nothing_to_show_when_rendered_then_the_folder_is_left_empty(
    engine, make, workdir
):
    clip = make("sound.m4a", "sine=d=1", "-c:a", "aac")
    job = RenderJob(
        OUTPUT_SPEC.validate_python({"kind": "thumbnail"}),
        MediaInfo(container="mov"),
        LocalFile(clip),
        workdir,
    )

    with pytest.raises(Exception, match="neither video nor audio"):
        engine.render(job, Watch())

    assert not list(workdir.iterdir())


def test_given_raw_motion_jpeg_when_a_late_time_is_asked_then_it_is_decoded_to_it(
    render, make
):
    clip = make("raw.mjpeg", "testsrc2=s=160x90:r=25:d=3", "-c:v", "mjpeg")

    still = render(clip, "thumbnail", time=2.0)

    assert still.files[0].time == pytest.approx(2.0, abs=0.05)
    assert [report.error for report in still.reports] == [None]


@pytest.mark.parametrize("codec", ["mpeg1video", "mpeg2video"])
@pytest.mark.parametrize("between", [0, 2])
def test_given_raw_mpeg_then_its_length_is_that_of_its_frames(
    engine, make, codec, between
):
    words = ("-c:v", codec, "-bf", str(between), "-g", "12", "-f", codec)
    path = make(f"{codec}-{between}.mpv", "testsrc2=s=64x48:r=25:d=2", *words)

    media = engine.probe(LocalFile(path))

    assert (media.duration, media.video.duration) == pytest.approx((2.0, 2.0))
    assert (media.video.frames, media.video.fps) == (50, 25.0)
    assert (media.video.start_time, media.video.stream_start) == (0.0, 0.0)
