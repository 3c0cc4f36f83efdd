"""Write the three indexes of a storyboard: WebVTT, JSON, HLS image playlist.

WebVTT times are rounded *up* to milliseconds: rounded down, a cue would name a time at
which the frame before is still on screen.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

from worker.media.ffmpeg.plan import Made
from worker.media.recipes.shared.grid import Grid, Sheet, StoryboardTile

_ROUNDING = 0.002


def clock(seconds: float) -> str:
    """Return a time as WebVTT writes it: ``HH:MM:SS.mmm``, rounded up."""
    thousandths = max(0, math.ceil(seconds * 1000 - _ROUNDING))
    whole, part = divmod(thousandths, 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}.{part:03d}"


def files(
    grid: Grid,
    tiles: Sequence[StoryboardTile],
    sheets: Sequence[Sheet],
    names: Sequence[str],
    method: str,
    more: Mapping[str, tuple[str, str]] | None = None,
) -> list[Made]:
    """Return the three indexes as files; ``names`` are those of the sheets.

    ``more`` are further indexes: content type and text by the file's name.
    """
    details = {
        "method": method,
        "interval": round(grid.interval, 6),
        "tiles": len(tiles),
        "tile_width": grid.box.width,
        "tile_height": grid.box.height,
        "last_time": tiles[-1].time,
    }
    texts = {
        "storyboard.vtt": ("text/vtt", webvtt(grid, tiles, names)),
        "storyboard.json": (
            "application/json",
            document(grid, tiles, sheets, names, method),
        ),
        "storyboard.m3u8": (
            "application/vnd.apple.mpegurl",
            playlist(grid, sheets, names),
        ),
        **(more or {}),
    }
    return [
        Made(name, name, kind, text=text, details=details)
        for name, (kind, text) in texts.items()
    ]


def webvtt(grid: Grid, tiles: Sequence[StoryboardTile], names: Sequence[str]) -> str:
    """Return the WebVTT with one cue per tile (media fragment ``#xywh=``)."""
    size = f"{grid.box.width},{grid.box.height}"
    cues = ["WEBVTT"]
    for tile in tiles:
        span = f"{clock(tile.start)} --> {clock(tile.end)}"
        cues.append(f"{span}\n{names[tile.sheet]}#xywh={tile.x},{tile.y},{size}")
    return "\n\n".join(cues) + "\n"


def document(
    grid: Grid,
    tiles: Sequence[StoryboardTile],
    sheets: Sequence[Sheet],
    names: Sequence[str],
    method: str,
) -> str:
    """Return the JSON index; ``time`` is the real time of the tile's frame."""
    return json.dumps(
        {
            "version": 1,
            "interval": round(grid.interval, 6),
            "duration": round(tiles[-1].end, 3),
            "tile_width": grid.box.width,
            "tile_height": grid.box.height,
            "method": method,
            "sheets": [
                {
                    "file": name,
                    "columns": sheet.columns,
                    "rows": sheet.rows,
                    "tiles": sheet.cells,
                }
                for name, sheet in zip(names, sheets, strict=True)
            ],
            "tiles": [
                {
                    "time": round(tile.time, 6),
                    "start": round(tile.start, 6),
                    "end": round(tile.end, 6),
                    "sheet": tile.sheet,
                    "file": names[tile.sheet],
                    "x": tile.x,
                    "y": tile.y,
                }
                for tile in tiles
            ],
        },
        indent=1,
    )


def playlist(grid: Grid, sheets: Sequence[Sheet], names: Sequence[str]) -> str:
    """Return the HLS image media playlist (``#EXT-X-IMAGES-ONLY``).

    Its tiles can state one length only, so each is shown from the start of its cell,
    and its frame comes up to one interval later. The other indexes state its real time.
    """
    target = math.ceil(max(sheet.seconds for sheet in sheets))
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        f"#EXT-X-TARGETDURATION:{target}",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:VOD",
        "#EXT-X-IMAGES-ONLY",
    ]
    for name, sheet in zip(names, sheets, strict=True):
        size = f"{grid.box.width}x{grid.box.height}"
        layout = f"LAYOUT={sheet.columns}x{sheet.rows},DURATION={grid.interval:.3f}"
        lines += [
            f"#EXTINF:{sheet.seconds:.3f},",
            f"#EXT-X-TILES:RESOLUTION={size},{layout}",
            name,
        ]
    return "\n".join([*lines, "#EXT-X-ENDLIST", ""])
