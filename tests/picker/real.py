"""Clips that are not made here, and the intervals that people called good.

Some are files of a media corpus that is not part of the repository (it is given as a
folder; a name that it lacks is left out). A set of anybody's own is a file of JSON:
``{"clips": [{"file": "a.mp4", "seconds": 12.0, "fps": 25, "good": [[1.0, 4.2]]}]}``
with file names beside it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

# Left out of the intervals: black, white, fades, overexposed seconds, a whipped
# camera, credits over an even sky.
GOOD: dict[str, tuple[tuple[float, float], ...]] = {
    "starts_black_5s_then_bbb.mp4": ((5, 13),),
    "all_white_then_cut_at_4s.mp4": ((4, 8),),
    "hevc_foreman_384.mp4": ((0, 6.2), (7.3, 10.4)),
    "sintel_captions_400x170.ts": ((4.3, 10.2),),
    "full_12s_gop8s.ts": ((1.7, 12.1),),
    "bbb_480p_30s_h264.mp4": ((0, 20.3), (23.3, 30)),
    "long_gop_single_keyframe_30s.mp4": ((0, 20.3), (23.3, 30)),
    "3gp_h263_phone_mov00006.3gp": ((0, 0.8), (5, 15.3)),
    "slideshow_0.1fps_60s.mp4": ((0, 40), (50, 60)),
    "bottle_detection_40s_640x360.mp4": ((0, 40),),
    "asf_msmpeg4v3_28s.asf": ((0, 28.1),),
    "mxf_mpeg2_576_anamorphic.mxf": ((0, 10.7),),
    "vfr_supersloMo_14s_160x120.mp4": ((0, 14.5),),
    "hdr_pq_nasa_hevc.mp4": ((0, 13),),
}


@dataclass(frozen=True)
class RealClip:
    """A file and its good intervals in seconds; the last ends where it does."""

    path: Path
    good: tuple[tuple[float, float], ...]
    fps: float = 24
    length: float | None = None

    @property
    def name(self) -> str:
        """Return the file's name."""
        return self.path.name

    @property
    def seconds(self) -> float:
        """Return the clip's length."""
        return self.length or self.good[-1][1]


def real_clips(corpus: Path) -> list[RealClip]:
    """Return those clips of the corpus that are there."""
    paths = ((corpus / "clips" / name, good) for name, good in GOOD.items())
    return [RealClip(path, good) for path, good in paths if path.exists()]


def labelled_clips(labels: Path) -> list[RealClip]:
    """Read a set of anybody's own."""
    return [
        RealClip(
            labels.parent / one["file"],
            tuple((start, end) for start, end in one["good"]),
            one["fps"],
            one["seconds"],
        )
        for one in json.loads(labels.read_text("utf-8"))["clips"]
    ]
