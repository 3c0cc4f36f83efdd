"""What trickplay adds to a storyboard: each file tells of the same tiles."""

from __future__ import annotations

import io
import zipfile
from typing import Any

from PIL import Image

from tests.acceptance.case import Case, close
from tests.worker.media.recipes.storyboard import bif


def check_trickplay(case: Case, index: dict[str, Any]) -> None:
    """Check that the files of the asked players are there, and what they show."""
    players = case.spec.get("trickplay") or []
    wanted = {
        "bif": "storyboard.bif",
        "dash": "storyboard.mpd",
        "jellyfin": "storyboard-jellyfin.zip",
    }
    for player, name in wanted.items():
        there = name in case.files
        case.check(there == (player in players), f"{name} for {players}: {there}")
    if "bif" in players:
        _check_bif(case, index, case.files[wanted["bif"]].body)
    if "jellyfin" in players:
        _check_folder(case, index, case.files[wanted["jellyfin"]].body)
    if {"dash", "jellyfin"} & set(players):
        sizes = {(one["width"], one["height"]) for one in case.pictures}
        full = (case.spec["columns"] * index["tile_width"],)
        case.check(
            len(sizes) == 1 and {size[:1] for size in sizes} == {full},
            f"the sheets have {sizes}, not one full grid",
        )


def _check_bif(case: Case, index: dict[str, Any], body: bytes) -> None:
    """Check that each image shows the last frame that began before its cell's end."""
    interval, times = float(index["interval"]), [t["time"] for t in index["tiles"]]
    size = (index["tile_width"], index["tile_height"])
    for cell, image in enumerate(bif.read(body)):
        what = f"image {cell} of the BIF"
        near = close(image.milliseconds, cell * interval * 1000, 0.51)
        case.check(near, f"{what} is at {image.milliseconds} ms")
        with Image.open(io.BytesIO(image.body)) as opened:
            picture = opened.convert("RGB")
        case.check(picture.size == size, f"{what} is {picture.size}, tiles are {size}")
        number = case.number(picture, what)
        span = None if number is None else case.film.span(number)
        if span is None:
            continue
        before = [time for time in times if time < (cell + 1) * interval - 0.001]
        shown = max(before, default=times[0])
        far = abs(span[0] - shown)
        case.check(far < 0.02, f"{what} shows {span[0]:.3f} s, the tile {shown:.3f} s")


def _check_folder(case: Case, index: dict[str, Any], body: bytes) -> None:
    sheet = index["sheets"][0]
    folder = f"{index['tile_width']} - {sheet['columns']}x{sheet['rows']}"
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    wanted = {
        f"{folder}/{place}.jpg": case.files[one["file"]].body
        for place, one in enumerate(index["sheets"])
    }
    case.check(found == wanted, f"the ZIP has {sorted(found)}, not {sorted(wanted)}")
