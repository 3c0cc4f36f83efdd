"""Encoding of animations: how many frames wait, and the optimizer."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from common.outputs.specs import AnimationSpec, OutputSpec
from tests.worker.media.recipes.ramps import ffmpeg
from worker.media.engine import Engine, Rendered, RenderJob, Watch
from worker.media.ffmpeg.clip import Clip
from worker.media.ffmpeg.plan import Done
from worker.media.recipes import animation
from worker.media.recipes.shared import moving, span
from worker.media.recipes.shared.picture import Box
from worker.media.source_file import LocalFile


class _Everything(dict):
    def __contains__(self, _: object) -> bool:
        return True


@pytest.fixture
def render(engine: Engine, workdir: Path, film: Path):
    def _render(**words: object) -> Rendered:
        spec: OutputSpec = AnimationSpec(kind="animation", **words)
        return engine.render(
            RenderJob(spec, engine.probe(LocalFile(film)), LocalFile(film), workdir),
            Watch(),
        )

    return _render


def _runs(engine: Engine, film: Path, **words: object) -> list[str]:
    spec = AnimationSpec(kind="animation", start=0, **words)
    run = (
        animation.plan(spec, Clip("source", engine.probe(LocalFile(film))))
        .alternatives[0]
        .run()
    )
    step = next(run)
    seen = [" ".join(step.argv)]
    try:
        while True:
            step = run.send(Done(0, b"", "", _Everything()))
            seen.append(" ".join(step.argv))
    except StopIteration:
        return seen


def test_given_few_frames_when_a_gif_is_planned_then_one_run_makes_it(engine, film):
    (run,) = _runs(engine, film)

    assert "palettegen" in run
    assert "paletteuse" in run


def test_given_many_large_frames_when_a_gif_is_planned_then_none_waits(engine, film):
    first, second = _runs(engine, film, width=1280, enlarge=True, fps=30.0)

    assert "palettegen" in first
    assert "paletteuse" not in first
    assert "paletteuse" in second
    assert "palettegen" not in second


def test_given_two_runs_when_a_gif_is_made_then_it_looks_as_with_one(
    render, monkeypatch
):
    once = render(duration=2.0).files[0]
    kept = once.path.rename(once.path.parent.with_name("once.gif"))
    monkeypatch.setattr(moving, "_HELD_BYTES", 0)

    twice = render(duration=2.0).files[0]

    assert (twice.frames, twice.duration) == (once.frames, once.duration)
    with Image.open(kept) as one, Image.open(twice.path) as other:
        assert one.convert("RGB").tobytes() == other.convert("RGB").tobytes()


def test_given_two_colours_when_a_gif_is_made_then_it_has_no_more(render):
    made = render(duration=0.5, colors=2, width=64).files[0]

    with Image.open(made.path) as picture:
        assert len(picture.convert("RGB").getcolors()) == 2


@pytest.mark.needs("gifsicle")
def test_given_gifsicle_when_a_gif_is_optimized_then_it_is_smaller_and_whole(render):
    plain = render(duration=2.0).files[0]
    size = plain.path.stat().st_size

    done = render(duration=2.0, optimize=True)

    small = done.files[0]
    assert small.path.stat().st_size < size
    assert small.details["optimized"] is True
    assert (small.frames, small.duration) == (plain.frames, plain.duration)
    assert done.warnings == []


def test_given_no_gifsicle_when_a_gif_is_optimized_then_the_plain_one_comes(
    render, monkeypatch
):
    monkeypatch.setenv("PATH", "/nowhere")

    done = render(duration=2.0, optimize=True)

    assert [report.rung for report in done.reports] == ["optimized", "seek"]
    assert done.reports[0].error.detail == "gifsicle is not installed"
    assert done.warnings == ["not_optimized"]
    assert done.files[0].frames == 30


@pytest.mark.parametrize("seconds", [5.0, 30.0, 120.0])
def test_given_a_large_boomerang_when_its_rate_is_chosen_then_its_frames_fit(seconds):
    box = Box((1280, 1280), 1280, 1280)

    fps = moving.fps_within_memory(30.0, box, seconds)

    assert 4 * 1280 * 1280 * fps * seconds <= 330 * 2**20


def test_given_a_boomerang_over_the_memory_when_planned_then_its_rate_is_told(
    engine, film
):
    words = {"boomerang": True, "width": 1280, "height": 1280, "fit": "stretch"}
    spec = AnimationSpec(kind="animation", enlarge=True, **words)

    plan = animation.plan(spec, Clip("source", engine.probe(LocalFile(film))))

    assert "fps_reduced" in plan.alternatives[0].warnings


def test_given_a_plain_colour_when_a_gif_is_made_then_it_keeps_exactly_that_colour(
    engine, workdir, film
):
    plain = workdir / "plain.mkv"
    graph = "color=s=320x180:r=15:d=1,format=gbrp,lutrgb=r=49:g=160:b=199"
    graph += ",drawbox=0:0:160:180:0x808080:t=fill"
    ffmpeg("-f", "lavfi", "-i", graph, "-c:v", "ffv1", str(plain))
    media, folder = engine.probe(LocalFile(plain)), workdir / "work"
    folder.mkdir()
    spec = AnimationSpec(kind="animation")

    done = engine.render(RenderJob(spec, media, LocalFile(plain), folder), Watch())

    with Image.open(done.files[0].path) as picture:
        shown = picture.convert("RGB")
    assert shown.getpixel((80, 90)) == (0x80, 0x80, 0x80)
    assert shown.getpixel((240, 90)) == (49, 160, 199)


def test_given_a_soft_gradient_when_a_gif_is_made_then_it_shows_no_bands(
    engine, workdir
):
    ramp = workdir / "ramp.mkv"
    graph = "color=s=320x180:r=10:d=1,format=gray,geq=lum=40+X/4"
    ffmpeg("-f", "lavfi", "-i", graph, "-pix_fmt", "gray", "-c:v", "ffv1", str(ramp))
    media, folder = engine.probe(LocalFile(ramp)), workdir / "work"
    folder.mkdir()
    spec = AnimationSpec(kind="animation", start=0, duration=1, width=320)

    done = engine.render(RenderJob(spec, media, LocalFile(ramp), folder), Watch())

    with Image.open(done.files[0].path) as picture:
        shown = picture.convert("L").crop((0, 80, 320, 96)).resize((320, 1))
    levels = list(shown.tobytes())
    assert levels == pytest.approx([40 + x // 4 for x in range(320)], abs=1)
    assert max(later - one for one, later in pairwise(levels)) == 1


@pytest.mark.parametrize(
    ("codec", "width", "option"),
    [("h264", 240, "bidir"), ("hevc", 240, "noref"), ("h264", 640, None)],
)
def test_given_a_small_picture_when_sampled_then_unseen_edges_are_not_filtered(
    engine, film, codec, width, option
):
    media = engine.probe(LocalFile(film))
    video = media.video.model_copy(update={"codec": codec, "width": 1280})
    clip = Clip("source", media.model_copy(update={"video": video}))

    found = span.deblocking(clip, width)

    assert found.get("skip_loop_filter") == option
