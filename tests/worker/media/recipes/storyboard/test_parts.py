"""Storyboards in parts: what is split, and that the parts make the same storyboard."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg
import pytest

from common.errors import DecodeError
from common.model import MediaInfo, PartFile, PartSpec, VideoInfo
from common.outputs.specs import StoryboardSpec
from tests.worker.media.recipes.conftest import Render
from tests.worker.media.recipes.ramps import x264
from worker.media.ffmpeg.clip import Clip
from worker.media.ffmpeg.plan import Done, FileFacts
from worker.media.recipes.storyboard import parts
from worker.media.warning_codes import SEEK_UNRELIABLE

HOUR = 3562.0


def media(seconds: float | None = HOUR, **words: object) -> MediaInfo:
    facts = {"container": "mov,mp4,m4a,3gp,3g2,mj2", "warnings": []} | {
        name: words.pop(name)
        for name in ("container", "warnings", "rewritten")
        if name in words
    }
    video = {
        "index": 0,
        "codec": "h264",
        "coded_width": 1280,
        "coded_height": 720,
        "width": 1280,
        "height": 720,
        "fps": 30.0,
        "keyframe_interval": 2.0,
        "longest_frame": 0.04,
    } | words
    return MediaInfo(duration=seconds, video=VideoInfo(**video), **facts)


def spec(**words: object) -> StoryboardSpec:
    return StoryboardSpec(kind="storyboard", **words)


def test_given_a_long_film_when_split_then_each_sheet_is_in_one_part():
    found = parts.split(spec(), media())

    assert [part.first for part in found] == [0, 1, 2, 3]
    assert [part.windows for part in found] == [
        [(at * 1000.0, 1000.0)] for at in range(4)
    ]


@pytest.mark.parametrize(
    "words",
    [
        {"seconds": 590.0},
        {"seconds": 900.0},
        {"seconds": None},
        {"keyframe_interval": None},
        {"keyframe_interval": 12.0},
        {"bitstream_pts": False},
        {"container": "mpegts"},
        {"rewritten": True},
        {"warnings": [SEEK_UNRELIABLE]},
        {"coded_width": 320, "coded_height": 180},
    ],
)
def test_given_a_film_that_parts_would_not_make_faster_or_alike_then_it_is_not_split(
    words,
):
    assert parts.split(spec(), media(**words)) == []


@pytest.mark.parametrize("player", ["bif", "jellyfin"])
def test_given_an_archive_of_all_pictures_when_split_then_one_task_makes_it(player):
    assert parts.split(spec(trickplay=[player]), media()) == []
    assert len(parts.split(spec(trickplay=["dash"]), media())) == 4


def test_given_an_empty_cell_when_it_begins_a_part_then_it_shows_the_one_before():
    clip = Clip("source", media())
    part = PartSpec(first=1, windows=[(1000.0, 1000.0)])
    run = parts.plan(spec(), clip, part).alternatives[0].run()
    next(run)
    times = [1000.0 + 10 * place for place in range(3, 100)]
    marks = "".join(f"pts_time:{time}\nm=1\n" for time in times).encode()
    files = {"keyframes.nut": FileFacts(1)}

    gap = run.send(Done(0, marks, "", files))
    before = run.send(Done(0, b"", "", files))
    sheet = run.send(
        Done(0, b"pts_time:995\n", "", files | {"before.nut": FileFacts(1)})
    )

    assert gap.argv[-1] == "gap-100.nut"
    assert before.argv[-1] == "before.nut"
    assert "file:before.nut" in sheet.argv
    assert sheet.argv[-1] == "storyboard-002.jpg"


def test_given_parts_without_frames_when_joined_then_it_fails():
    plan = parts.plan(
        spec(), Clip("source", media()), None, [[PartFile(name="a", bytes=1)]]
    )

    with pytest.raises(DecodeError, match="no frame"):
        next(plan.alternatives[0].run())


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve minutes in which every frame differs, with a keyframe in 7.2 seconds."""
    path = tmp_path_factory.mktemp("parts") / "film.mp4"
    source = "testsrc2=s=320x180:r=5:d=720"
    argv = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i", source]
    subprocess.run([*argv, *x264(36), str(path)], check=True, timeout=100)
    return path


@pytest.mark.parametrize("players", [None, ["dash"]])
def test_given_parts_when_made_then_every_file_is_that_of_one_task(
    film: Path,
    render: Render,
    monkeypatch: pytest.MonkeyPatch,
    players: list[str] | None,
):
    words = {"kind": "storyboard", "columns": 5, "rows": 4, "width": 80}
    words |= {"trickplay": players}
    one = {file.name: file.path.read_bytes() for file in render(film, **words).files}
    monkeypatch.setattr(parts, "_PART_SECONDS", 0.001)

    made = render(film, **words)

    split = {file.name: file.path.read_bytes() for file in made.files}
    assert len(parts.split(spec(columns=5, rows=4, width=80), media(720.0))) == 4
    assert split == one
    assert not any("times" in file.details for file in made.files)
