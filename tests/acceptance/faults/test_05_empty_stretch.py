"""An animation of a film that begins black shows the film, and says where."""

from __future__ import annotations

import subprocess

import imageio_ffmpeg
import pytest

from tests.acceptance.decode import decode
from tests.acceptance.service import artifact, output_of

DARK, WHOLE = 5.0, 14.0
SIZE = "s=96x54:r=10"
DEFAULT = {"kind": "animation", "name": "default"}


def _film(path, graph):
    argv = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i", graph]
    argv += ["-pix_fmt", "yuv420p", "-g", "20", "-y", str(path)]
    subprocess.run(argv, check=True, timeout=60)
    return path


@pytest.fixture(scope="module")
def dark_begin(tmp_path_factory):
    graph = f"color=black:{SIZE}:d={DARK}[a];testsrc2={SIZE}:d={WHOLE - DARK}[b]"
    return _film(
        tmp_path_factory.mktemp("films") / "dark_begin.mp4", f"{graph};[a][b]concat"
    )


@pytest.fixture(scope="module")
def job(service, dark_begin):
    return service.submit(
        dark_begin,
        [
            DEFAULT,
            {"kind": "animation", "name": "auto", "start": "auto", "format": "mp4"},
            {"kind": "animation", "name": "small", "max_bytes": 100_000},
            {"kind": "animation", "name": "stated", "start": 0, "duration": 3},
            {"kind": "preview", "name": "preview", "segments": 4},
            {"kind": "snippets", "name": "snippets", "window": 4},
        ],
    )


def _light(picture):
    return max(high for _, high in picture.convert("RGB").getextrema())


@pytest.mark.parametrize("name", ["default", "auto", "small"])
def test_a_start_that_is_ours_to_choose_shows_the_film(service, job, name):
    assert output_of(job, name)["warnings"] == []
    file = artifact(job, name)
    assert file["time"] >= DARK
    assert file["details"]["start"] == file["time"]
    assert file["details"]["passed_over"][0]["warnings"] == ["black"]

    if name != "auto":
        for frame in decode(service.fetch(file).body):
            assert _light(frame.picture) > 100


def test_a_start_that_was_stated_is_kept_with_a_warning(service, job):
    assert output_of(job, "stated")["warnings"] == ["black"]
    assert artifact(job, "stated")["time"] == 0


def test_black_segments_are_named(job):
    assert output_of(job, "preview")["warnings"] == ["black"]
    segments = artifact(job, "preview")["details"]["segments"]
    assert [part.get("shows") for part in segments] == ["black", "black", None, None]


def test_black_snippets_are_named(service, job):
    assert output_of(job, "snippets")["warnings"] == ["black"]
    index = service.fetch(artifact(job, "snippets", "snippets.json")).json()
    shows = [one["shows"] for one in index["snippets"]]
    assert shows == ["black", None, None, None]


@pytest.mark.parametrize(
    ("graph", "warnings"),
    [
        (f"color=black:{SIZE}:d=8", ["black"]),
        (f"color=white:{SIZE}:d=8", ["flat"]),
        (f"testsrc2={SIZE}:d=0.1,loop=-1:1,trim=duration=8", ["frozen"]),
    ],
)
def test_a_film_with_nothing_to_see_is_warned_about(service, tmp_path, graph, warnings):
    job = service.submit(_film(tmp_path / "empty.mp4", graph), [DEFAULT])

    assert output_of(job, "default")["warnings"] == warnings


def test_auto_with_an_end_is_refused_with_what_is_right(service, dark_begin):
    with pytest.raises(Exception, match="422") as refused:
        service.submit(dark_begin, [DEFAULT | {"start": "auto", "end": 9}])

    (fault,) = refused.value.problem["faults"]
    assert fault["pointer"] == "/outputs/0"
    assert fault["detail"] == (
        "start 'auto' needs a duration, so it cannot be used with end: set duration "
        'instead of end, or set a start, such as "10%"'
    )
