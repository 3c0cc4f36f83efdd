"""Make the pictures of the documentation: ``python -m tests.docs.pictures``.

All come from the sample clip by the outputs that ``SPECS`` names. ``widths.jpg`` shows
the files of one output beside each other, ``gravity.jpg`` and ``smart.jpg`` three
outputs. ``hdr.jpg`` shows one frame as HDR
three times: as it looks untreated, as Framemill shows it, and by the reference of
``tests/worker/media/recipes/tone.py``.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from common.outputs.specs import OUTPUT_SPEC
from common.settings.load import Settings
from tests.conftest import ROOT, SAMPLE
from tests.worker.media.recipes import tone
from tests.worker.media.recipes.ramps import ffmpeg
from worker.media.engine import Engine, RenderedFile, RenderJob, Watch
from worker.media.recipes.contact_sheet.layout import FONT
from worker.media.source_file import LocalFile

FOLDER = ROOT / "docs" / "pictures"
TITLE = "Big Buck Bunny.mp4"
# By the picture's name: the source, and the output that made it.
SPECS: dict[str, tuple[str, dict[str, Any]]] = {
    "thumbnail.jpg": ("film", {"kind": "thumbnail", "width": 480}),
    "animation.gif": (
        "film",
        {
            "kind": "animation",
            "start": 4,
            "duration": 2,
            "boomerang": True,
            "width": 240,
            "max_bytes": 400_000,
        },
    ),
    "preview.webp": (
        "film",
        {"kind": "preview", "segments": 6, "format": "webp", "max_bytes": 400_000},
    ),
    "storyboard.jpg": (
        "film",
        {"kind": "storyboard", "interval": 0.5, "width": 160, "columns": 5},
    ),
    "trickplay.jpg": (
        "film",
        {
            "kind": "storyboard",
            "interval": 1,
            "width": 160,
            "columns": 4,
            "rows": 3,
            "trickplay": ["dash"],
        },
    ),
    "contact-sheet.jpg": ("film", {"kind": "contact_sheet"}),
    "snippet.webp": (
        "film",
        {"kind": "snippets", "window": 5, "format": "webp", "width": 200, "fps": 8},
    ),
    "waveform.png": (
        "song",
        {
            "kind": "thumbnail",
            "fallback": ["waveform"],
            "width": 480,
            "height": 120,
            "format": "png",
        },
    ),
    "artwork.jpg": (
        "song",
        {"kind": "thumbnail", "fallback": ["artwork"], "width": 240},
    ),
    "icon.png": (
        "song",
        {"kind": "thumbnail", "fallback": ["icon"], "width": 240, "format": "png"},
    ),
}
HDR_SECONDS = 4
SMART_SECONDS = 8
_GAP, _LABEL = 8, 26


def sources(folder: Path) -> dict[str, Path]:
    """Return the sample, and its sound as a song with a cover."""
    cover, song = folder / "cover.jpg", folder / "song.m4a"
    square = ("-vf", "crop=ih:ih:170:0", "-frames:v", "1", "-q:v", "2")
    ffmpeg("-ss", "5", "-i", str(SAMPLE), *square, str(cover))
    words = ("-map", "0:a", "-map", "1:v", "-c", "copy")
    both = ("-i", str(SAMPLE), "-i", str(cover))
    ffmpeg(*both, *words, "-disposition:v:0", "attached_pic", str(song))
    return {"film": SAMPLE, "song": song}


def render(engine: Engine, source: Path, workdir: Path, **spec: Any) -> RenderedFile:
    """Return the first file that a spec makes of a source."""
    workdir.mkdir()
    model = OUTPUT_SPEC.validate_python(spec)
    media = engine.probe(LocalFile(source))
    job = RenderJob(model, media, LocalFile(source), workdir, title=TITLE)
    return engine.render(job, Watch()).files[0]


def hdr(engine: Engine, folder: Path) -> Image.Image:
    """Lay three views of one HDR frame side by side."""
    still = folder / "still.png"
    ffmpeg("-ss", str(HDR_SECONDS), "-i", str(SAMPLE), "-frames:v", "1", str(still))
    frame = Image.open(still)
    nits = tone.brightened(frame)
    clip = tone.clip(folder / "hdr.mkv", frame.size, nits, "smpte2084")
    raw = folder / "raw.png"
    forget = "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709"
    ffmpeg("-i", str(clip), "-frames:v", "1", "-vf", forget, str(raw))
    words: dict[str, Any] = {"kind": "thumbnail", "format": "png", "time": 0}
    ours = render(engine, clip, folder / "hdr", **words)
    views = {
        "HDR10 shown as if it were SDR": Image.open(raw),
        "Framemill": Image.open(ours.path),
        "ITU-R BT.2390, full size, double precision": tone.reference(frame.size, nits),
    }
    width, height = 420, 420 * frame.height // frame.width
    sheet = Image.new("RGB", (3 * width + 2 * _GAP, height + _LABEL), "white")
    font = ImageFont.truetype(engine_font(), 15)
    for place, (label, view) in enumerate(views.items()):
        left = place * (width + _GAP)
        small = view.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
        sheet.paste(small, (left, _LABEL))
        ImageDraw.Draw(sheet).text((left, 4), label, font=font, fill="black")
    return sheet


def widths(engine: Engine, folder: Path) -> Image.Image:
    """Lay the three files of one output with widths side by side, at their sizes."""
    words = {"kind": "thumbnail", "widths": [160, 320, 640]}
    first = render(engine, SAMPLE, folder / "widths", **words)
    files = sorted(first.path.parent.glob("thumbnail-*.jpg"), key=_pixels)
    return _beside([Image.open(file) for file in files])


def gravity(engine: Engine, folder: Path) -> Image.Image:
    """Lay one frame beside each other as three gravities crop it."""
    box = {"width": 200, "height": 200, "fit": "cover"}
    made = [
        render(engine, SAMPLE, folder / one, kind="thumbnail", gravity=one, **box)
        for one in ("west", "center", "east")
    ]
    return _beside([Image.open(file.path) for file in made])


def smart(engine: Engine, folder: Path) -> Image.Image:
    """Lay a frame beside its tall crops: at the center, and where the subject is."""
    words: dict[str, Any] = {"kind": "thumbnail", "time": SMART_SECONDS}
    tall = words | {"width": 162, "height": 288, "fit": "cover"}
    specs = [words | {"width": 512}]
    specs += [tall | {"gravity": one} for one in ("center", "smart")]
    made = [
        render(engine, SAMPLE, folder / f"smart-{place}", **spec)
        for place, spec in enumerate(specs)
    ]
    return _beside([Image.open(file.path) for file in made])


def _beside(views: list[Any]) -> Image.Image:
    size = (sum(view.width + _GAP for view in views) - _GAP, views[-1].height)
    sheet, left = Image.new("RGB", size, "white"), 0
    for view in views:
        sheet.paste(view, (left, size[1] - view.height))
        left += view.width + _GAP
    return sheet


def _pixels(file: Path) -> int:
    with Image.open(file) as view:
        return view.width * view.height


def engine_font() -> Path:
    """Return the path of the font that contact sheets use."""
    return ROOT / "worker" / "media" / "assets" / FONT


def main() -> None:
    """Write all pictures."""
    engine = Engine(Settings())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        given = sources(folder)
        for picture, (source, spec) in SPECS.items():
            made = render(engine, given[source], folder / picture, **spec)
            shutil.copyfile(made.path, FOLDER / picture)
        widths(engine, folder).save(FOLDER / "widths.jpg", quality=85)
        gravity(engine, folder).save(FOLDER / "gravity.jpg", quality=85)
        smart(engine, folder).save(FOLDER / "smart.jpg", quality=85)
        hdr(engine, folder).save(FOLDER / "hdr.jpg", quality=90)


if __name__ == "__main__":
    main()
