"""The cases whose FFmpeg words are kept in ``argv/``, and how they are written.

``python -m tests.golden.cases`` writes all files anew; the diff is the review.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from common.errors import MediaError
from common.model import Colour, MediaInfo, VideoInfo
from common.specs import OUTPUT_SPEC
from worker.media.engine import RECIPES
from worker.media.recipes.formats import FORMATS
from worker.media.recipes.plan import Done, FileFacts, Rung
from worker.media.recipes.source import Clip

FOLDER = Path(__file__).with_name("argv")
_STEPS = 4


class _Everything(Mapping[str, FileFacts]):
    """A work folder in which every file is, with ten thousand bytes."""

    def __getitem__(self, name: str) -> FileFacts:
        return FileFacts(10_000, 320, 180, 75, 5.0)

    def __contains__(self, name: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def media(
    warnings: tuple[str, ...] = (), container: str = "mov,mp4", **video: Any
) -> MediaInfo:
    """Give a MediaInfo of a one-minute 1080p film, changed by ``video``."""
    facts = {
        "index": 0,
        "codec": "h264",
        "coded_width": 1920,
        "coded_height": 1080,
        "width": 1920,
        "height": 1080,
        "fps": 25.0,
        "frames": 1500,
        "duration": 60.0,
        "longest_frame": 0.04,
        "keyframe_interval": 2.0,
        "pixel_format": "yuv420p",
    }
    return MediaInfo(
        container=container,
        duration=60.0,
        video=VideoInfo(**(facts | video)),
        warnings=list(warnings),
    )


PLAIN = media()
_PQ = Colour(primaries="bt2020", transfer="smpte2084", matrix="bt2020nc")
HDR = media(hdr="hdr10", colour=_PQ, pixel_format="yuv420p10le")
TURNED = media(rotation=90, mirrored=True, width=1080, height=1920)
CLEAR = media(codec="vp9", alpha=True)
OLD = media(interlaced=True, sample_aspect_ratio="16:15", width=2048)
STREAM = media(container="mpegts", start_time=0.1)
UNSOUGHT = media(("seek_unreliable",))
ODD = media(("odd_rotation",))
SLIDES = media(fps=0.1, frames=6, longest_frame=10.0)

THUMB, ANIM = {"kind": "thumbnail"}, {"kind": "animation"}
BOARD, PREVIEW = {"kind": "storyboard"}, {"kind": "preview"}
SHEET, SNIPPETS = {"kind": "contact_sheet"}, {"kind": "snippets"}
CASES: dict[str, tuple[dict[str, Any], MediaInfo]] = {
    "thumbnail_default": (THUMB, PLAIN),
    "thumbnail_exact": (THUMB | {"time": 12.5}, PLAIN),
    "thumbnail_exact_slides": (THUMB | {"time": 25.0}, SLIDES),
    "thumbnail_exact_stream": (THUMB | {"time": 12.5}, STREAM),
    "thumbnail_exact_unsought": (THUMB | {"time": 12.5}, UNSOUGHT),
    "thumbnail_keyframe": (THUMB | {"time": "50%", "policy": "keyframe"}, PLAIN),
    "thumbnail_scene": (THUMB | {"policy": "scene"}, PLAIN),
    "thumbnail_past_end": (THUMB | {"time": 99.0, "policy": "keyframe"}, PLAIN),
    "thumbnail_hdr": (THUMB | {"time": 1.0}, HDR),
    "thumbnail_turned": (THUMB | {"time": 1.0}, TURNED),
    "thumbnail_odd_rotation": (THUMB | {"time": 1.0}, ODD),
    "thumbnail_interlaced": (THUMB | {"time": 1.0}, OLD),
    "thumbnail_alpha_png": (THUMB | {"time": 1.0, "format": "png"}, CLEAR),
    "thumbnail_alpha_jpeg": (THUMB | {"time": 1.0}, CLEAR),
    "thumbnail_pad": (
        THUMB | {"time": 1.0, "width": 300, "height": 300, "fit": "pad"},
        PLAIN,
    ),
    "thumbnail_cover_webp": (
        THUMB
        | {"time": 1.0, "width": 300, "height": 300, "fit": "cover", "format": "webp"},
        PLAIN,
    ),
    "thumbnail_avif": (THUMB | {"time": 1.0, "format": "avif"}, PLAIN),
    "animation_default": (ANIM, PLAIN),
    "animation_mp4": (ANIM | {"format": "mp4"}, PLAIN),
    "animation_webm": (ANIM | {"format": "webm"}, PLAIN),
    "animation_webp": (ANIM | {"format": "webp", "loop": 3}, PLAIN),
    "animation_avif": (ANIM | {"format": "avif"}, PLAIN),
    "animation_boomerang": (ANIM | {"boomerang": True, "speed": 2.0}, PLAIN),
    "animation_stream": (ANIM, STREAM),
    "animation_max_bytes": (ANIM | {"max_bytes": 20_000}, PLAIN),
    "animation_optimize": (ANIM | {"optimize": True}, PLAIN),
    "storyboard_default": (BOARD, PLAIN),
    "storyboard_interlaced_avif": (BOARD | {"format": "avif", "count": 9}, OLD),
    "storyboard_stream_webp": (BOARD | {"format": "webp"}, STREAM),
    "storyboard_untimed": (BOARD, media(bitstream_pts=False)),
    "storyboard_hdr": (BOARD, HDR),
    "preview_default": (PREVIEW | {"segments": 3}, PLAIN),
    "preview_mp4_turned": (PREVIEW | {"segments": 2, "format": "mp4"}, TURNED),
    "preview_max_bytes": (PREVIEW | {"segments": 2, "max_bytes": 20_000}, PLAIN),
    "contact_sheet_default": (SHEET | {"columns": 2, "rows": 1}, PLAIN),
    "snippets_default": (SNIPPETS, PLAIN),
    "snippets_webp": (SNIPPETS | {"format": "webp", "window": 20.0}, PLAIN),
}


def words(name: str) -> str:
    """Give the text of a case: every rung with the runs it asks for."""
    spec, info = CASES[name]
    model = OUTPUT_SPEC.validate_python(spec)
    plan = RECIPES[model.kind](model, Clip("source", info), None, [])
    lines = [f"warnings: {' '.join(plan.warnings) or '-'}"]
    for rung in plan.rungs:
        lines.append(f"\nrung {rung.name}: {' '.join(rung.warnings) or '-'}")
        lines += list(_steps(rung))
    return "\n".join(lines) + "\n"


def _steps(rung: Rung) -> Iterator[str]:
    run = rung.run()
    log = "pts_time:0.04"
    times = "".join(f"pts_time:{10 * cell}\n" for cell in range(5)).encode()
    try:
        step = next(run)
        for _ in range(_STEPS):
            line = shlex.join(step.argv).replace(FORMATS, "FORMATS")
            yield f"  {step.program} {line}"
            step = run.send(Done(0, times, log, _Everything()))
        yield "  ..."
    except StopIteration as end:
        for made in end.value:
            size = f"{made.width}x{made.height}"
            yield f"  -> {made.file} as {made.name} {made.content_type} {size}"
    except MediaError as error:
        yield f"  -> {error.code}"
    finally:
        run.close()


def write() -> None:
    """Write all files anew."""
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.txt"):
        old.unlink()
    for name in CASES:
        (FOLDER / f"{name}.txt").write_text(words(name), encoding="utf-8")


if __name__ == "__main__":
    write()
