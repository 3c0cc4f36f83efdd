"""What others run for the same work, as command lines of the same FFmpeg.

Written from what each is known to do. ``{at}`` are the seconds, ``{film}`` the file.
"""

from __future__ import annotations

from pathlib import Path

from tests.bench import usage

Command = list[str | Path]


class Peers:
    """Commands on local files; each method runs one way of doing the work."""

    def __init__(self, ffmpeg: Path, scratch: Path) -> None:
        self._ffmpeg = ffmpeg
        self._scratch = scratch
        scratch.mkdir(parents=True, exist_ok=True)

    def still(self, film: Path, at: float) -> dict[str, float]:
        """Seek, decode one frame, write a JPEG of 640 pixels."""
        return self._run(
            ["-ss", str(at), "-i", film, "-frames:v", "1", "-vf", "scale=640:-2"],
            "still.jpg",
        )

    def gif(self, film: Path, at: float, seconds: float = 5) -> dict[str, float]:
        """The pair of palettegen and paletteuse, 15 fps, 320 pixels."""
        chain = "fps=15,scale=320:-2:flags=lanczos,split[a][b];[a]palettegen[p];"
        words: Command = ["-ss", str(at), "-t", str(seconds), "-i", film, "-an"]
        words += ["-filter_complex", f"{chain}[b][p]paletteuse"]
        return self._run(words, "pair.gif")

    def still_and_gif(self, film: Path, at: float, start: float) -> dict[str, float]:
        """One after the other."""
        return together(self.still(film, at), self.gif(film, start))

    def _run(self, words: Command, name: str) -> dict[str, float]:
        out = self._scratch / name
        used = usage.run([self._ffmpeg, "-nostdin", "-v", "error", "-y", *words, out])
        found = sorted(self._scratch.glob(name.replace("%03d", "*")))
        made = sum(path.stat().st_size for path in found)
        return {"wall": used.wall, "cpu": used.cpu, "made": made}


def together(*samples: dict[str, float]) -> dict[str, float]:
    """Return the sums of what several commands took."""
    return {name: sum(one[name] for one in samples) for name in samples[0]}
