"""Write what players read of a storyboard: BIF, Jellyfin's folder, a DASH track.

Each of their tiles is shown for one interval, so the frame may come up to one interval
later in the video, as in the HLS playlist.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence

from common.outputs.specs import StoryboardSpec
from worker.media.ffmpeg.plan import Done, Made, Step
from worker.media.recipes.shared import encoders
from worker.media.recipes.shared.grid import Grid, Sheet

BIF, JELLYFIN, MPD = "storyboard.bif", "storyboard-jellyfin.zip", "storyboard.mpd"
# The JPEG of each cell, for the BIF.
FRAMES = "bif-%05d.jpg"
_LISTING = "pictures.json"
_SECONDS = 60.0
# Ticks of a second. A sheet lasts up to 400 x 600 s, and a duration has 32 bits.
_TIMESCALE = 10_000


def wants(spec: StoryboardSpec, player: str) -> bool:
    """Return True if the spec asks for the files of that player."""
    return player in (spec.trickplay or ())


def archives(
    spec: StoryboardSpec, grid: Grid, names: Sequence[str], frames: Sequence[str]
) -> Generator[Step, Done, list[Made]]:
    """Pack the sheets, and the JPEG of each cell, into the archives of the spec."""
    made = []
    if wants(spec, "bif"):
        unit, stamps = _clock(grid, len(frames))
        listed = list(zip(frames, stamps, strict=True))
        words = ("bif", BIF, _LISTING, str(unit))
        yield _packing(words, listed)
        details = {"tiles": len(frames), "interval": round(grid.interval, 6)}
        content_type = "application/octet-stream"
        made.append(Made(BIF, BIF, content_type, details=details))
    if wants(spec, "jellyfin"):
        folder = f"{grid.box.width} - {grid.columns}x{grid.rows}"
        paths = [(name, f"{folder}/{at}.jpg") for at, name in enumerate(names)]
        yield _packing(("zip", JELLYFIN, _LISTING), paths)
        details = {"interval": round(grid.interval, 6)}
        made.append(Made(JELLYFIN, JELLYFIN, "application/zip", details=details))
    return made


def _packing(words: tuple[str, ...], listed: Sequence[tuple[str, int | str]]) -> Step:
    texts = {_LISTING: json.dumps(listed)}
    return Step(words, _SECONDS, texts=texts, program="archive")


def _clock(grid: Grid, count: int) -> tuple[int, list[int]]:
    """Return the milliseconds of a unit of time, and the time of each cell in it.

    The unit is the interval, as in the files of Roku's own tool. An interval of no
    whole number of milliseconds would drift, so then it is one millisecond.
    """
    unit = round(grid.interval * 1000)
    if abs(unit - grid.interval * 1000) < 1e-6:
        return unit, list(range(count))
    return 1, [round(cell * grid.interval * 1000) for cell in range(count)]


def manifest(
    grid: Grid, sheets: Sequence[Sheet], sizes: Sequence[int], kind: str
) -> str:
    """Return the MPD of a static presentation with the sheets as its only track.

    It is a track of tiles by DASH-IF IOP, 6.2.6; ``sizes`` are the bytes of the sheets,
    all of which have the full grid, and ``kind`` is their format.
    """
    total = sum(sheet.seconds for sheet in sheets)
    rate = max(
        8 * size / sheet.seconds for size, sheet in zip(sizes, sheets, strict=True)
    )
    length = round(grid.per_sheet * grid.interval * _TIMESCALE)
    media = f"storyboard-$Number%03d$.{encoders.extension(kind)}"
    width, height = grid.columns * grid.box.width, grid.rows * grid.box.height
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"
  profiles="urn:mpeg:dash:profile:isoff-live:2011"
  mediaPresentationDuration="PT{total:.3f}S" minBufferTime="PT1S">
  <Period id="0" start="PT0S">
    <AdaptationSet contentType="image" mimeType="{encoders.CONTENT_TYPES[kind]}">
      <SegmentTemplate media="{media}" startNumber="1"
        duration="{length}" timescale="{_TIMESCALE}"/>
      <Representation id="storyboard" bandwidth="{max(1, round(rate))}"
        width="{width}" height="{height}">
        <EssentialProperty schemeIdUri="http://dashif.org/guidelines/thumbnail_tile"
          value="{grid.columns}x{grid.rows}"/>
      </Representation>
    </AdaptationSet>
  </Period>
</MPD>
"""
