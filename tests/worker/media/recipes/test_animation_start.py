"""The start of an animation whose spec states none: real films, real engine."""

from __future__ import annotations

import pytest

from common.outputs.specs import OUTPUT_SPEC

_FILM = "testsrc2=s=160x90:r=10"
_BLACK = "color=black:s=160x90:r=10"
_CODEC = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "20", "-pix_fmt", "yuv420p")


@pytest.fixture
def dark_begin(make):
    graph = f"{_BLACK}:d=5[a];{_FILM}:d=9[b];[a][b]concat"
    return make("dark_begin.mp4", graph, *_CODEC)


def test_given_a_black_begin_when_nothing_is_said_then_the_film_is_shown(
    render, dark_begin
):
    done = render(dark_begin, kind="animation")

    assert done.warnings == []
    assert done.files[0].time >= 5.0
    details = done.files[0].details
    assert details["start"] == done.files[0].time
    assert details["end"] == pytest.approx(details["start"] + 5.0, abs=0.002)
    assert details["passed_over"] == [{"start": 1.4, "warnings": ["black"]}]


def test_given_a_limit_in_bytes_when_nothing_is_said_then_the_film_is_shown(
    render, dark_begin
):
    done = render(dark_begin, kind="animation", max_bytes=60_000, format="mp4")

    assert done.warnings == []
    assert done.files[0].time >= 5.0


def test_given_a_black_begin_when_its_start_is_stated_then_it_is_kept(
    render, dark_begin
):
    done = render(dark_begin, kind="animation", start="10%")

    assert done.warnings == ["black"]
    assert done.files[0].time == pytest.approx(1.4)
    assert "passed_over" not in done.files[0].details


def test_given_a_film_worth_seeing_when_nothing_is_said_then_it_starts_at_10_percent(
    render, make
):
    film = make("film_14s.mp4", f"{_FILM}:d=14", *_CODEC)

    done = render(film, kind="animation")

    assert done.warnings == []
    assert done.files[0].time == pytest.approx(1.4)
    assert done.files[0].details["passed_over"] == []


def test_given_a_film_all_black_when_nothing_is_said_then_it_warns(render, make):
    film = make("all_black.mp4", f"{_BLACK}:d=14", *_CODEC)

    done = render(film, kind="animation")

    assert done.warnings == ["black"]
    assert done.files[0].time == pytest.approx(1.4)


def test_given_a_still_picture_when_nothing_is_said_then_it_warns(render, make):
    graph = f"{_FILM}:d=0.1,loop=-1:1,trim=duration=14"
    film = make("still.mp4", graph, *_CODEC)

    assert render(film, kind="animation").warnings == ["frozen"]


def test_given_a_film_shorter_than_the_stretch_when_black_then_it_warns(render, make):
    film = make("short_black.mp4", f"{_BLACK}:d=3", *_CODEC)

    assert render(film, kind="animation").warnings == ["black"]


def test_given_what_is_transparent_when_shown_then_it_is_not_black(render, make):
    graph = "color=black@0:s=64x64:r=10:d=2,format=rgba,drawbox=8:8:20:20:black:fill"
    graph += ",drawbox=40:40:t*4+1:9:black:fill"
    film = make("clear-square.mov", graph, "-c:v", "png")

    assert "black" not in render(film, kind="animation").warnings


def test_given_a_picture_of_a_few_pixels_when_shown_then_it_is_made(render, dark_begin):
    done = render(dark_begin, kind="animation", width=2, height=2, fit="stretch")

    assert [report.rung for report in done.reports] == ["seek"]


def test_given_black_segments_when_a_preview_is_made_then_each_is_named(
    render, dark_begin
):
    done = render(dark_begin, kind="preview", segments=5, fps=5)

    assert done.warnings == ["black"]
    shows = [part.get("shows") for part in done.files[0].details["segments"]]
    assert shows[0] == "black"
    assert shows[-1] is None


def test_given_black_windows_when_snippets_are_made_then_each_is_named(
    render, dark_begin
):
    done = render(dark_begin, kind="snippets", window=4, fps=5)

    shows = [file.details.get("shows") for file in done.files]
    assert shows == ["black", None, None, None, None]
    assert done.warnings == ["black"]


@pytest.mark.parametrize("end", [9, "80%"])
def test_given_an_end_when_no_start_is_stated_then_it_is_10_percent(end):
    assert OUTPUT_SPEC.validate_python({"kind": "animation", "end": end}).start == "10%"


def test_given_a_film_black_but_for_its_end_when_nothing_is_said_then_that_is_shown(
    render, make
):
    graph = f"{_BLACK}:d=12[a];{_FILM}:d=1.2[b];[a][b]concat"
    film = make("bright_end.mp4", graph, *_CODEC)

    done = render(film, kind="animation")

    assert done.warnings == ["black"]
    assert done.files[0].time == pytest.approx(8.2, abs=0.11)
    assert done.files[0].details["passed_over"] == [
        {"start": 1.32, "warnings": ["black"]}
    ]
