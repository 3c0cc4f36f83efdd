"""Every tile shows the frame of the time that the index states."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.worker.media.recipes import boards
from tests.worker.media.recipes.conftest import Render
from tests.worker.media.recipes.ramps import ffmpeg, luma, ramp, read_time, x264

Maker = Callable[[Path], Path]
INTERVAL = 4.0
TOLERANCE = 0.06


def _mp4(folder: Path) -> Path:
    return ramp(folder / "a.mp4", 41, *x264(50))


def _copy(folder: Path, name: str, *words: str) -> Path:
    target = folder / name
    ffmpeg("-i", str(_mp4(folder)), "-c", "copy", *words, str(target))
    return target


def _mkv(folder: Path) -> Path:
    return _copy(folder, "a.mkv")


def _ts_with_late_start(folder: Path) -> Path:
    return _copy(folder, "a.ts", "-muxdelay", "0", "-output_ts_offset", "700")


def _one_keyframe(folder: Path) -> Path:
    return ramp(folder / "a.mp4", 41, *x264(5000))


def _sparse_keyframes(folder: Path) -> Path:
    return ramp(folder / "a.mp4", 59, *x264(150))


def _vfr(folder: Path) -> Path:
    drop = ",select='not(mod(n,7))+lt(mod(n,50),9)'"
    words = (*x264(20), "-fps_mode", "vfr")
    return ramp(folder / "a.mkv", 41, *words, more=drop)


def _interlaced(folder: Path) -> Path:
    words = (*("-c:v", "mpeg2video", "-q:v", "2", "-g", "25"), "-flags", "+ildct+ilme")
    fields = ",tinterlace=interleave_top,setfield=tff"
    return ramp(folder / "a.ts", 41, *words, rate=50, more=fields)


def _edit_list(folder: Path) -> Path:
    whole = _mp4(folder)
    cut = folder / "cut.mp4"
    ffmpeg("-ss", "3.3", "-i", str(whole), "-c", "copy", str(cut))
    return cut


def _raw(folder: Path) -> Path:
    return _copy(folder, "a.h264")


def _avi(folder: Path) -> Path:
    words = ("-c:v", "mpeg4", "-q:v", "2", "-g", "25", "-bf", "2")
    return ramp(folder / "a.avi", 41, *words)


def _longer_audio(folder: Path) -> Path:
    path = folder / "long.mp4"
    tone = ("-f", "lavfi", "-i", "sine=440:d=55")
    words = ("-map", "0", "-map", "1", "-c:v", "copy", "-c:a", "aac")
    ffmpeg("-i", str(_mp4(folder)), *tone, *words, str(path))
    return path


def _open_groups(folder: Path) -> Path:
    words = (*x264(150), "-x264-params", "open-gop=1")
    return ramp(folder / "a.mp4", 41, *words, rate=50)


def _open_groups_of_hevc(folder: Path) -> Path:
    # Over 128 frames apart: their order cannot be told from its last eight bits.
    params = "open-gop=1:bframes=4:keyint=150:min-keyint=150:log-level=error"
    words = ("-c:v", "libx265", "-preset", "ultrafast", "-crf", "12")
    return ramp(folder / "a.mkv", 41, *words, "-x265-params", params, rate=50)


def _fragmented(folder: Path) -> Path:
    return _copy(folder, "f.mp4", "-movflags", "frag_keyframe+empty_moov")


# The offset is what lies before the clip's 0: the edit list hides 3.3 s.
CLIPS: dict[str, tuple[Maker, float, float, str]] = {
    "mp4": (_mp4, 41, 0, "keyframes"),
    "mkv": (_mkv, 41, 0, "keyframes"),
    "ts": (_ts_with_late_start, 41, 0, "keyframes"),
    "one keyframe": (_one_keyframe, 41, 0, "keyframes+seeks"),
    "sparse keyframes": (_sparse_keyframes, 59, 0, "keyframes+seeks"),
    "vfr": (_vfr, 41, 0, "keyframes"),
    "interlaced": (_interlaced, 41, 0, "keyframes"),
    "edit list": (_edit_list, 37.7, 3.3, "keyframes"),
    "open groups": (_open_groups, 41, 0, "keyframes+seeks"),
    "open groups of HEVC": (_open_groups_of_hevc, 41, 0, "keyframes+seeks"),
    "raw": (_raw, 41, 0, "decode"),
    "avi": (_avi, 41, 0, "keyframes"),
    "longer audio": (_longer_audio, 41, 0, "keyframes"),
    "fragmented": (_fragmented, 41, 0, "keyframes"),
}


@pytest.mark.parametrize("name", CLIPS)
def test_tiles_show_the_frames_of_their_times(
    name: str, tmp_path: Path, render: Render
) -> None:
    maker, length, offset, method = CLIPS[name]
    source = maker(tmp_path)

    done = render(source, kind="storyboard", interval=INTERVAL, columns=4, rows=2)

    board = boards.read(done)
    index, wrong = board.index, []
    for tile in index["tiles"]:
        box = (tile["x"], tile["y"], index["tile_width"], index["tile_height"])
        shown = read_time(luma(board.sheets[tile["file"]], box)) - offset
        if abs(shown - tile["time"]) > TOLERANCE:
            wrong.append((tile["time"], round(shown, 2)))
    assert wrong == []
    assert boards.disagreements(board) == []
    assert index["method"] == method
    assert index["tiles"][-1]["time"] >= length - INTERVAL - TOLERANCE
    if name != "raw":  # which states no length
        assert index["tiles"][-1]["end"] == pytest.approx(length, abs=0.2)


def test_a_last_slide_that_lasts_many_intervals_is_shown_to_the_end(
    tmp_path: Path, render: Render
) -> None:
    source = tmp_path / "slides.mkv"
    graph = "testsrc2=s=64x64:r=1/60:d=180"
    ffmpeg("-f", "lavfi", "-i", graph, "-c:v", "libx264", str(source))

    board = boards.read(render(source, kind="storyboard", interval=10.0, rows=1))

    assert board.index["tiles"][-1]["time"] == pytest.approx(120.0)
    assert board.index["tiles"][-1]["end"] == pytest.approx(180.0)
    assert [sheet["tiles"] for sheet in board.index["sheets"]] == [10, 8]
    assert boards.disagreements(board) == []
