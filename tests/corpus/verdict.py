"""Check the pictures of one clip against what the clip really shows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from common.model import MediaInfo
from common.settings.load import Settings
from tests.corpus.inventory import EITHER, OK, Entry
from tests.corpus.measures import colour_error, is_blank, on_black, ssim
from tests.corpus.table import Row
from tests.corpus.truth import Truth, Wanted
from worker.media.engine import Rendered, RenderedFile
from worker.media.ffmpeg import binary

STILL_SSIM, GIF_SSIM, TILE_SSIM = 0.9, 0.88, 0.88
COLOUR_ERROR = 6.0
FPS, SECONDS = 15.0, 5.0
_VIVID_SHARE = 0.2
_MOVES = 0.5
_SAMPLES = 6
_ROUNDING = 0.03
_SAME = 0.97
_MOST = 12


class Bench:
    """The judge of one clip's pictures; faults go into its row."""

    def __init__(
        self,
        entry: Entry,
        media: MediaInfo,
        settings: Settings,
        folder: Path,
        row: Row,
    ) -> None:
        assert media.video is not None
        self._entry, self._media, self._row = entry, media, row
        self._video = media.video
        self._folder = folder
        self._ffmpeg = binary.path(settings)
        self._truth = Truth(entry.file, media, self._ffmpeg)

    def judge(self, made: dict[str, Rendered]) -> None:
        """Judge what came; a kind that was refused is not in ``made``."""
        if not self._truth.times:
            self._fault("FFmpeg shows nothing of it")
            return
        if self._truth.lost and "damaged" not in self._row.warnings:
            self._fault("FFmpeg finds damage, and no warning tells of it")
        self._row.vivid = round(self._truth.vivid(), 2)
        if "thumbnail" in made:
            self._judge_still(made["thumbnail"].files[0])
        if "animation" in made and not self._is_mostly_lost():
            self._judge_animation(made["animation"].files[0])
        if "storyboard" in made:
            self._judge_storyboard(made["storyboard"].files)

    def _is_mostly_lost(self) -> bool:
        """Return whether hardly a frame decodes of what may be refused: no film."""
        seen, packets = len(self._truth.times), self._video.frames or 0
        lost = self._truth.lost and seen < packets / 2
        if self._entry.expected != EITHER or not lost:
            return False
        self._row.excused = f"FFmpeg decodes {seen} of {packets} frames: GIF not judged"
        return True

    def _fault(self, text: str) -> None:
        self._row.faults.append(text)

    def _judge_shape(self, what: str, width: int, height: int) -> None:
        """Within one pixel; the inventory's shape where it knows one."""
        shape = self._video.width / self._video.height
        if self._entry.expected == OK and self._entry.shape:
            shape = self._entry.shape
        off = min(abs(width / shape - height), abs(height * shape - width))
        if off > 1:
            self._fault(f"{what}: {width}x{height} is not {shape:.4f}:1")

    def _judge_still(self, still: RenderedFile) -> None:
        row = self._row
        assert still.width
        assert still.height
        row.time, row.size = still.time, f"{still.width}x{still.height}"
        self._judge_shape("still", still.width, still.height)
        with Image.open(still.path) as image:
            shown = image.convert("RGB")
        if is_blank(shown) and self._truth.vivid() >= _VIVID_SHARE:
            self._fault(f"the still is blank, {row.vivid:.0%} of the frames are not")
        if still.time is None:
            self._fault("the still's time is unknown")
            return
        numbers = self._truth.at(still.time)
        if not numbers:
            self._fault(f"no frame begins at {still.time}")
            return
        score, one = self._alike(shown, numbers, STILL_SSIM)
        row.ssim = round(score, 4)
        row.colour = round(colour_error(shown, one), 2)
        if score < STILL_SSIM:
            self._fault(f"still: SSIM {score:.3f} at {still.time}")
        if row.colour > COLOUR_ERROR:
            self._fault(f"still: colours are {row.colour} off")

    def _alike(
        self,
        shown: Image.Image,
        numbers: Sequence[int],
        least: float,
        *,
        solid: bool = False,
    ) -> tuple[float, Image.Image]:
        """Return the best SSIM with one of the frames, and what it is like.

        Below ``least`` it may be like what FFmpeg gives in another plain way, or no
        further from a frame than that is; it is noted as an excuse, with the SSIM of
        FFmpeg's two answers, and counts as ``least``.
        """
        size = shown.size
        (found,) = self._truth.pictures([Wanted(tuple(numbers), size)], self._folder)
        if not found:
            return 0.0, Image.new("RGB", size)

        def fits(score: float, one: Image.Image) -> bool:
            return score >= least and colour_error(shown, one) <= COLOUR_ERROR

        grounded = {n: on_black(one, solid=solid) for n, one in found.items()}
        scores = {n: ssim(shown, one) for n, one in grounded.items()}
        best = max(scores, key=lambda n: scores[n])
        if fits(scores[best], grounded[best]):
            return scores[best], grounded[best]
        for number in dict.fromkeys([best, *numbers]):
            known = grounded.get(number)
            for other in self._truth.others(number, size):
                one = on_black(other, solid=solid)
                apart = ssim(one, one if known is None else known)
                score = ssim(shown, one)
                # Like that other one, or nearer to the first than that one is.
                near = known is not None and apart <= scores[number]
                if apart < _SAME and (fits(score, one) or near):
                    text = f"FFmpeg's own two pictures at {self._truth.times[number]:g}"
                    self._row.excused = f"{text} s have SSIM {apart:.2f}"
                    return max(score, least), one
        return scores[best], grounded[best]

    def _judge_animation(self, gif: RenderedFile) -> None:
        row, truth = self._row, self._truth
        assert gif.width
        assert gif.height
        row.gif = f"{gif.width}x{gif.height} {gif.frames}f {gif.duration}s"
        self._judge_shape("GIF", gif.width, gif.height)
        length = min(SECONDS, truth.end - truth.begin)
        wanted = 1 if len(truth.times) == 1 else max(2, round(length * FPS))
        if abs((gif.frames or 0) - wanted) > 1:
            self._fault(f"GIF: {gif.frames} frames, not {wanted}")
        if abs((gif.duration or 0) - wanted / FPS) > 1 / FPS + _ROUNDING:
            self._fault(f"GIF: {gif.duration} s, not {wanted / FPS:.2f}")
        start = gif.time or 0.0
        times = [start + place / FPS for place in range(gif.frames or 0)]
        with Image.open(gif.path) as image:
            shown = []
            for place in range(getattr(image, "n_frames", 1)):
                image.seek(place)
                shown.append(on_black(image.copy()))
        self._judge_movement(shown, times)
        self._judge_frames(shown, times)

    def _judge_movement(self, shown: Sequence[Image.Image], times: list[float]) -> None:
        real = self._truth.different(times)
        found = len({one.tobytes() for one in shown})
        self._row.gif += f" {found}/{real}"
        if found < min(real, max(2, _MOVES * real)):
            self._fault(f"GIF: {found} different frames of {real}")

    def _judge_frames(self, shown: Sequence[Image.Image], times: list[float]) -> None:
        """Compare a few with what is on screen within half a slot of their time."""
        half = 0.5 / FPS
        picked = _spread(range(min(len(shown), len(times))))
        scores = []
        for place in picked:
            near = {self._truth.shown(times[place] + by) for by in (-half, 0, half)}
            near |= set(self._truth.between(times[place] - half, times[place] + half))
            numbers = sorted(near)[:_MOST]
            score, _ = self._alike(shown[place], numbers, GIF_SSIM, solid=True)
            scores.append(score)
        self._row.gif_ssim = round(min(scores), 4)
        if min(scores) < GIF_SSIM:
            self._fault(f"GIF: SSIM {[round(score, 2) for score in scores]}")

    def _judge_storyboard(self, files: Sequence[RenderedFile]) -> None:
        paths = {file.name: file.path for file in files}
        index = json.loads(paths["storyboard.json"].read_text(encoding="utf-8"))
        tiles, truth = index["tiles"], self._truth
        times = [tile["time"] for tile in tiles]
        self._row.tiles = f"{len(times)} tiles to {times[-1]}"
        if times != sorted(times):
            self._fault("the tiles' times are not in order")
        late = [time for time in truth.times if time > times[-1] + index["interval"]]
        if late:
            self._fault(f"the last tile is at {times[-1]}, frames go to {late[-1]}")
        size = (index["tile_width"], index["tile_height"])
        self._judge_shape("tile", *size)
        picked = _spread(tiles)
        numbers = {tile["time"]: truth.at(tile["time"]) for tile in picked}
        missing = [time for time, some in numbers.items() if not some]
        if missing:
            self._fault(f"no frame begins at the tiles' times {missing}")
        scores = []
        for tile in picked:
            with Image.open(paths[tile["file"]]) as sheet:
                box = (tile["x"], tile["y"], tile["x"] + size[0], tile["y"] + size[1])
                cut = sheet.crop(box).convert("RGB")
            some = numbers[tile["time"]]
            scores.append(self._alike(cut, some, TILE_SSIM)[0] if some else 0.0)
        self._row.tile_ssim = round(min(scores), 4)
        if min(scores) < TILE_SSIM:
            self._fault(f"tiles: SSIM {[round(score, 2) for score in scores]}")


def _spread(things: Sequence[Any]) -> list[Any]:
    """Pick a few evenly, the first and the last among them."""
    count = min(_SAMPLES, len(things))
    if count < 2:
        return list(things[:count])
    return [things[round(k * (len(things) - 1) / (count - 1))] for k in range(count)]
