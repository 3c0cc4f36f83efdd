"""How like the film a moving picture is: SSIM of its frames, over all three planes.

The reference is the film at the same rate, scaled by Lanczos to the same size, which is
how the peers scale.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import av

_ALL = re.compile(r"SSIM .*All:([0-9.]+)")


@dataclass
class Quality:
    """Compares pictures with films by the program ``ffmpeg``; same bytes only once."""

    ffmpeg: Path
    scratch: Path
    _known: dict[tuple[str, Path, float], float] = field(default_factory=dict)

    def ssim(self, made: bytes, film: Path, start: float, *, fps: float) -> float:
        """Return the mean SSIM of an animation of ``film`` from ``start`` seconds."""
        key = hashlib.sha256(made).hexdigest(), film, start
        if key not in self._known:
            self.scratch.mkdir(parents=True, exist_ok=True)
            picture = self.scratch / "made"
            picture.write_bytes(made)
            self._known[key] = self._compare(picture, film, start, fps)
        return self._known[key]

    def _compare(self, picture: Path, film: Path, start: float, fps: float) -> float:
        with av.open(str(picture)) as container:
            stream = container.streams.video[0]
            size = f"{stream.width}:{stream.height}"
        chain = f"[0:v]fps={fps},format=yuv444p[made];"
        chain += f"[1:v]fps={fps},scale={size}:flags=lanczos,format=yuv444p[film];"
        words = [self.ffmpeg, "-nostdin", "-i", picture, "-ss", start, "-i", film]
        words += ["-filter_complex", f"{chain}[made][film]ssim=shortest=1"]
        done = subprocess.run(
            list(map(str, [*words, "-f", "null", "-"])),
            check=True,
            capture_output=True,
            text=True,
        )
        found = _ALL.search(done.stderr)
        if found is None:
            raise ValueError(f"FFmpeg compared no frame of {picture} with {film}")
        return float(found[1])
