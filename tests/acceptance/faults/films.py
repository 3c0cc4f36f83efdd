"""Small films for the tests of faults."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg

SIZE = (64, 48)


def grey_stretches(path: Path, count: int, seconds: int) -> Path:
    """Write a film of one frame a second, stretch ``k`` all of grey ``20 + 30 * k``."""
    width, height = SIZE
    argv = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "rawvideo"]
    argv += ["-pix_fmt", "gray", "-s", f"{width}x{height}", "-r", "1", "-i", "-"]
    argv += ["-pix_fmt", "yuv420p", "-g", "50", "-y", str(path)]
    frames = b"".join(
        bytes([20 + 30 * place]) * (width * height * seconds) for place in range(count)
    )
    subprocess.run(argv, input=frames, check=True, timeout=60)
    return path
