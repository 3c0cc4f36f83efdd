"""Pick a storyboard's tiles by runs of FFmpeg: one frame of every cell of time.

Each run writes its tiles into a NUT file whose clock counts cells, and their times to
standard output.
"""

from __future__ import annotations

import math
import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import ffmpeg

from common.outputs.specs import StoryboardSpec
from worker.media.ffmpeg.clip import Clip, argv, number, open_clip
from worker.media.ffmpeg.plan import Done, Step
from worker.media.recipes.shared import frame_at, keyframe_index, picture
from worker.media.recipes.shared.grid import SLACK, Grid
from worker.media.recipes.shared.keyframe_index import Keyframe
from worker.media.recipes.shared.span import deblocking

_MARK = re.compile(rb"pts_time:(-?[\d.]+(?:e[-+]?\d+)?)")
_MARK_OF = re.compile(_MARK.pattern + rb"\s+m=(\d+)")
_CAPTURE = 1024 * 1024
_STORED: dict[str, Any] = {"c:v": "utvideo", "fps_mode": "passthrough", "f": "nut"}
_LEAST_SECONDS = 10.0
_LATE_SECONDS = 1.0
_AROUND_SECONDS = 1.0
# The most decoders in one process, and their pixels together: each holds a few frames.
_MOST_INPUTS = 12
_PIXELS = 36_000_000


@dataclass
class FoundTiles:
    """What the runs found: real times by cell, and the files with the tiles."""

    method: str
    times: dict[int, float] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    shuffled: bool = False


def first_of_cells(frames: Any, interval: str, begin: float = 0.0) -> Any:
    """Pass on the first frame of every cell of ``interval`` seconds.

    ``begin`` is where cell 0 starts; frames before it are dropped.
    """
    now, before = (cell_of(time, interval, begin) for time in ("t", "prev_selected_t"))
    first = f"isnan(prev_selected_t)*gte({now},0)"
    return frames.filter("select", f"{first}+gt({now},{before})")


def cell_of(time: str, interval: str, begin: float = 0.0) -> str:
    """Return FFmpeg's expression for the cell of a time, as :meth:`Grid.cell` does."""
    later = SLACK - begin
    moved = f"{time}{'+' if later > 0 else ''}{number(later)}"
    return f"floor(({moved})/{interval})"


@dataclass(frozen=True)
class TileRun:
    """Runs that pick the first frame of every cell from ``first`` to ``last``.

    A ``last`` of -1 means to the end of the film.
    """

    spec: StoryboardSpec
    clip: Clip
    grid: Grid
    plain: bool = False
    first: int = 0
    last: int = -1

    @property
    def is_whole(self) -> bool:
        """Return True if it picks the tiles of the whole film."""
        return self.first == 0 and self.last < 0

    @property
    def seconds(self) -> float:
        """Return how many seconds of the film it reads."""
        end = self.clip.seconds
        until = end if self.last < 0 else (self.last + 1) * self.grid.interval
        return max(until - self.first * self.grid.interval, self.grid.interval)

    def keyframes(self, file: str, chosen: Sequence[Keyframe] = ()) -> Step:
        """Return the step that decodes the first keyframe of every cell and no more.

        If they are known, as ``chosen``, no other bytes of the file are needed.

        ``noise`` drops a packet if its expression is not 0; ``ld(0)`` is the next cell
        that needs a frame. A packet without a pts is dropped, too. ``-discard nokey``
        would not do: with B-frames, the demuxer then computes wrong times for the
        packets that it passes on (seen in FFmpeg 9.0.2).
        """
        cell = self._packets_cell
        wanted = f"gte({cell},ld(0))"
        if not self.is_whole:
            last = "" if self.last < 0 else f"*lte({cell},{self.last})"
            wanted += f"*gte({cell},{self.first}){last}"
        drop = f"if(not(key),1,if({wanted},st(0,{cell}+1)*0,1))"
        only: dict[str, Any] = {}
        if chosen:
            drop = keyframe_index.is_other(chosen)
            # A parser would look into packets that are holes, and log two errors each.
            only["fflags"] = "+nofillin+noparse"
        only["bsf:v"] = f"noise=drop='{drop}'"
        only |= {"skip_frame": "nokey"} | self._unfiltered
        frames = open_clip(self.clip, **only, **self._around)
        step = self._store(self._drawn(frames), file, self.seconds)
        return replace(step, spans=tuple((one.start, one.end) for one in chosen))

    def packets_cell(self, stamp: float) -> int:
        """Return the cell of a packet's timestamp, as :meth:`keyframes` computes it.

        It is -1 for a cell that is not one of this run.
        """
        since = stamp + SLACK - self.clip.stamp(0.0)
        cell = math.floor(since / float(self._interval))
        is_own = cell >= self.first and (self.last < 0 or cell <= self.last)
        return cell if is_own else -1

    @property
    def _unfiltered(self) -> dict[str, Any]:
        return deblocking(self.clip, self.grid.box.scaled[0], alone=True)

    @property
    def _around(self) -> dict[str, Any]:
        """Return the words that read no more than the cells of this run.

        A second more at both ends: a seek follows the decoding times of packets.
        """
        start = self.first * self.grid.interval - _AROUND_SECONDS
        around: dict[str, Any] = {}
        if start > 0:
            around |= {"start": start, "noaccurate_seek": None}
        if self.last >= 0:
            around["length"] = self.seconds + (2 if start > 0 else 1) * _AROUND_SECONDS
        return around

    def apart(self, file: str, cells: Sequence[int]) -> Step:
        """Return the step that decodes these keyframes, each by its own decoder."""
        clip = replace(self.clip, threads=1)
        drawn = []
        for place in cells:
            start = place * self.grid.interval
            cell = self._packets_cell
            drop = f"if(key*eq({cell},{place})*not(ld(0)),st(0,1)*0,1)"
            only: dict[str, Any] = {"bsf:v": f"noise=drop='{drop}'"}
            only |= {"skip_frame": "nokey", "noaccurate_seek": None}
            only |= self._unfiltered
            frames = open_clip(clip, start=start, length=self.grid.interval, **only)
            drawn.append(self._drawn(frames, place))
        frames = drawn[0]
        if len(drawn) > 1:
            words = {"nb_inputs": len(drawn), "duration": "longest"}
            frames = ffmpeg.filter(drawn, "interleave", **words)
        return self._store(frames, file, self.grid.interval * len(cells))

    @property
    def at_once(self) -> int:
        """Return how many keyframes one process may decode separately."""
        video = self.clip.video
        pixels = max(1, video.coded_width * video.coded_height)
        return max(1, min(_MOST_INPUTS, _PIXELS // pixels))

    def decode(self, file: str, first: int = 0, last: int = -1) -> Step:
        """Return the step that decodes cells ``first`` to ``last`` (-1: to the end)."""
        start = first * self.grid.interval
        length = None if last < 0 else (last + 1) * self.grid.interval - start
        frames = open_clip(self.clip, start=start, length=length)
        if length is not None:
            # "-t" passes on frames after a clock jump.
            frames = frames.filter("trim", end=number(start + length - SLACK))
        frames = first_of_cells(frames, self._interval)
        seconds = self.clip.seconds - start if length is None else length
        frames = self._drawn(frames)
        return self._store(frames, file, max(seconds, _LEAST_SECONDS))

    @property
    def _tile_format(self) -> picture.Format:
        """Return a format in limited range, the only one that utvideo has."""
        return "avif" if self.spec.format == "avif" else "webp"

    @property
    def _interval(self) -> str:
        return number(self.grid.interval)

    @property
    def _packets_cell(self) -> str:
        """Return the expression for a packet's cell, from the file's own timestamp."""
        return cell_of("pts*tb", self._interval, self.clip.stamp(0.0))

    def _drawn(self, frames: Any, place: int = 1) -> Any:
        """Draw the tiles, write their times to stdout, let the clock count cells."""
        frames = picture.draw(
            frames,
            self.clip,
            self.grid.box,
            self._tile_format,
            background="#000000",
            plain=self.plain,
            lone=True,
        )
        frames = frame_at.mark(frames, "pipe:1", place)
        # Add a quarter of a cell: "fps" drops a last frame that lies on its tick.
        cell = f"({cell_of('T', self._interval)}+0.25)/TB"
        return frames.filter("setpts", cell).filter("settb", "1/4")

    def _store(self, frames: Any, file: str, seconds: float) -> Step:
        words = argv(ffmpeg.output(frames, file, **_STORED, enc_time_base="filter"))
        return Step(words, seconds, capture=_CAPTURE, tolerant=True)

    def _first_time(self, seen: float) -> float:
        """Return the time of the first keyframe.

        If a file starts inside a group of pictures, its first keyframe is not an IDR.
        FFmpeg 9.0.2 then shows it some frames too late when it is decoded alone.
        """
        clip = self.clip
        cut = clip.begin - clip.first_packet > clip.frame_seconds
        late = 0 < seen - clip.begin < _LATE_SECONDS
        return clip.begin if cut and late else seen

    def take(
        self,
        found: FoundTiles,
        step: Step,
        file: str,
        *,
        alone: bool = False,
    ) -> Generator[Step, Done, bool]:
        """Run a step and record what it found; return True if some of it was damaged.

        ``alone`` says that it decodes only keyframes. Tiles out of order are discarded,
        and ``found`` records it: the file's clock could not tell them apart. Keyframes
        of an open group of pictures arrive so (H.264, HEVC) if the decoder derives
        their order from pictures that it has not seen.
        """
        done = yield step
        if file not in done.files:
            return done.damaged
        marks = [frame_at.seconds(mark) for mark in _MARK.findall(done.stdout)]
        if any(later <= mark for mark, later in pairwise(marks)):
            found.shuffled = True
            return done.damaged
        if marks:
            found.files.append(file)
            if alone and self.first == 0:
                marks[0] = self._first_time(marks[0])
        for seconds in marks:
            found.times.setdefault(self.grid.cell(seconds), seconds)
        return done.damaged

    def take_apart(
        self, found: FoundTiles, cells: Sequence[int], file: str
    ) -> Generator[Step, Done, None]:
        """Run :meth:`apart` and record what it found."""
        done = yield self.apart(file, cells)
        if file not in done.files:
            return
        found.files.append(file)
        for mark, place in _MARK_OF.findall(done.stdout):
            found.times[int(place)] = frame_at.seconds(mark)
