"""The cases whose FFmpeg words are kept in ``argv/``, and how they are written.

``python -m tests.golden.cases`` writes all files anew; the diff is the review.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from common.errors import MediaError
from common.model import AudioInfo, Colour, MediaInfo, VideoInfo
from common.outputs.specs import OUTPUT_SPEC
from worker.media.engine import RECIPES
from worker.media.ffmpeg.clip import Clip
from worker.media.ffmpeg.formats import FORMATS
from worker.media.ffmpeg.plan import Alternative, Done, FileFacts

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
    """Return the MediaInfo of a one-minute 1080p film, changed by ``video``."""
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
WITH_ALPHA = media(codec="vp9", alpha=True)
OLD = media(interlaced=True, sample_aspect_ratio="16:15", width=2048)
STREAM = media(container="mpegts", start_time=0.1)
UNSOUGHT = media(("seek_unreliable",))
ODD = media(("odd_rotation",))
SONG = MediaInfo(
    container="mov,mp4",
    duration=None,
    video=None,
    audio=AudioInfo(index=0, codec="aac", channels=2, duration=60.0),
    artwork=[1],
)
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
    "thumbnail_alpha_png": (THUMB | {"time": 1.0, "format": "png"}, WITH_ALPHA),
    "thumbnail_alpha_jpeg": (THUMB | {"time": 1.0}, WITH_ALPHA),
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
    "thumbnail_count": (THUMB | {"count": 2, "quality": 55}, PLAIN),
    "thumbnail_times": (
        THUMB | {"times": ["10%", "0:00:20.5"], "format": "png"},
        PLAIN,
    ),
    "thumbnail_enlarged": (
        THUMB | {"time": 1.0, "width": 3840, "enlarge": True},
        PLAIN,
    ),
    "thumbnail_gravity": (
        THUMB
        | {"time": 1.0, "width": 300, "height": 300, "fit": "cover"}
        | {"gravity": "north_east"},
        TURNED,
    ),
    "thumbnail_smart": (
        THUMB
        | {"time": 1.0, "width": 300, "height": 300, "fit": "cover"}
        | {"gravity": "smart"},
        TURNED,
    ),
    "thumbnail_smart_auto": (
        THUMB | {"width": 90, "height": 160, "fit": "cover", "gravity": "smart"},
        PLAIN,
    ),
    "animation_smart": (
        ANIM | {"width": 120, "height": 120, "fit": "cover", "gravity": "smart"},
        HDR,
    ),
    "preview_smart": (
        PREVIEW
        | {"segments": 5, "trim": True, "width": 90, "height": 90}
        | {"fit": "cover", "gravity": "smart"},
        OLD,
    ),
    "thumbnail_crop": (
        THUMB | {"time": 1.0, "crop": [101, "10%", 640, "50%"], "width": 320},
        TURNED,
    ),
    "animation_crop_point": (
        ANIM
        | {"crop": ["25%", "0%", "50%", "100%"], "width": 120, "height": 120}
        | {"fit": "cover", "gravity": [0.2, 1]},
        OLD,
    ),
    "thumbnail_trim": (THUMB | {"time": 1.0, "trim": True}, PLAIN),
    "preview_trim": (PREVIEW | {"segments": 2, "trim": True}, HDR),
    "preview_crop_cover": (
        PREVIEW
        | {"segments": 1, "crop": [0, 0, "50%", 1080], "width": 90, "height": 90}
        | {"fit": "cover", "gravity": "south"},
        PLAIN,
    ),
    "animation_trim": (ANIM | {"trim": True}, UNSOUGHT),
    "thumbnail_artwork_gravity": (
        THUMB
        | {"fallback": ["artwork"], "width": 90, "height": 90, "fit": "cover"}
        | {"gravity": "west"},
        SONG,
    ),
    "thumbnail_widths": (
        THUMB | {"time": 1.0, "widths": [320, 1280, 2560], "formats": ["avif", "jpeg"]},
        PLAIN,
    ),
    "thumbnail_widths_cover": (
        THUMB
        | {"count": 2, "widths": [100, 400], "width": 16, "height": 9, "fit": "cover"},
        TURNED,
    ),
    "thumbnail_formats_alpha": (
        THUMB | {"time": 1.0, "formats": ["png", "avif"]},
        WITH_ALPHA,
    ),
    "thumbnail_widths_artwork": (
        THUMB | {"fallback": ["artwork"], "widths": [320, 640], "formats": ["avif"]},
        SONG,
    ),
    "thumbnail_stretched_clear": (
        THUMB
        | {"time": 1.0, "width": 90, "height": 90, "fit": "stretch"}
        | {"format": "webp", "background": "#ff8800"},
        WITH_ALPHA,
    ),
    "thumbnail_artwork": (THUMB | {"fallback": ["artwork"]}, SONG),
    "thumbnail_waveform": (THUMB | {"fallback": ["waveform"]}, SONG),
    "storyboard_trickplay": (
        BOARD | {"format": "webp", "trickplay": ["bif", "dash"]},
        PLAIN,
    ),
    "storyboard_jellyfin": (BOARD | {"trickplay": ["jellyfin"]}, PLAIN),
    "thumbnail_blurhash": (THUMB | {"time": 1.0, "placeholder": "blurhash"}, PLAIN),
    "thumbnail_icon": (THUMB | {"fallback": ["frame", "icon"]}, SONG),
    "animation_default": (ANIM, PLAIN),
    "animation_mp4": (ANIM | {"format": "mp4"}, PLAIN),
    "animation_webm": (ANIM | {"format": "webm"}, PLAIN),
    "animation_webp": (ANIM | {"format": "webp", "loop": 3}, PLAIN),
    "animation_avif": (ANIM | {"format": "avif"}, PLAIN),
    "animation_alpha_avif": (ANIM | {"format": "avif"}, WITH_ALPHA),
    "animation_alpha_webm": (ANIM | {"format": "webm"}, WITH_ALPHA),
    "thumbnail_alpha_avif": (THUMB | {"time": 1.0, "format": "avif"}, WITH_ALPHA),
    "animation_boomerang": (ANIM | {"boomerang": True, "speed": 2.0}, PLAIN),
    "animation_stream": (ANIM, STREAM),
    "animation_max_bytes": (ANIM | {"max_bytes": 20_000}, PLAIN),
    "animation_optimize": (ANIM | {"optimize": True}, PLAIN),
    "animation_error_diffusion": (
        ANIM
        | {"dither": "sierra2_4a", "palette": "diff", "colors": 64, "fps": 8.0}
        | {"start": 3.0, "end": 5.5, "loop": 1},
        PLAIN,
    ),
    "animation_pad_coarse": (
        ANIM
        | {"width": 200, "height": 200, "fit": "pad", "background": "#203040"}
        | {"bayer_scale": 2, "duration": 1.5, "enlarge": True},
        PLAIN,
    ),
    "animation_low_quality": (ANIM | {"format": "mp4", "quality": 30}, PLAIN),
    "animation_waveform": (ANIM | {"fallback": ["waveform"], "format": "mp4"}, SONG),
    "storyboard_default": (BOARD, PLAIN),
    "storyboard_dense": (
        BOARD | {"interval": 2.0, "columns": 5, "rows": 4, "width": 160, "quality": 50},
        PLAIN,
    ),
    "storyboard_artwork": (BOARD | {"fallback": ["artwork"]}, SONG),
    "storyboard_interlaced_avif": (BOARD | {"format": "avif", "count": 9}, OLD),
    "storyboard_stream_webp": (BOARD | {"format": "webp"}, STREAM),
    "storyboard_untimed": (BOARD, media(bitstream_pts=False)),
    "storyboard_hdr": (BOARD, HDR),
    "preview_default": (PREVIEW | {"segments": 3}, PLAIN),
    "preview_mp4_turned": (PREVIEW | {"segments": 2, "format": "mp4"}, TURNED),
    "preview_max_bytes": (PREVIEW | {"segments": 2, "max_bytes": 20_000}, PLAIN),
    "preview_cover": (
        PREVIEW
        | {"segments": 2, "segment_duration": 1.5, "exclude_start": 10.0}
        | {"exclude_end": "20%", "width": 120, "height": 120, "fit": "cover"}
        | {"fps": 12.0, "colors": 128, "dither": "floyd_steinberg", "loop": 2},
        PLAIN,
    ),
    "preview_webm": (
        PREVIEW | {"segments": 2, "format": "webm", "quality": 40, "enlarge": True},
        PLAIN,
    ),
    "preview_artwork": (PREVIEW | {"fallback": ["artwork"]}, SONG),
    "preview_palette": (
        PREVIEW
        | {"segments": 1, "palette": "diff", "bayer_scale": 3, "optimize": True}
        | {"background": "#ffffff"},
        WITH_ALPHA,
    ),
    "contact_sheet_bare": (
        SHEET
        | {"columns": 1, "rows": 2, "width": 640, "header": False}
        | {"timestamps": False, "exclude_start": 0, "exclude_end": "10%"}
        | {"background": "#ffffff", "foreground": "#000000"}
        | {"format": "webp", "quality": 60},
        PLAIN,
    ),
    "contact_sheet_icon": (SHEET | {"fallback": ["icon"]}, SONG),
    "contact_sheet_unsought": (SHEET | {"columns": 2, "rows": 1}, UNSOUGHT),
    "contact_sheet_widths": (
        SHEET
        | {"columns": 2, "rows": 1, "widths": [640, 1281], "formats": ["webp", "png"]},
        PLAIN,
    ),
    "contact_sheet_default": (SHEET | {"columns": 2, "rows": 1}, PLAIN),
    "snippets_default": (SNIPPETS, PLAIN),
    "snippets_webp": (SNIPPETS | {"format": "webp", "window": 20.0}, PLAIN),
    "snippets_small": (
        SNIPPETS
        | {"window": 30.0, "width": 120, "fps": 5.0, "colors": 32, "dither": "none"},
        PLAIN,
    ),
    "snippets_mp4": (SNIPPETS | {"format": "mp4", "quality": 50, "loop": 1}, PLAIN),
}


def words(name: str) -> str:
    """Return the text of a case: every alternative with its runs."""
    spec, info = CASES[name]
    model = OUTPUT_SPEC.validate_python(spec)
    plan = RECIPES[model.kind](model, Clip("source", info), None, [])
    lines = [f"warnings: {' '.join(plan.warnings) or '-'}"]
    for alternative in plan.alternatives:
        lines.append(
            f"\nrung {alternative.name}: {' '.join(alternative.warnings) or '-'}"
        )
        lines += list(_steps(alternative))
    return "\n".join(lines) + "\n"


def _steps(alternative: Alternative) -> Iterator[str]:
    run = alternative.run()
    times = "".join(f"pts_time:{10 * cell}\nm=1\n" for cell in range(5)).encode()
    try:
        step = next(run)
        for place in range(1, _STEPS + 1):
            line = shlex.join(step.argv).replace(FORMATS, "FORMATS")
            yield f"  {step.program} {line}"
            log = f"pts_time:{0.04 * place:.2f}"
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
