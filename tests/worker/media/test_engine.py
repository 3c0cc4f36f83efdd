"""A render returns checked files, or reports what was tried."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from PIL import Image

from common.errors import (
    CannotFit,
    DecodeError,
    InternalError,
    Interrupted,
    NoVideoStream,
    SeekPastEnd,
)
from common.model import PartFile
from common.outputs.specs import AnimationSpec, ThumbnailSpec
from worker.media import engine as engines
from worker.media.engine import RenderJob, Watch
from worker.media.ffmpeg.plan import Alternative, Made, Plan, Step
from worker.media.source_file import LocalFile


@pytest.fixture
def render(engine, workdir):
    def go(path, kind="thumbnail", watch=None, **words):
        model = {"thumbnail": ThumbnailSpec, "animation": AnimationSpec}[kind]
        job = RenderJob(
            model(kind=kind, **words),
            engine.probe(LocalFile(path)),
            LocalFile(path),
            workdir,
        )
        return engine.render(job, watch or Watch())

    return go


def _pictures(path):
    with Image.open(path) as image:
        count = getattr(image, "n_frames", 1)
        for place in range(count):
            image.seek(place)
            yield image.convert("RGB").tobytes()


def test_given_a_film_when_a_gif_is_made_then_it_moves_and_lasts_five_seconds(
    render, film
):
    done = render(film, "animation")

    gif = done.files[0]
    assert (gif.content_type, gif.width, gif.height) == ("image/gif", 320, 180)
    assert gif.frames == 75
    assert gif.duration == pytest.approx(5.0, abs=0.1)
    assert len(set(_pictures(gif.path))) > 60
    assert done.warnings == []


def test_given_a_clip_shorter_than_asked_when_made_then_it_is_cut_and_said(
    render, make
):
    clip = make("short.mp4", "testsrc2=s=64x64:r=10:d=0.5", "-pix_fmt", "yuv420p")

    done = render(clip, "animation", duration=5.0)

    assert done.warnings == ["shorter_than_asked"]
    assert done.files[0].duration == pytest.approx(0.5, abs=0.1)


def test_given_one_frame_when_a_gif_is_made_then_it_has_one_and_a_warning(render, make):
    clip = make("one.mp4", "testsrc2=s=64x64:r=25:d=0.04", "-pix_fmt", "yuv420p")

    done = render(clip, "animation")

    assert (done.files[0].frames, done.warnings) == (1, ["single_frame"])


def test_given_a_late_start_when_it_does_not_fit_then_it_is_moved_and_said(
    render, film
):
    done = render(film, "animation", start=5.0, duration=3.0)

    assert done.files[0].time == pytest.approx(3.0, abs=0.1)
    assert done.warnings == ["start_moved"]


@pytest.mark.parametrize("time", [0.0, 1.0, 2.98, 5.99, "50%", "00:00:03.000"])
def test_given_a_time_when_it_is_exact_then_the_frame_on_screen_is_taken(
    render, film, time
):
    seconds = {"50%": 3.0, "00:00:03.000": 3.0}.get(time, time)

    found = render(film, time=time).files[0].time

    assert found <= seconds + 0.001
    assert seconds - found < 0.0401


def test_given_slides_when_a_time_lies_between_then_the_slide_on_screen_is_taken(
    render, make
):
    clip = make("slides.mp4", "testsrc=s=64x64:r=1/5:d=30", "-pix_fmt", "yuv420p")

    assert render(clip, time=13.0).files[0].time == pytest.approx(10.0)


def test_given_a_time_past_the_end_when_exact_then_it_fails_with_its_code(render, film):
    with pytest.raises(SeekPastEnd, match=r"6\.000"):
        render(film, time=60.0)


def test_given_a_time_past_the_end_when_lenient_then_the_last_frame_is_taken(
    render, film
):
    done = render(film, time=60.0, policy="keyframe")

    assert done.files[0].time == pytest.approx(5.96, abs=0.001)
    assert "time_past_end" in done.warnings


def test_given_a_count_when_thumbnails_are_made_then_they_are_evenly_spaced(
    render, film
):
    files = render(film, count=3).files

    assert [file.name for file in files] == [
        "thumbnail-001.jpg",
        "thumbnail-002.jpg",
        "thumbnail-003.jpg",
    ]
    assert [file.time for file in files] == pytest.approx([1.0, 3.0, 5.0], abs=0.05)


def test_given_a_thumbnail_when_made_then_it_has_a_placeholder_and_a_colour(
    render, film
):
    details = render(film, time=1.0).files[0].details

    assert len(details["placeholder"]) > 20
    assert details["dominant_color"].startswith("#")


def test_given_sound_alone_when_rendered_then_no_video_stream_is_the_error(
    render, make
):
    clip = make("sound.m4a", "sine=d=1", "-c:a", "aac")

    with pytest.raises(NoVideoStream):
        render(clip)


@pytest.mark.parametrize(
    ("ways", "warning"),
    [
        (["frame", "waveform"], "waveform_shown"),
        (["frame", "artwork", "icon"], "icon_shown"),
    ],
)
def test_given_sound_alone_when_a_fallback_is_named_then_it_is_shown(
    render, make, ways, warning
):
    clip = make("sound.m4a", "sine=d=1", "-c:a", "aac")

    done = render(clip, fallback=ways)

    assert (done.files[0].width, done.files[0].height) == (640, 360)
    assert done.warnings == [warning]


def test_given_max_bytes_when_a_gif_is_made_then_it_fits_in_at_most_six_trials(
    render, film
):
    done = render(film, "animation", max_bytes=60_000, duration=2.0)

    gif = done.files[0]
    assert gif.path.stat().st_size <= 60_000
    assert gif.details["trials"] <= 6
    assert 0 < gif.details["ssim"] <= 1


def test_given_max_bytes_that_nothing_meets_when_made_then_it_cannot_fit(render, film):
    with pytest.raises(CannotFit) as caught:
        render(film, "animation", max_bytes=1000)

    assert len(caught.value.reports) == 1


def test_given_a_boomerang_when_made_then_the_second_half_mirrors_the_first(
    render, film
):
    words = {"duration": 1.0, "fps": 5.0, "format": "webp", "quality": 100}

    done = render(film, "animation", boomerang=True, **words)

    shown = list(_pictures(done.files[0].path))
    assert len(shown) == 9
    assert len(set(shown)) >= 5


def test_given_a_speed_when_made_then_the_animation_is_that_much_shorter(render, film):
    done = render(film, "animation", speed=2.0, duration=4.0)

    assert done.files[0].duration == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("kind", ["gif", "webp", "avif", "mp4", "webm"])
def test_given_a_format_when_animated_then_the_file_decodes_whole(render, film, kind):
    done = render(film, "animation", format=kind, duration=1.0, fps=10.0, width=101)

    file = done.files[0]
    assert file.frames == 10
    assert file.duration == pytest.approx(1.0, abs=0.11)


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "avif"])
def test_given_a_format_when_a_still_is_made_then_it_is_one_picture(render, film, kind):
    file = render(film, format=kind, time=1.0, width=100).files[0]

    assert (file.width, file.frames, file.duration) == (100, 1, None)


def test_given_transparency_when_the_format_keeps_it_then_it_is_kept(render, make):
    clip = make("clear.mov", "color=red@0.5:s=64x64:d=1,format=rgba", "-c:v", "png")

    kept = render(clip, format="png", time=0.0).files[0].path
    with Image.open(kept) as image:
        assert image.getpixel((5, 5))[3] == pytest.approx(128, abs=3)


def test_given_transparency_when_the_format_has_none_then_it_is_laid_on_the_background(
    render, make
):
    clip = make("clear.mov", "color=red@0.5:s=64x64:d=1,format=rgba", "-c:v", "png")

    flat = render(clip, background="#0000ff", time=0.0).files[0].path
    with Image.open(flat) as image:
        assert image.getpixel((32, 32)) == pytest.approx((128, 0, 128), abs=12)


def test_given_a_stop_flag_when_it_is_true_then_the_render_is_interrupted(render, film):
    with pytest.raises(Interrupted):
        render(film, "animation", watch=Watch(should_stop=lambda: True))


def test_given_a_render_when_it_runs_then_progress_only_grows(render, film):
    seen = []

    render(film, "animation", watch=Watch(progress=seen.append))

    assert seen == sorted(seen)
    assert all(0 <= share <= 1 for share in seen)


def test_given_a_source_when_rendered_twice_then_the_bytes_are_the_same(render, film):
    first = render(film, time=1.0).files[0].path.read_bytes()

    assert render(film, time=1.0).files[0].path.read_bytes() == first


@pytest.fixture
def plans(monkeypatch):
    """Put a plan of the test's own in the place of the thumbnail's recipe."""

    def use(*alternatives):
        recipe = lambda *_: Plan(tuple(alternatives))  # noqa: E731 - a stand-in
        monkeypatch.setitem(engines.RECIPES, "thumbnail", recipe)

    return use


def _alternative(name, made, *words):
    def run():
        yield Step(words, seconds=1, tolerant=True)
        return [made]

    return Alternative(name, run, warnings=(f"{name}_used",))


PICTURE = ("-f", "lavfi", "-i", "color=s=32x16", "-frames:v", "1", "a.png")
MADE = Made("a.png", "a.png", "image/png", 32, 16)


def test_given_an_alternative_that_makes_nothing_when_run_then_the_next_is_used(
    plans, render, film
):
    plans(
        _alternative("first", MADE, "-version"), _alternative("second", MADE, *PICTURE)
    )

    done = render(film)

    assert [report.rung for report in done.reports] == ["first", "second"]
    assert done.reports[0].error.code == "decode_error"
    assert done.reports[1].error is None
    assert done.warnings == ["second_used"]


def test_given_a_stale_file_of_an_earlier_alternative_when_run_then_it_never_counts(
    plans, render, film
):
    wrong = replace(MADE, width=64)
    plans(
        _alternative("first", wrong, *PICTURE), _alternative("second", MADE, "-version")
    )

    with pytest.raises(DecodeError) as caught:
        render(film)

    details = [report.error.detail for report in caught.value.reports]
    assert details == ["a.png: width is 32, expected 64", "a.png was not written"]


def test_given_a_file_that_does_not_decode_when_checked_then_it_does_not_count(
    plans, render, film
):
    half = replace(MADE, text="not a picture")
    plans(_alternative("only", half, *PICTURE))

    with pytest.raises(DecodeError, match="does not decode"):
        render(film)


def test_given_fewer_frames_than_promised_when_checked_then_the_file_does_not_count(
    plans, render, film
):
    plans(_alternative("only", replace(MADE, frames=2), *PICTURE))

    with pytest.raises(DecodeError, match="has 1 frames, expected 2"):
        render(film)


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
@pytest.mark.parametrize(
    ("fit", "size"), [("cover", (33, 177)), ("cover", (301, 3)), ("pad", (101, 101))]
)
def test_given_odd_sizes_when_cropped_or_padded_then_the_still_is_as_asked(
    render, film, kind, fit, size
):
    width, height = size

    done = render(film, width=width, height=height, fit=fit, format=kind, time=0)

    assert (done.files[0].width, done.files[0].height) == size


@pytest.mark.parametrize("kind", ["gif", "webp"])
@pytest.mark.parametrize("fit", ["cover", "pad"])
def test_given_odd_sizes_when_cropped_or_padded_then_the_animation_is_as_asked(
    render, film, kind, fit
):
    box = {"width": 33, "height": 177, "fit": fit}

    done = render(film, "animation", format=kind, duration=0.2, **box)

    assert (done.files[0].width, done.files[0].height) == (33, 177)


def test_given_one_frame_when_its_gif_must_be_small_then_the_frame_is_in_it(
    render, make
):
    noise = "testsrc2=s=320x180:r=25:d=0.04,noise=alls=60"
    clip = make("one-noisy.mp4", noise, "-pix_fmt", "yuv420p")

    done = render(clip, "animation", max_bytes=8000)

    assert done.files[0].frames == 1
    assert done.files[0].path.stat().st_size <= 8000


def test_given_times_when_one_lies_past_the_end_then_the_error_points_at_it(
    render, film
):
    with pytest.raises(SeekPastEnd) as caught:
        render(film, times=[1.0, 99.0, "50%"])

    assert caught.value.pointer == "/times/1"


def test_given_a_whole_film_of_two_minutes_when_auto_looks_at_it_then_no_damage_is_told(
    render, make
):
    source = "testsrc2=s=160x90:r=25:d=120"
    film = make("two-minutes.mp4", source, "-g", "250", "-pix_fmt", "yuv420p")

    done = render(film)

    assert (done.reports[0].rung, done.warnings) == ("auto", [])


def _index(*named):
    text = json.dumps({"files": [{"file": name} for name in named]})
    return Made("all.json", "all.json", "application/json", text=text)


def test_given_an_index_when_it_names_what_was_made_then_its_names_are_told(
    plans, render, film
):
    def run():
        yield Step(PICTURE, seconds=1)
        return [MADE, _index("a.png", "a.png")]

    plans(Alternative("only", run))

    assert render(film).files[1].names == ["a.png"]


def test_given_an_index_when_it_names_a_file_nobody_made_then_it_is_our_defect(
    plans, render, film
):
    def run():
        yield Step(PICTURE, seconds=1)
        return [MADE, _index("a.png", "b.png")]

    plans(Alternative("only", run))

    with pytest.raises(InternalError, match=r"b\.png"):
        render(film)


def test_given_parts_when_joined_then_the_index_may_name_their_files(
    plans, engine, film, workdir
):
    plans(Alternative("only", lambda: _nothing([_index("b.png")])))
    media = engine.probe(LocalFile(film))
    spec = ThumbnailSpec(kind="thumbnail")
    parts = [[PartFile(name="b.png", bytes=1)], []]

    done = engine.render(
        RenderJob(spec, media, LocalFile(film), workdir, parts=parts), Watch()
    )

    assert done.files[0].names == ["b.png"]


def _nothing(made):
    yield from ()
    return made
