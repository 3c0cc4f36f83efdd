"""Make a thumbnail, a GIF and a storyboard of one clip, and judge what came."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, ImageStat

from common.config import Settings
from common.errors import MediaError
from common.model import MediaInfo
from common.specs import AnimationSpec, OutputSpec, StoryboardSpec, ThumbnailSpec
from tests.corpus.inventory import EITHER, OK, Entry
from worker.media import process, program
from worker.media.engine import Engine, RenderedFile, RenderJob, Watch

MEMORY = 1024 * 1024 * 1024
BOMB_MEMORY = 512 * 1024 * 1024
RUN_SECONDS = 30.0
ERROR_SECONDS = 5.0
SSIM, HDR_SSIM, TINY_SSIM = 0.85, 0.45, 0.7
_ALL_SECONDS = 60.0
_FLAT = 3.0
_MOVES = 2
_SMALL = 32
# Here FFmpeg itself decodes another picture after a seek than from the start: times
# that overlap after the change, and keyframes that are damaged.
_TWO_WAYS = ("resolution-change", "broken-audio")
_SAME = 0.97
_SSIM = re.compile(r"SSIM Y:([\d.]+)")


@dataclass
class Row:
    """One clip's results; ``faults`` is empty when all is as expected."""

    file: str
    kind: str
    expected: str
    code: str = ""
    seconds: float = 0.0
    peak_mib: float = 0.0
    cpu: float = 0.0
    time: float | None = None
    size: str = ""
    ssim: float | None = None
    gif: str = ""
    tiles: str = ""
    warnings: str = ""
    rungs: str = ""
    faults: list[str] = field(default_factory=list)


class _Meter:
    """Stands before process.run and remembers the largest child."""

    def __init__(self) -> None:
        self.peak = 0
        self.cpu = 0.0
        self._run = process.run

    def __call__(self, argv: Sequence[str], **words: Any) -> process.Finished:
        done = self._run(argv, **words)
        self.peak = max(self.peak, done.peak_bytes)
        self.cpu += done.cpu_seconds
        return done


def judge(entry: Entry, settings: Settings) -> Row:
    """Run one clip through the engine; what is wrong is listed in the row."""
    row = Row(entry.file.name, entry.kind, entry.expected)
    meter = _Meter()
    process.run = meter
    folder = Path(tempfile.mkdtemp(prefix="corpus-"))
    try:
        _run(entry, settings, folder, row)
    finally:
        process.run = meter._run
        shutil.rmtree(folder)
    row.cpu = round(meter.cpu, 2)
    row.peak_mib = round(meter.peak / 2**20, 1)
    limit = BOMB_MEMORY if entry.is_bomb else MEMORY
    if meter.peak > limit:
        row.faults.append(f"{row.peak_mib} MiB resident")
    if row.code and row.seconds > ERROR_SECONDS:
        row.faults.append(f"the error took {row.seconds} s")
    return row


def _run(entry: Entry, settings: Settings, folder: Path, row: Row) -> None:
    engine = Engine(settings)
    started = time.monotonic()
    try:
        media = engine.probe(entry.file)
        specs: list[OutputSpec] = [
            ThumbnailSpec(kind="thumbnail"),
            AnimationSpec(kind="animation"),
            StoryboardSpec(kind="storyboard"),
        ]
        made = [_render(engine, s, media, entry, folder, row) for s in specs]
    except MediaError as error:
        row.code = error.code
        row.seconds = round(time.monotonic() - started, 2)
        tried = "|".join(report.rung for report in error.reports)
        if entry.expected == OK:
            row.faults.append(f"{error.code}: {error.detail} [{tried}]")
        return
    row.seconds = round(time.monotonic() - started, 2)
    if entry.expected not in (OK, EITHER):
        row.faults.append("a picture came of what must be refused")
    stills, animations, tiles = made
    _judge_still(entry, media, stills[0], row, settings)
    _judge_animation(entry, media, animations[0], row, settings)
    if entry.expected == OK:
        _judge_tiles(media, tiles, row)


def _render(
    engine: Engine,
    spec: OutputSpec,
    media: MediaInfo,
    entry: Entry,
    folder: Path,
    row: Row,
) -> list[RenderedFile]:
    workdir = folder / spec.kind
    workdir.mkdir()
    started = time.monotonic()
    made = engine.render(RenderJob(spec, media, entry.file, workdir), Watch())
    if time.monotonic() - started > RUN_SECONDS:
        row.faults.append(f"{spec.kind} took {time.monotonic() - started:.0f} s")
    row.warnings += " ".join(made.warnings) + ";"
    row.rungs += "|".join(report.rung for report in made.reports) + ";"
    return made.files


def _judge_still(
    entry: Entry, media: MediaInfo, still: RenderedFile, row: Row, settings: Settings
) -> None:
    row.time, row.size = still.time, f"{still.width}x{still.height}"
    video = media.video
    assert video is not None
    assert still.width
    assert still.height
    wanted = video.height * still.width / video.width
    if abs(wanted - still.height) > 1:
        row.faults.append(f"aspect: {row.size} of {video.width}x{video.height}")
    if still.time is None:
        row.faults.append("the time is unknown")
        return
    row.ssim = _compare(entry, media, still, settings)
    least = HDR_SSIM if video.hdr else SSIM
    least = TINY_SSIM if min(still.width, still.height) <= _SMALL else least
    if entry.expected == OK and (row.ssim is None or row.ssim < least):
        row.faults.append(f"SSIM {row.ssim} at {still.time}")


def reference(
    entry: Entry,
    media: MediaInfo,
    at: float,
    size: tuple[int, int],
    settings: Settings,
    *,
    whole: bool,
) -> list[str]:
    """Give FFmpeg's words for a picture decoded the plain way at that time.

    ``whole`` decodes from the start, so that no seek is trusted.
    """
    video = media.video
    assert video is not None
    if whole and media.container in ("mpegts", "mpeg", "ogg"):
        at -= video.start_time  # there FFmpeg's clock starts at the video's first frame
    at = max(0.0, at - 0.0005)
    skip = [] if whole or not at else ["-ss", f"{at:.6f}"]
    late = f"select='gte(t,{at:.6f})'," if whole else ""
    decoder = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(video.codec)
    alpha = ["-c:v", decoder] if video.alpha and decoder else []
    pixels = "rgba" if video.alpha else "gray"
    chain = f"[0:{video.index}]{late}scale={size[0]}:{size[1]},format={pixels}"
    return [
        *(program.path(settings), "-nostdin", "-v", "error", *alpha, *skip),
        *("-threads", "1", "-i", f"file:{entry.file}"),
        *("-filter_complex", chain, "-frames:v", "1", "-update", "1", "-y"),
    ]


def _compare(
    entry: Entry, media: MediaInfo, still: RenderedFile, settings: Settings
) -> float | None:
    """Give the SSIM of the grey values of the picture and a reference."""
    assert still.time is not None
    assert still.width
    assert still.height
    size = (still.width, still.height)
    whole = (media.duration or 0.0) <= _ALL_SECONDS
    ways = [whole, False] if entry.kind in _TWO_WAYS else [whole]
    target = str(still.path) + ".reference.png"
    found = []
    for way in ways:
        words = reference(entry, media, still.time, size, settings, whole=way)
        _call([*words, target])
        _darken(Path(target))
        found.append(_ssim(Path(target), still.path, settings))
    best = max((one for one in found if one is not None), default=None)
    if best is not None and best < SSIM and _is_undefined(words, target, settings):
        return 1.0
    return best


def _is_undefined(words: list[str], target: str, settings: Settings) -> bool:
    """Tell whether FFmpeg itself decodes another picture with two threads.

    So it does with damaged streams: what a lost slice looks like depends on which
    frame was ready.
    """
    other = target + ".2.png"
    place = words.index("-threads") + 1
    _call([*words[:place], "2", *words[place + 1 :], other])
    same = _ssim(Path(target), Path(other), settings)
    return same is not None and same < _SAME


def _darken(path: Path) -> None:
    """Put a transparent reference onto black."""
    with Image.open(path) as image:
        if image.mode != "RGBA":
            return
        ground = Image.new("RGBA", image.size, "black")
        Image.alpha_composite(ground, image).convert("L").save(path)


def _call(argv: list[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    return done.stderr


def _ssim(one: Path, other: Path, settings: Settings) -> float | None:
    """Compare two pictures; tiny ones are enlarged, the filter needs 8 pixels."""
    grey = "scale=iw*8:ih*8:flags=neighbor:out_range=full,format=gray"
    chain = f"[0:v]{grey}[a];[1:v]{grey}[b];[a][b]ssim"
    words = ["-nostdin", "-i", f"file:{one}", "-i", f"file:{other}"]
    if min(Image.open(one).size) > _SMALL:
        chain = chain.replace("scale=iw*8:ih*8:flags=neighbor:out_range=full,", "")
    tail = ["-filter_complex", chain, "-f", "null", "-"]
    found = _SSIM.search(_call([program.path(settings), *words, *tail]))
    return float(found[1]) if found else None


def _judge_animation(
    entry: Entry, media: MediaInfo, gif: RenderedFile, row: Row, settings: Settings
) -> None:
    row.gif = f"{gif.width}x{gif.height} {gif.frames}f {gif.duration}s"
    video = media.video
    assert video is not None
    assert gif.width
    wanted = video.height * gif.width / video.width
    if abs(wanted - (gif.height or 0)) > 1:
        row.faults.append(f"GIF aspect: {row.gif}")
    one = video.frames == 1
    if one and gif.frames != 1:
        row.faults.append(f"GIF of one frame: {row.gif}")
    if entry.expected != OK or one or video.duration is None:
        return
    length = min(5.0, video.duration)
    if abs((gif.duration or 0) - length) > max(0.15, 0.05 * length):
        row.faults.append(f"GIF length: {row.gif}, wanted {length:.2f}")
    _judge_movement(entry, media, gif, row, settings)


def _judge_tiles(media: MediaInfo, files: list[RenderedFile], row: Row) -> None:
    """Hold a storyboard's index to its pictures and to the video's end."""
    found = next((file for file in files if file.name.endswith(".json")), None)
    if found is None or media.video is None:
        row.faults.append("the storyboard has no index")
        return
    index = json.loads(found.path.read_text(encoding="utf-8"))
    times = [tile["time"] for tile in index["tiles"]]
    row.tiles = f"{len(times)} tiles to {times[-1]}"
    # A frame that stays for several cells has one entry in the index.
    if not 0 < len(times) <= sum(sheet["tiles"] for sheet in index["sheets"]):
        row.faults.append("the index and its sheets differ in tiles")
    longest = media.video.longest_frame or 0.0
    gap = (media.duration or 0.0) - times[-1]
    if times != sorted(times) or gap > max(index["interval"], longest) + 0.5:
        row.faults.append(f"the last tile is at {times[-1]} of {media.duration}")


def _judge_movement(
    entry: Entry, media: MediaInfo, gif: RenderedFile, row: Row, settings: Settings
) -> None:
    """Count different frames; a GIF of one repeated picture does not move."""
    with Image.open(gif.path) as image:
        seen = set()
        for place in range(getattr(image, "n_frames", 1)):
            image.seek(place)
            seen.add(hash(image.convert("RGB").tobytes()))
    row.gif += f" {len(seen)} different"
    # A pause that is longer than the GIF is no fault of the GIF's.
    paused = (media.video.longest_frame or 0.0) > 2.0 if media.video else False
    if len(seen) < _MOVES and not paused and _moves(entry, media, gif, settings):
        row.faults.append(f"the GIF does not move: {row.gif}")


def _moves(
    entry: Entry, media: MediaInfo, gif: RenderedFile, settings: Settings
) -> bool:
    """Tell whether the source itself shows different pictures in that stretch."""
    assert media.video is not None
    start = ["-ss", f"{gif.time or 0.0:.3f}"] if gif.time else []
    argv = [program.path(settings), "-v", "error", *start]
    argv += ["-t", f"{gif.duration or 1.0:.3f}", "-i", f"file:{entry.file}"]
    argv += ["-map", f"0:{media.video.index}", "-vf", "fps=15,scale=64:64:flags=area"]
    argv += ["-pix_fmt", "gray", "-f", "framecrc", "-"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    sums = {line[-10:] for line in done.stdout.splitlines() if line[:1] == "0"}
    return len(sums) > _MOVES


def spread(path: Path) -> float:
    """Give the standard deviation of the grey values: near 0 is a flat picture."""
    with Image.open(path) as image:
        return float(ImageStat.Stat(image.convert("L")).stddev[0])
