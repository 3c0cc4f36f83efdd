"""The names in an index, read as a client reads them."""

from __future__ import annotations

import json

import pytest

from worker.media import index_names
from worker.media.recipes.shared.grid import Grid, Sheet, StoryboardTile
from worker.media.recipes.shared.picture import Box
from worker.media.recipes.storyboard import index

VTT = """WEBVTT

NOTE a comment

00:00:00.000 --> 00:00:02.000
sheet-001.jpg#xywh=0,0,64,36

cue-2
00:00:02.000 --> 00:00:04.000
sheet-002.jpg#xywh=0,0,64,36

00:00:04.000 --> 00:00:06.000 align:start
sheet-002.jpg#xywh=64,0,64,36
"""
HLS = """#EXTM3U
#EXT-X-IMAGES-ONLY

#EXTINF:4.000,
sheet-001.jpg
#EXTINF:2.000,
sheet-002.jpg
#EXT-X-ENDLIST
"""
JSON = json.dumps(
    {
        "file": "top.gif",
        "name": "no file",
        "sheets": [{"file": "sheet-001.jpg", "tiles": [{"file": "sheet-001.jpg"}]}],
        "snippets": [{"file": "sheet-002.jpg", "bytes": 3}],
    }
)


@pytest.mark.parametrize(
    ("kind", "text", "found"),
    [
        ("text/vtt", VTT, ["sheet-001.jpg", "sheet-002.jpg"]),
        ("application/vnd.apple.mpegurl", HLS, ["sheet-001.jpg", "sheet-002.jpg"]),
        ("application/json", JSON, ["top.gif", "sheet-001.jpg", "sheet-002.jpg"]),
        ("text/plain", VTT, []),
    ],
)
def test_an_index_then_the_files_it_names_once_in_order(
    kind: str, text: str, found: list[str]
) -> None:
    assert index_names.read(kind, text) == found


def test_the_indexes_of_a_storyboard_then_its_sheets() -> None:
    box = Box((64, 36), 64, 36)
    grid = Grid(1.0, 2, box, 1, 1)
    tiles = [
        StoryboardTile(0.0, 0.0, 1.0, 0, 0, 0),
        StoryboardTile(1.0, 1.0, 2.0, 1, 0, 0),
    ]
    sheets = [Sheet(1, 1, 1, 1.0), Sheet(1, 1, 1, 1.0)]
    sheet_names = ["storyboard-001.jpg", "storyboard-002.jpg"]

    made = index.files(grid, tiles, sheets, sheet_names, "decode")

    assert len(made) == 3
    for one in made:
        assert index_names.read(one.content_type, one.text or "") == sheet_names
