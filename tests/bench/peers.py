"""What others run for the same work, as command lines of the same FFmpeg.

They are written from what each is known to do. All read a local file.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.bench import usage
from tests.bench.results import Unavailable

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
        """Make a GIF by palettegen and paletteuse, 15 fps, 320 pixels."""
        chain = "fps=15,scale=320:-2:flags=lanczos,split[a][b];[a]palettegen[p];"
        words: Command = ["-ss", str(at), "-t", str(seconds), "-i", film, "-an"]
        words += ["-filter_complex", f"{chain}[b][p]paletteuse"]
        return self._run(words, "pair.gif")

    def still_and_gif(self, film: Path, at: float, start: float) -> dict[str, float]:
        """Run both, one after the other."""
        return together(self.still(film, at), self.gif(film, start))

    def download(self, url: str) -> dict[str, float]:
        """Fetch a whole film to a file, as curl does."""
        program = shutil.which("curl")
        if program is None:
            raise Unavailable("no curl on this machine")
        out = self._scratch / "download"
        used = usage.run([program, "-sf", "--noproxy", "*", "-o", out, url])
        return {"wall": used.wall, "cpu": used.cpu, "made": 0}

    def poster(self, film: Path) -> dict[str, float]:
        """Choose a picture as Immich does: keyframes, a scene change among groups."""
        chain = "fps=12:start_time=0:eof_action=pass:round=down,thumbnail=12,"
        chain += "select=gt(scene\\,0.1)-eq(prev_selected_n\\,n)"
        chain += "+isnan(prev_selected_n)+gt(n\\,20),trim=end_frame=2,reverse,"
        words: Command = ["-skip_frame", "nointra", "-i", film, "-an", "-vf"]
        words += [chain + "scale=640:-2", "-frames:v", "1", "-update", "1"]
        return self._run(words, "poster.jpg")

    def thumbnailer(self, film: Path) -> dict[str, float]:
        """Run Debian's ffmpegthumbnailer at the middle; raises Unavailable."""
        program = shutil.which("ffmpegthumbnailer")
        if program is None:
            raise Unavailable("no ffmpegthumbnailer on this machine")
        out = self._scratch / "thumbnailer.jpg"
        used = usage.run([program, "-i", film, "-o", out, "-t", "50%", "-s", "640"])
        made = out.stat().st_size
        return {"wall": used.wall, "cpu": used.cpu, "made": made}

    def storyboard(
        self, film: Path, *, keyframes: bool, interval: int = 10
    ) -> dict[str, float]:
        """Tile frames of the whole film: PeerTube's way, by keyframes Jellyfin's."""
        words: Command = ["-skip_frame", "nokey"] if keyframes else []
        chain = f"fps=1/{interval},scale=320:-2,tile=10x10"
        words += ["-i", film, "-an", "-vf", chain]
        return self._run(words, "storyboard-%03d.jpg")

    def snippets(
        self, film: Path, count: int, seconds: int
    ) -> tuple[dict[str, float], list[bytes]]:
        """Make a GIF of each window by a command each, as AWS's example does."""
        chain = "fps=10,scale=240:-2:flags=lanczos,split[a][b];[a]palettegen[p];"
        samples, made = [], []
        for number in range(count):
            words: Command = ["-ss", str(number * seconds), "-t", str(seconds)]
            words += ["-i", film, "-an", "-filter_complex", f"{chain}[b][p]paletteuse"]
            samples.append(self._run([*words, "-loop", "0"], "snippet.gif"))
            made.append(self.file("snippet.gif"))
        return together(*samples), made

    def file(self, name: str) -> bytes:
        """Return a file that the last command of that name made."""
        return (self._scratch / name).read_bytes()

    def _run(self, words: Command, name: str) -> dict[str, float]:
        out, every = self._scratch / name, name.replace("%03d", "*")
        for old in self._scratch.glob(every):
            old.unlink()
        used = usage.run([self._ffmpeg, "-nostdin", "-v", "error", "-y", *words, out])
        made = sum(path.stat().st_size for path in self._scratch.glob(every))
        return {"wall": used.wall, "cpu": used.cpu, "made": made}


def together(*samples: dict[str, float]) -> dict[str, float]:
    """Return the sums of what several commands took."""
    return {name: sum(one[name] for one in samples) for name in samples[0]}
