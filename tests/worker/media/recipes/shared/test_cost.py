"""The cost of encoding: the rate and size that a task can afford, and its deadline."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import pytest

from common.errors import Timeout
from common.outputs.specs import OUTPUT_SPEC, AnimationSpec
from common.settings.load import Settings
from worker.media import warning_codes
from worker.media.engine import Engine, RenderJob, Watch
from worker.media.ffmpeg import binary, process
from worker.media.ffmpeg.clip import Clip
from worker.media.ffmpeg.plan import Done, FileFacts
from worker.media.ffmpeg.process import Bounds
from worker.media.recipes import animation, preview, snippets
from worker.media.recipes.contact_sheet import layout
from worker.media.recipes.contact_sheet import recipe as contact_sheet
from worker.media.recipes.shared import cost, encoders
from worker.media.recipes.shared.picture import Box
from worker.media.recipes.storyboard import recipe as storyboard
from worker.media.source_file import LocalFile

LARGEST = Box((1280, 1280), 1280, 1280)
WIDE = Box((1280, 720), 1280, 720)
FORMATS = ["gif", "webp", "avif", "mp4", "webm"]


@pytest.mark.parametrize("kind", FORMATS)
def test_given_thirty_seconds_of_720p_then_the_rate_is_as_asked(kind):
    assert cost.rate(30.0, kind, WIDE, 30.0) == 30.0


def test_given_the_longest_largest_webm_then_its_rate_is_what_a_task_can_encode():
    rate = cost.rate(30.0, "webm", LARGEST, 120.0)

    assert 1.0 < rate < 30.0
    assert cost.seconds("webm", 1280 * 1280 * rate * 120) == pytest.approx(
        cost.MOST_SECONDS, rel=0.01
    )


def test_given_frames_that_are_stored_then_they_fit_on_disk():
    rate = cost.rate(30.0, "mp4", LARGEST, 30.0, stored=True)

    assert 1280 * 1280 * rate * 30 == pytest.approx(cost.STORED_PIXELS, rel=0.01)


@pytest.mark.parametrize("kind", ["webp", "webm"])
def test_given_a_costly_format_then_the_deadline_follows_the_pixels(engine, film, kind):
    spec = AnimationSpec(
        kind="animation", start=0, format=kind, width=1280, enlarge=True, speed=0.25
    )
    clip = Clip("source", engine.probe(LocalFile(film)))
    step = next(animation.plan(spec, clip).alternatives[0].run())

    cap = binary.bounds(Settings(), step.seconds).cap_seconds
    pixels = 1280 * 720 * 15 * 20
    assert cap >= 60 + cost.seconds(kind, pixels * 0.7)


def clip_of(
    engine: Engine, film: Path, *, seconds: float, size: tuple[int, int]
) -> Clip:
    """The film as one of another length and size."""
    media = engine.probe(LocalFile(film))
    assert media.video is not None
    width, height = size
    shape = {"width": width, "height": height}
    shape |= {"coded_width": width, "coded_height": height}
    video = media.video.model_copy(update=shape)
    changed = media.model_copy(update={"duration": seconds, "video": video})
    return Clip("source", changed)


def spec_of(**words: object) -> Any:
    return OUTPUT_SPEC.validate_python(words)


@pytest.mark.parametrize(("window", "reduced"), [(600.0, True), (60.0, False)])
def test_given_snippets_over_what_a_task_can_encode_then_all_have_a_lower_rate(
    engine, film, window, reduced
):
    clip = clip_of(engine, film, seconds=1200, size=(640, 640))
    spec = spec_of(kind="snippets", format="webm", width=640, fps=30, window=window)

    plan = snippets.plan(spec, clip)
    step = next(plan.alternatives[0].run())

    assert (warning_codes.FPS_REDUCED in plan.warnings) is reduced
    words = " ".join(step.argv)
    assert ("fps=30:" in words) is not reduced
    assert cost.rate(30, "webm", Box((640, 640), 640, 640), window) < 30 or not reduced


@pytest.mark.parametrize(("length", "reduced"), [(5.0, True), (0.5, False)])
def test_given_a_preview_over_what_the_disk_can_hold_then_it_has_a_lower_rate(
    engine, film, length, reduced
):
    clip = clip_of(engine, film, seconds=1200, size=(1280, 720))
    spec = spec_of(
        kind="preview", format="mp4", width=1280, fps=30, segment_duration=length
    )

    plan = preview.plan(spec, clip)

    assert (warning_codes.FPS_REDUCED in plan.alternatives[0].warnings) is reduced
    words = " ".join(next(plan.alternatives[0].run()).argv)
    assert ("fps=30:" in words) is not reduced


@pytest.mark.parametrize("kind", ["avif", "png", "webp", "jpeg"])
@pytest.mark.parametrize(("columns", "rows"), [(1, 2), (12, 20), (3, 7)])
def test_given_the_largest_sheet_then_its_frames_shrink_to_what_can_be_opened(
    engine, film, kind, columns, rows
):
    clip = clip_of(engine, film, seconds=60, size=(600, 800))
    spec = spec_of(
        kind="contact_sheet", format=kind, width=7680, columns=columns, rows=rows
    )
    sheet = layout.SheetLayout(spec, clip)

    tall = 2 * sheet.margin + rows * (sheet.box.height + sheet.gap)
    tall += round(2.5 * sheet.font_size) + sheet.margin // 2

    most = layout.AVIF_PIXELS / 7680 if kind == "avif" else layout.MAX_SIDE
    assert 0.9 * most < tall <= most
    assert (
        warning_codes.TILES_REDUCED
        in contact_sheet.plan(spec, clip).alternatives[0].warnings
    )


def test_given_a_sheet_that_fits_then_its_frames_are_not_reduced(engine, film):
    clip = Clip("source", engine.probe(LocalFile(film)))
    spec = spec_of(kind="contact_sheet", format="avif", width=7680)

    plan = contact_sheet.plan(spec, clip)

    assert warning_codes.TILES_REDUCED not in plan.alternatives[0].warnings


@pytest.mark.parametrize(
    ("kind", "words", "pixels"),
    [
        ("avif", {"kind": "thumbnail", "time": 1, "height": 4320}, 7680 * 4320),
        ("webp", {"kind": "thumbnail", "policy": "keyframe"}, 7680 * 4320),
        ("png", {"kind": "contact_sheet", "columns": 1, "rows": 1}, 7400 * 4000),
    ],
)
def test_given_one_large_picture_then_its_encoder_may_be_silent_that_long(
    kind, words, pixels, engine, film, workdir, monkeypatch
):
    seen: list[Bounds] = []

    def run(*_: object, bounds: Bounds, **__: object) -> NoReturn:
        seen.append(bounds)
        raise Timeout("enough")

    media = engine.probe(LocalFile(film))
    enlarge = {} if words["kind"] == "contact_sheet" else {"enlarge": True}
    spec = spec_of(**words, **enlarge, format=kind, width=7680)
    monkeypatch.setattr(process, "run", run)
    with pytest.raises(Timeout):
        engine.render(RenderJob(spec, media, LocalFile(film), workdir), Watch())

    assert seen[0].stall_seconds >= 30 + 4 * cost.still(kind, pixels)
    assert seen[0].cap_seconds >= seen[0].stall_seconds


def test_given_a_sheet_is_laid_then_its_encoder_may_be_silent_that_long(engine, film):
    clip = clip_of(engine, film, seconds=60, size=(640, 360))
    spec = spec_of(kind="contact_sheet", format="avif", width=7680, rows=2)
    sheet = layout.SheetLayout(spec, clip)

    step = layout.lay(sheet, 4, [float(at) for at in range(8)], "contact-sheet.avif")

    assert step.silent >= cost.still("avif", 7680 * 2 * sheet.box.height)


@pytest.mark.parametrize("kind", ["avif", "webp"])
def test_given_sheets_of_a_storyboard_then_the_deadline_follows_their_pixels(
    engine, film, kind
):
    clip = clip_of(engine, film, seconds=50, size=(640, 360))
    spec = spec_of(kind="storyboard", format=kind, width=640, interval=0.5)
    run = next(
        r for r in storyboard.plan(spec, clip).alternatives if r.name == "decode"
    ).run()
    next(run)
    times = "".join(f"m=1\npts_time:{at / 2}\n" for at in range(100))
    files = {"all.nut": FileFacts(1)}

    step = run.send(Done(0, times.encode(), "", files))

    assert step.seconds >= cost.still(kind, 100 * 640 * 360)
    assert step.silent >= cost.still(kind, 80 * 640 * 360)
    assert ("-compression_level" in step.argv) is (kind == "webp")


@pytest.mark.parametrize(
    "words",
    [
        {"kind": "thumbnail", "time": 1, "enlarge": True},
        {"kind": "thumbnail", "fallback": ["icon"]},
    ],
)
def test_given_a_large_webp_then_libwebp_holds_no_tokens(
    words, engine, film, workdir, monkeypatch
):
    seen: list[list[str]] = []

    def run(argv: list[str], **_: object) -> NoReturn:
        seen.append(argv)
        raise Timeout("enough")

    media = engine.probe(LocalFile(film))
    spec = spec_of(**words, format="webp", width=7680)
    monkeypatch.setattr(process, "run", run)
    with pytest.raises(Timeout):
        engine.render(RenderJob(spec, media, LocalFile(film), workdir), Watch())

    assert seen[0][seen[0].index("-compression_level") + 1] == "2"


def test_given_a_large_avif_then_it_is_encoded_in_the_mode_of_less_memory():
    side = 7680

    large = encoders.still("avif", 80, pixels=side * side)
    small = encoders.still("avif", 80, pixels=3840 * 2160)

    assert large["usage"] == "allintra"
    assert "usage" not in small
