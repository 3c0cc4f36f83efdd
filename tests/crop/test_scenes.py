"""The labelled scenes are consistent, and the films that show them can be made."""

from __future__ import annotations

import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from common.settings.load import Settings
from tests.crop import scenes
from tests.crop.scenes import DRAWN, HALVES, LANDSCAPE, PORTRAIT, Scene
from worker.media.ffmpeg import binary

ALL = scenes.load()
README = Path(__file__).with_name("README.md")
WIDE = 1.75


@pytest.fixture(scope="session")
def ffmpeg() -> str:
    return binary.path(Settings())


def test_there_are_forty_scenes_each_with_its_name():
    assert len({scene.name for scene in ALL}) == len(ALL) == 40


def test_ten_are_portrait_and_the_rest_are_wide():
    assert sum(scene.is_portrait for scene in ALL) == 10
    assert all(max(s.size) / min(s.size) >= WIDE for s in ALL)


def test_at_least_half_are_footage():
    assert sum(scene.source != DRAWN for scene in ALL) >= 20
    assert all((scene.source == DRAWN) == bool(scene.drawing) for scene in ALL)


def test_every_box_lies_in_its_picture():
    for scene in ALL:
        (x, y, w, h), (width, height) = scene.box, scene.size
        assert 0 <= x < x + w <= width, scene.name
        assert 0 <= y < y + h <= height, scene.name


def test_a_cut_has_the_size_of_the_picture():
    assert all(s.cut is None or s.cut[2:] == s.size for s in ALL)


def test_every_scene_names_the_ratios_that_its_box_fits():
    assert {s.name: s.ratios for s in ALL} == {s.name: scenes.fitting(s) for s in ALL}
    assert all(scene.ratios for scene in ALL)


def test_every_ratio_has_scenes_for_both_halves():
    pairs = {(ratio, scene.half) for scene in ALL for ratio in scene.ratios}
    ratios = (*LANDSCAPE, *PORTRAIT)
    assert pairs == {(ratio, half) for ratio in ratios for half in HALVES}


def test_the_halves_follow_the_rule():
    assert {scene.name: scene.half for scene in ALL} == scenes.halves(ALL)
    assert Counter(s.half for s in ALL) == {"tuning": 20, "held-out": 20}


def test_the_halves_do_not_depend_on_the_order():
    assert scenes.halves(ALL[::-1]) == scenes.halves(ALL)


def test_the_readme_has_the_summary():
    assert scenes.summary(ALL) in README.read_text("utf-8")


@pytest.mark.parametrize(
    ("ratio", "size", "expected"),
    [
        ("1:1", (1280, 720), (720, 720)),
        ("9:16", (1280, 720), (405, 720)),
        ("16:9", (720, 1280), (720, 405)),
    ],
)
def test_a_window_has_full_height_or_full_width(ratio, size, expected):
    assert scenes.window(size, ratio) == expected


@pytest.mark.parametrize(("x", "held"), [(279, False), (280, True), (901, False)])
def test_the_centre_holds_a_box_that_is_wholly_inside(x, held):
    scene = replace(ALL[0], size=(1280, 720), box=(x, 0, 100, 720))
    assert scenes.is_held_by_centre(scene, "1:1") is held


def test_a_drawn_scene_shows_its_subject_in_the_box(ffmpeg, tmp_path):
    scene = next(scene for scene in ALL if scene.name == "orange-ball")
    shown = scenes.picture(scene, scenes.video(scene, tmp_path, ffmpeg))
    assert _box_of(shown, _is_orange) == pytest.approx(scene.box, abs=2)


def test_a_cut_is_made_in_square_pixels(ffmpeg, tmp_path):
    clips = tmp_path / "clips"
    clips.mkdir()
    # Shown as 192x144: the square from 120, 48 is 24 wide and 24 high.
    graph = "color=blue:s=144x144:r=25,drawbox=90:48:18:24:orange:fill,setsar=4/3"
    words = ("-f", "lavfi", "-i", graph, "-t", "2", str(clips / "square.mp4"))
    subprocess.run([ffmpeg, "-v", "error", *words], check=True, timeout=60)
    scene = Scene(
        name="square",
        source="square.mp4",
        time=1.0,
        size=(92, 140),
        box=(20, 44, 24, 24),
        ratios=(),
        half="tuning",
        cut=(100, 4, 92, 140),
    )
    shown = scenes.picture(scene, scenes.video(scene, tmp_path, ffmpeg, tmp_path))
    assert shown.size == (92, 140)
    assert _box_of(shown, _is_orange) == pytest.approx(scene.box, abs=2)


def test_a_whole_clip_is_taken_as_it_is(ffmpeg, tmp_path):
    scene = next(scene for scene in ALL if scene.source == "bbb" and not scene.cut)
    path = scenes.video(scene, tmp_path, ffmpeg, tmp_path)
    assert path == tmp_path / "perf" / "bbb_720p30_36s.ts"


def test_a_film_of_the_corpus_needs_the_corpus(ffmpeg, tmp_path):
    scene = next(scene for scene in ALL if scene.source != DRAWN)
    with pytest.raises(ValueError, match="which folder"):
        scenes.video(scene, tmp_path, ffmpeg)


def _is_orange(pixel: tuple[int, int, int]) -> bool:
    red, _, blue = pixel
    return red > 180 and blue < 90


def _box_of(image: Image.Image, wanted) -> tuple[int, int, int, int]:
    pixels = image.load()
    found = [
        (x, y)
        for y in range(image.height)
        for x in range(image.width)
        if wanted(pixels[x, y])
    ]
    left, top = min(x for x, _ in found), min(y for _, y in found)
    right, bottom = max(x for x, _ in found), max(y for _, y in found)
    return left, top, right + 1 - left, bottom + 1 - top
