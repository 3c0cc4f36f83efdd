"""The picture that is shown if there is no frame."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from pydantic import ValidationError

from common.errors import NoVideoStream
from common.outputs.specs import OUTPUT_SPEC
from worker.media.engine import Engine, Rendered, RenderJob, Watch
from worker.media.source_file import LocalFile

WAYS = ("artwork", "waveform", "icon")
FORMATS = {
    "thumbnail": ("jpeg", "png", "webp", "avif"),
    "animation": ("gif", "webp", "avif", "mp4", "webm"),
    "preview": ("gif", "mp4"),
    "storyboard": ("jpeg", "webp", "avif"),
    "contact_sheet": ("jpeg", "avif"),
}
CASES = [
    *((kind, form, "artwork") for kind, forms in FORMATS.items() for form in forms),
    *(("thumbnail", form, way) for form in ("png", "avif") for way in WAYS[1:]),
    *(("animation", "gif", way) for way in WAYS[1:]),
]


@pytest.fixture(scope="session")
def song(make):
    """Three seconds of sound with a cover of 300x200 pixels."""
    cover = ["-f", "lavfi", "-i", "testsrc2=s=300x200:r=1:d=1", "-map", "0"]
    words = ["-map", "1", "-c:v", "png", "-disposition:v", "attached_pic"]
    return make("song.mp3", "sine=d=3", *cover, *words)


@pytest.fixture
def render(engine: Engine, workdir: Path):
    def _render(clip: Path, **spec: object) -> Rendered:
        checked = OUTPUT_SPEC.validate_python(spec)
        media = engine.probe(LocalFile(clip))
        return engine.render(
            RenderJob(checked, media, LocalFile(clip), workdir), Watch()
        )

    return _render


@pytest.mark.parametrize(("kind", "form", "way"), CASES)
def test_given_sound_alone_when_a_stand_in_is_named_then_every_kind_shows_it(
    render, song, kind, form, way
):
    done = render(song, kind=kind, format=form, fallback=["frame", way])

    assert done.warnings == [f"{way}_shown"]
    assert [report.rung for report in done.reports] == [way]
    assert min(done.files[0].width, done.files[0].height) >= 180


@pytest.mark.parametrize("kind", FORMATS)
def test_given_sound_alone_when_nothing_is_named_then_there_is_no_video_stream(
    render, song, kind
):
    with pytest.raises(NoVideoStream):
        render(song, kind=kind)


def test_given_a_stand_in_when_it_is_a_thumbnail_then_it_has_a_placeholder(
    render, song
):
    details = render(song, kind="thumbnail", fallback=["artwork"]).files[0].details

    assert set(details) >= {"placeholder", "dominant_color"}


@pytest.mark.parametrize("form", ["mp4", "webm"])
def test_given_a_stand_in_when_it_is_a_clip_then_it_lasts_as_long_as_asked(
    render, song, form
):
    clip = render(
        song, kind="animation", format=form, duration=2.0, fallback=["icon"]
    ).files[0]

    assert clip.duration == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("form", ["mp4", "webm"])
def test_given_a_stand_in_when_it_is_a_clip_under_a_second_then_it_has_its_frames(
    render, song, form
):
    (made,) = render(
        song, kind="animation", format=form, duration=0.4, fps=10.0, fallback=["icon"]
    ).files

    assert (made.frames, made.duration) == (4, pytest.approx(0.4, abs=0.002))


def test_given_a_stand_in_when_it_is_a_storyboard_then_one_tile_lasts_to_the_end(
    render, song
):
    files = {
        file.name: file
        for file in render(song, kind="storyboard", fallback=["icon"]).files
    }

    index = json.loads(files["storyboard.json"].path.read_text(encoding="utf-8"))
    (tile,) = index["tiles"]
    assert (tile["start"], tile["end"]) == (0.0, pytest.approx(3.0, abs=0.1))


def test_given_max_bytes_when_the_stand_in_is_over_it_then_that_is_the_error(
    render, song
):
    with pytest.raises(Exception, match="max_bytes is 1000"):
        render(song, kind="animation", max_bytes=1000, fallback=["artwork"])


@pytest.mark.parametrize(
    ("fit", "size"),
    [
        ("contain", (120, 80)),
        ("cover", (120, 120)),
        ("stretch", (120, 120)),
        ("pad", (120, 120)),
    ],
)
def test_given_artwork_when_a_fit_is_asked_then_it_has_that_size(
    render, song, fit, size
):
    made = render(
        song, kind="thumbnail", width=120, height=120, fit=fit, fallback=["artwork"]
    ).files[0]

    assert (made.width, made.height) == size


def test_given_quiet_sound_when_its_waveform_is_drawn_then_it_is_no_mere_line(
    render, song
):
    path = render(song, kind="thumbnail", format="png", fallback=["waveform"]).files[0]

    with Image.open(path.path) as image:
        column = image.convert("L").crop((320, 0, 321, image.height))
        bright = sum(value > 100 for value in column.get_flattened_data())
    assert 0.2 < bright / 360 < 0.6


def test_given_the_loudest_sound_when_its_waveform_is_drawn_then_a_margin_is_left(
    render, make
):
    loud = make("loud.wav", "sine=d=1,volume=40dB")

    picture = render(loud, kind="thumbnail", format="png", fallback=["waveform"])

    with Image.open(picture.files[0].path) as image:
        assert image.convert("L").getpixel((320, 4)) < 60
        assert image.convert("L").getpixel((320, 60)) > 100


def test_given_artwork_before_the_frame_when_a_film_has_none_then_its_frame_is_shown(
    render, film
):
    done = render(film, kind="thumbnail", fallback=["artwork", "frame"])

    assert done.warnings == []
    assert done.files[0].time is not None


def test_given_snippets_when_a_stand_in_is_named_then_the_spec_is_refused():
    with pytest.raises(ValidationError, match="fallback"):
        OUTPUT_SPEC.validate_python({"kind": "snippets", "fallback": ["icon"]})
