"""Storyboards read back: their tiles as pictures, their three indexes as numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from PIL import Image, ImageChops, ImageStat

from worker.media.engine import Rendered

_CUE = re.compile(r"(\S+) --> (\S+)\n(\S+)#xywh=(\d+),(\d+),(\d+),(\d+)")
_SHEET = re.compile(
    r"#EXTINF:([\d.]+),\n#EXT-X-TILES:RESOLUTION=(\d+)x(\d+),"
    r"LAYOUT=(\d+)x(\d+),DURATION=([\d.]+)\n(\S+)\n"
)


@dataclass(frozen=True)
class Board:
    """A storyboard's index and pictures."""

    index: dict[str, Any]
    vtt: str
    playlist: str
    sheets: dict[str, Image.Image]

    def tile(self, place: int) -> Image.Image:
        """Cut a tile out of its sheet."""
        tile = self.index["tiles"][place]
        x, y = tile["x"], tile["y"]
        width, height = self.index["tile_width"], self.index["tile_height"]
        return self.sheets[tile["file"]].crop((x, y, x + width, y + height))


def read(done: Rendered) -> Board:
    """Read what a render of a storyboard left."""
    files = {file.name: file.path for file in done.files}
    index = json.loads(files["storyboard.json"].read_text())
    return Board(
        index,
        files["storyboard.vtt"].read_text(),
        files["storyboard.m3u8"].read_text(),
        {one["file"]: _picture(files[one["file"]]) for one in index["sheets"]},
    )


def _picture(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return picture.copy()


def _seconds(clock: str) -> float:
    hours, minutes, seconds = clock.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def disagreements(board: Board) -> list[str]:
    """Return where the WebVTT and the HLS playlist differ from the JSON."""
    index, faults = board.index, []
    tiles, size = index["tiles"], (index["tile_width"], index["tile_height"])
    cues = _CUE.findall(board.vtt)
    if len(cues) != len(tiles):
        faults.append(f"{len(cues)} cues for {len(tiles)} tiles")
    until = 0.0
    for cue, tile in zip(cues, tiles, strict=False):
        start, end = _seconds(cue[0]), _seconds(cue[1])
        place = (cue[2], *map(int, cue[3:]))
        if start != until or not -1e-6 <= start - tile["start"] < 0.0011:
            faults.append(f"cue {cue[:2]} after {until} for {tile}")
        if place != (tile["file"], tile["x"], tile["y"], *size):
            faults.append(f"cue at {place} for {tile}")
        until = end
    if not -0.001 <= until - index["duration"] < 0.002:
        faults.append(f"cues end at {until}, the video at {index['duration']}")
    return faults + _of_playlist(board)


def _of_playlist(board: Board) -> list[str]:
    """Check each sheet: its size, its grid, its seconds, and the tiles' places."""
    index, faults, first = board.index, [], 0.0
    found = _SHEET.findall(board.playlist)
    if [one[6] for one in found] != [one["file"] for one in index["sheets"]]:
        faults.append(f"sheets {[one[6] for one in found]}")
    for seconds, width, height, columns, rows, step, file in found:
        across, down = int(columns) * int(width), int(rows) * int(height)
        if board.sheets[file].size != (across, down):
            faults.append(f"{file} is {board.sheets[file].size}, not {across}x{down}")
        for tile in (one for one in index["tiles"] if one["file"] == file):
            column, row = tile["x"] // int(width), tile["y"] // int(height)
            start = first + (row * int(columns) + column) * float(step)
            if not start - 0.01 <= tile["time"] < start + float(step) + 0.01:
                faults.append(f"{file}: {tile['time']} lies not in {start} + {step}")
        first += float(seconds)
    if abs(first - index["duration"]) > 0.01:
        faults.append(f"sheets last {first}, the video {index['duration']}")
    return faults


def frames(path: Path, size: tuple[int, int]) -> Iterator[tuple[float, Image.Image]]:
    """Decode all of a file in order, without a seek: times and grey pictures."""
    with av.open(str(path)) as container:
        zero = (container.start_time or 0) / 1_000_000
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            grey = frame.reformat(width=size[0], height=size[1], format="gray")
            plane = grey.planes[0]
            picture = Image.frombuffer(
                "L", size, bytes(plane), "raw", "L", plane.line_size, 1
            )
            yield float(frame.time or 0) - zero, picture


def distance(one: Image.Image, other: Image.Image) -> float:
    """Return the mean difference of two grey pictures, 0 to 255."""
    return ImageStat.Stat(ImageChops.difference(one, other)).mean[0]
