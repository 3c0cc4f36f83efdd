"""Flat films and a slide, in limited range, whose white and grey are known exactly."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg

FONT = Path(__file__).parents[1] / "worker" / "media" / "assets" / "FramemillSans.ttf"
_EXACT = "flags=accurate_rnd+full_chroma_int"
_TAGS = "color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=limited"
_TEXT = (
    f"drawtext=fontfile={FONT}:fontcolor=black:fontsize=h/14:x=w/16:y=h/10:"
    "text='Results of the lighthouse',"
    f"drawtext=fontfile={FONT}:fontcolor=black:fontsize=h/24:x=w/12:y=h/3:"
    "text='the quick brown fox jumps over the lazy dog',"
    "drawbox=iw*0.7:ih*0.75:iw*0.2:ih*0.18:0x808080:fill"
)
# Kind to background and what is drawn on it; the box of a slide has the grey.
KINDS = {"white": ("white", "null"), "grey": ("0x808080", "null")}
KINDS["slide"] = ("white", _TEXT)
BOX = (0.8, 0.84)
"""Where the middle of a slide's grey box is, as shares of the sides."""


def film(folder: Path, kind: str, size: str = "1280x720") -> Path:
    """Write a film of one second, ten frames, and return it."""
    path = folder / f"{kind}-{size}.mp4"
    ground, drawn = KINDS[kind]
    turn = f"scale=out_color_matrix=bt709:out_range=limited:{_EXACT}"
    words = f"format=gbrp,{drawn},format=gbrp,{turn},format=yuv420p,setparams={_TAGS}"
    argv = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y"]
    argv += ["-f", "lavfi", "-i", f"color=c={ground}:s={size}:r=10:d=1", "-vf", words]
    argv += ["-c:v", "libx264", "-preset", "ultrafast", "-qp", "4", str(path)]
    subprocess.run(argv, check=True, timeout=60)
    return path
