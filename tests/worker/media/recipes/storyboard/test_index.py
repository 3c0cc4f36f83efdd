"""The three indexes, letter by letter."""

from __future__ import annotations

import json
from dataclasses import replace

from common.model import MediaInfo, VideoInfo
from common.outputs.specs import StoryboardSpec
from worker.media.ffmpeg.clip import Clip
from worker.media.recipes.shared import grid
from worker.media.recipes.storyboard import index as storyboard_index

VIDEO = VideoInfo(
    index=0, codec="h264", coded_width=640, coded_height=360, width=640, height=360
)
CLIP = Clip("source", MediaInfo(container="mov", duration=25.5, video=VIDEO))
LAID = grid.lay(StoryboardSpec(kind="storyboard", columns=2, rows=1), CLIP)
TILES = grid.tiles(LAID, {0: 0.0, 1: 10.0101, 2: 20.0}, 25.5)
SHEETS = grid.sheets(LAID, 3, 25.5)
NAMES = ["storyboard-001.jpg", "storyboard-002.jpg"]


def test_webvtt_names_place_and_time_of_every_tile() -> None:
    assert storyboard_index.webvtt(LAID, TILES, NAMES) == (
        "WEBVTT\n"
        "\n"
        "00:00:00.000 --> 00:00:10.011\n"
        "storyboard-001.jpg#xywh=0,0,320,180\n"
        "\n"
        "00:00:10.011 --> 00:00:20.000\n"
        "storyboard-001.jpg#xywh=320,0,320,180\n"
        "\n"
        "00:00:20.000 --> 00:00:25.500\n"
        "storyboard-002.jpg#xywh=0,0,320,180\n"
    )


def test_the_playlist_is_one_of_images_only() -> None:
    assert storyboard_index.playlist(LAID, SHEETS, NAMES) == (
        "#EXTM3U\n"
        "#EXT-X-VERSION:7\n"
        "#EXT-X-TARGETDURATION:20\n"
        "#EXT-X-MEDIA-SEQUENCE:0\n"
        "#EXT-X-PLAYLIST-TYPE:VOD\n"
        "#EXT-X-IMAGES-ONLY\n"
        "#EXTINF:20.000,\n"
        "#EXT-X-TILES:RESOLUTION=320x180,LAYOUT=2x1,DURATION=10.000\n"
        "storyboard-001.jpg\n"
        "#EXTINF:5.500,\n"
        "#EXT-X-TILES:RESOLUTION=320x180,LAYOUT=2x1,DURATION=10.000\n"
        "storyboard-002.jpg\n"
        "#EXT-X-ENDLIST\n"
    )


def test_the_indexes_agree_but_for_less_than_an_interval_of_the_playlist() -> None:
    # Keyframes 8.3 s apart, and an interval of 5 s.
    times = {0: 0.0, 1: 8.333, 2: 10.0, 3: 16.667, 4: 20.0, 5: 25.0}
    laid = replace(LAID, interval=5.0)
    tiles = grid.tiles(laid, times, 25.5)
    sheets = grid.sheets(laid, len(times), 25.5)
    names = [*NAMES, "storyboard-003.jpg"]

    index = json.loads(storyboard_index.document(laid, tiles, sheets, names, "x"))
    playlist = storyboard_index.playlist(laid, sheets, names)

    assert "DURATION=5.000" in playlist
    assert [tile["start"] for tile in index["tiles"]] == list(times.values())
    assert [tile["time"] for tile in index["tiles"]] == list(times.values())
    shown = [cell * 5.0 for cell in times]
    late = [time - cell for time, cell in zip(times.values(), shown, strict=True)]
    assert min(late) >= 0
    assert max(late) < 5


def test_json_has_every_tile_with_its_real_time() -> None:
    text = storyboard_index.document(LAID, TILES, SHEETS, NAMES, "keyframes")

    index = json.loads(text)

    assert index["method"] == "keyframes"
    assert index["duration"] == 25.5
    assert index["tiles"][1] == {
        "time": 10.0101,
        "start": 10.0101,
        "end": 20.0,
        "sheet": 0,
        "file": "storyboard-001.jpg",
        "x": 320,
        "y": 0,
    }


def test_a_time_is_never_rounded_to_before_its_frame() -> None:
    assert storyboard_index.clock(20.821333) == "00:00:20.822"
    assert storyboard_index.clock(3600.5) == "01:00:00.500"
