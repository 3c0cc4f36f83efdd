"""Several stills by policy ``scene`` or ``auto`` are different and worth seeing."""

from __future__ import annotations

import subprocess

import imageio_ffmpeg
import pytest

from tests.acceptance.decode import decode
from tests.acceptance.service import artifact, output_of

CUTS = [3, 6, 9]
COLOURS = ["red", "green", "blue", "white"]
SIZE = "s=96x54:r=10"


def _film(path, graph):
    argv = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i", graph]
    argv += ["-pix_fmt", "yuv420p", "-g", "50", "-y", str(path)]
    subprocess.run(argv, check=True, timeout=60)
    return path


def _shown(service, job, name):
    """Return the times and the corner colours of an output's files."""
    output = output_of(job, name)
    assert output["status"] == "succeeded", output["error"]
    files = output["artifacts"]
    pictures = [decode(service.fetch(file).body)[0].picture for file in files]
    corners = [picture.getpixel((0, picture.height - 1)) for picture in pictures]
    return [file["time"] for file in files], corners


@pytest.fixture(scope="module")
def scenes(service, tmp_path_factory):
    parts = [
        f"color={colour}:{SIZE}:d=3[c{k}];testsrc2=s=24x14:r=10:d=3[t{k}];"
        f"[c{k}][t{k}]overlay=8:4[v{k}]"
        for k, colour in enumerate(COLOURS)
    ]
    film = _film(
        tmp_path_factory.mktemp("films") / "scenes.mp4",
        ";".join([*parts, "[v0][v1][v2][v3]concat=n=4"]),
    )
    thumbnail = {"kind": "thumbnail", "policy": "scene"}
    return service.submit(
        film,
        [
            thumbnail | {"name": "count", "count": 4},
            thumbnail | {"name": "times", "times": [7, 8]},
            thumbnail | {"name": "time", "time": 4},
        ],
    )


def test_the_scenes_that_begin_are_used_and_the_rest_is_filled(service, scenes):
    times, corners = _shown(service, scenes, "count")

    assert times == pytest.approx([1.5, *CUTS], abs=0.11)
    assert len({max(range(3), key=lambda k: c[k]) for c in corners[:3]}) == 3
    assert min(corners[3]) > 200
    assert output_of(scenes, "count")["warnings"] == ["no_scene_change"]


def test_two_times_before_one_cut_give_two_pictures(service, scenes):
    times, _ = _shown(service, scenes, "times")

    assert times == pytest.approx([7, 9], abs=0.11)


def test_one_time_gives_the_next_scene(service, scenes):
    assert artifact(scenes, "time")["time"] == pytest.approx(6, abs=0.11)


@pytest.fixture(scope="module")
def blinking(tmp_path_factory):
    """Black for 1.2 s of each two."""
    black = "drawbox=0:0:iw:ih:black:fill:enable='lt(mod(t,2),1.2)'"
    folder = tmp_path_factory.mktemp("films")
    return _film(folder / "blinking.mp4", f"testsrc2={SIZE}:d=14,{black}")


@pytest.mark.parametrize("words", [{"time": 1}, {"times": [1, 3, 12]}, {"count": 5}])
def test_auto_searches_around_each_time(service, blinking, words):
    thumbnail = {"kind": "thumbnail", "name": "stills", "policy": "auto"}
    job = service.submit(blinking, [thumbnail | words])

    files = output_of(job, "stills")["artifacts"]
    assert len({file["time"] for file in files}) == len(files)
    for file in files:
        picture = decode(service.fetch(file).body)[0].picture
        assert max(high for _, high in picture.getextrema()) > 100
        assert file["details"]["score"] > 0


TWICE = (
    "twice, but policy {!r} shows each picture once: name each time once, or take "
    "policy 'exact'"
)
NO_SCENE = (
    "policy 'scene' shows the scene that begins after a time, and none begins after "
    "100%: set an earlier time, or take policy 'exact'"
)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            {"times": [3, 3], "policy": "auto"},
            f"times has 3.0 {TWICE.format('auto')}",
        ),
        (
            {"times": ["5%", "5%"], "policy": "scene"},
            f"times has '5%' {TWICE.format('scene')}",
        ),
        ({"time": "100%", "policy": "scene"}, NO_SCENE),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(service, blinking, words, says):
    with pytest.raises(Exception, match="422") as refused:
        service.submit(blinking, [{"kind": "thumbnail"} | words])

    (fault,) = refused.value.problem["faults"]
    assert fault["pointer"].startswith("/outputs/0")
    assert fault["detail"] == says
