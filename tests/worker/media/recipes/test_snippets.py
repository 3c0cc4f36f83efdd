"""Snippets: every second in one window, parts that agree, one manifest."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from common.errors import NoVideoStream
from common.model import MediaInfo, PartFile, PartSpec, VideoInfo
from common.outputs.specs import SnippetsSpec
from tests.worker.media.recipes.conftest import Render
from tests.worker.media.recipes.ramps import luma, ramp, read_time, x264
from worker.media.ffmpeg.clip import Clip
from worker.media.recipes import snippets

VIDEO = VideoInfo(
    index=0,
    codec="h264",
    coded_width=1920,
    coded_height=1080,
    width=1920,
    height=1080,
    fps=30.0,
)


def media(duration: float | None) -> MediaInfo:
    return MediaInfo(container="mov", duration=duration, video=VIDEO)


def spec(**words: object) -> SnippetsSpec:
    return SnippetsSpec(kind="snippets", **words)


@pytest.mark.parametrize("length", [0.04, 29.9, 30.0, 30.05, 95.0, 7200.0])
def test_windows_cover_every_second_once(length: float) -> None:
    found = snippets.windows(spec(), 0.0, length)

    assert found[0].start == 0.0
    assert found[-1].end == pytest.approx(max(length, 0.1))
    assert all(a.end == pytest.approx(b.start) for a, b in pairwise(found))


def test_three_minutes_are_enough_for_two_workers() -> None:
    """A window of 30 s of 720p takes 4 s of CPU (./dev bench, workers-snippets)."""
    small = VIDEO.model_copy(update={"coded_width": 1280, "coded_height": 720})
    film = media(180.0).model_copy(update={"video": small})
    assert [len(part.windows) for part in snippets.split(spec(), film)] == [3, 3]


def test_a_film_is_cut_into_parts_of_some_windows() -> None:
    parts = snippets.split(spec(), media(3600.0))

    found = [window for part in parts for window in part.windows]
    assert len(found) == 120
    assert [part.first for part in parts] == [
        sum(len(one.windows) for one in parts[:place]) for place in range(len(parts))
    ]
    assert 20 <= len(parts) <= 60
    assert [
        PartSpec.model_validate_json(one.model_dump_json()) for one in parts
    ] == parts


def test_a_short_video_is_one_task() -> None:
    assert snippets.split(spec(), media(30.0)) == []
    assert snippets.split(spec(), media(None)) == []


def test_the_number_of_windows_is_bounded() -> None:
    assert len(snippets.windows(spec(window=1), 0.0, 20_000.0)) == 1000


def test_a_part_without_frames_does_not_fail_the_others() -> None:
    part = PartSpec(first=3, windows=[(90.0, 30.0)])

    alternatives = snippets.plan(
        spec(), Clip("source", media(120.0)), part, []
    ).alternatives

    assert [alternative.name for alternative in alternatives][-1] == "nothing"


def test_a_window_without_a_frame_leaves_the_others(
    tmp_path: Path, render: Render
) -> None:
    source = tmp_path / "a.h264"
    ramp(source, 5, *x264(25))

    done = render(source, kind="snippets", window=2, format="mp4")

    assert [one.name for one in done.files] == [
        *("snippet-0001.mp4", "snippet-0002.mp4", "snippet-0003.mp4"),
        "snippets.json",
    ]


def test_sound_alone_is_not_told_to_use_a_fallback() -> None:
    sound = MediaInfo(container="mp3", duration=9.0)

    with pytest.raises(NoVideoStream) as caught:
        snippets.plan(spec(), Clip("source", sound))

    assert "fallback" not in (caught.value.hint or "")


def test_windows_missing_at_the_end_are_told() -> None:
    made = PartFile(
        name="snippet-0001.gif",
        bytes=9,
        details={"index": 0, "start": 0.0, "end": 30.0},
    )
    plan = snippets.plan(spec(), Clip("source", media(90.0)), None, [[made], [], []])

    with pytest.raises(StopIteration) as end:
        next(plan.alternatives[0].run())

    assert json.loads(end.value.value[0].text)["missing"] == [1, 2]
    assert plan.alternatives[0].warnings == ("window_missing",)


def test_one_frame_gives_one_snippet_and_says_so(
    tmp_path: Path, render: Render
) -> None:
    source = ramp(tmp_path / "a.mp4", 0.04, *x264(25))

    done = render(source, kind="snippets", format="mp4")

    manifest = json.loads(done.files[-1].path.read_text())
    assert done.files[0].frames == 1
    assert done.warnings == ["single_frame"]
    assert manifest["duration"] == 0.04


@pytest.mark.parametrize(
    ("length", "window", "warnings"),
    [(999.0, 1.0, ()), (20_000.0, 20.0, ("interval_stretched",))],
)
def test_the_manifest_states_the_window_that_was_used(
    length: float, window: float, warnings: tuple[str, ...]
) -> None:
    made = PartFile(name="a", bytes=9, details={"index": 0, "start": 0, "end": 1})
    requested, film = spec(window=1), Clip("source", media(length))
    plan = snippets.plan(requested, film, None, [[made]])

    with pytest.raises(StopIteration) as end:
        next(plan.alternatives[0].run())

    manifest = json.loads(end.value.value[0].text)
    assert (manifest["window"], manifest["asked_window"]) == (window, 1.0)
    assert plan.warnings == warnings


def test_parts_and_manifest_name_the_same_files(
    tmp_path: Path, render: Render, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snippets, "_PART_SECONDS", 0.5)
    source = ramp(tmp_path / "a.mp4", 25, *x264(25))

    done = render(source, kind="snippets", window=10, fps=5)

    *clips, manifest = done.files
    index = json.loads(manifest.path.read_text())
    assert [one["file"] for one in index["snippets"]] == [one.name for one in clips]
    assert [one["bytes"] for one in index["snippets"]] == [
        one.path.stat().st_size for one in clips
    ]
    assert [(one["start"], one["end"]) for one in index["snippets"]] == [
        (0.0, 10.0),
        (10.0, 20.0),
        (20.0, 25.0),
    ]
    assert [one.frames for one in clips] == [50, 50, 25]
    assert index["missing"] == []


def test_a_snippet_starts_with_the_first_frame_of_its_window(
    tmp_path: Path, render: Render
) -> None:
    source = ramp(tmp_path / "a.mp4", 25, *x264(70))

    done = render(source, kind="snippets", window=10, fps=5, format="gif")

    for one in done.files[:-1]:
        with Image.open(one.path) as film:
            picture = film.convert("RGB")
        place = (0, 0, picture.width, picture.height)
        shown = read_time(luma(picture, place))
        assert shown == pytest.approx(one.details["start"], abs=0.2)


def test_a_long_gif_is_drawn_twice_so_that_its_frames_need_not_wait() -> None:
    requested = spec(window=600, width=640, fps=10)

    plan = snippets.plan(requested, Clip("source", media(1200.0)))

    words = " ".join(next(plan.alternatives[0].run()).argv)
    assert "fps=10:" in words
    assert "palettegen" in words
    assert "paletteuse" not in words
