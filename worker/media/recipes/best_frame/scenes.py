"""Choose the scenes that several stills show under policy ``scene``.

For ``times``, each still shows the first scene that begins after its time and before
the next time. For a ``count``, the scenes are spread over the clip. If fewer begin than
requested, frames between them are shown, too.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import pairwise

from common.errors import DecodeError
from worker.media.ffmpeg.clip import Clip
from worker.media.ffmpeg.plan import Done, Step
from worker.media.recipes.shared import frame_at

_SHORTEST_SCENE = 0.2


def after(
    clip: Clip, times: Sequence[float]
) -> Generator[Step, Done, tuple[list[float], int]]:
    """Return a time to show for each of ``times``, and how many have no new scene."""
    found, missed = [], 0
    for time in times:
        later = min((one for one in times if one > time), default=float("inf"))
        try:
            found.append((yield from frame_at.next_scene(clip, time, later)))
        except DecodeError:
            missed += 1
            found.append(time)
    return found, missed


def spread(
    clip: Clip, times: Sequence[float]
) -> Generator[Step, Done, tuple[list[float], int]]:
    """Return as many times as requested, and how many of them have no new scene.

    ``times`` are the middles of equal parts of the clip; at most a minute of each part
    is searched.
    """
    end = clip.seconds
    part = (end - clip.begin) / len(times)
    if part <= frame_at.SCENE_WINDOW:
        cuts = yield from frame_at.scenes(clip, clip.begin, end - clip.begin)
    else:
        cuts = []
        for time in times:
            start = time - part / 2
            cuts += yield from frame_at.scenes(clip, start, frame_at.SCENE_WINDOW)
    cuts = sorted(set(cuts))
    chosen = nearest(cuts, times)
    return filled(chosen, len(times), clip.begin, end), len(times) - len(chosen)


def nearest(cuts: Sequence[float], times: Sequence[float]) -> list[float]:
    """Return the cut nearest to each time, each once, or all if there are fewer."""
    if len(cuts) <= len(times):
        return list(cuts)
    chosen: list[int] = []
    for place, time in enumerate(times):
        best = min(range(len(cuts)), key=lambda one: abs(cuts[one] - time))
        first = chosen[-1] + 1 if chosen else 0
        last = len(cuts) - (len(times) - place)
        chosen.append(max(first, min(best, last)))
    return [cuts[place] for place in chosen]


def filled(cuts: Sequence[float], count: int, begin: float, end: float) -> list[float]:
    """Return ``count`` times: the cuts, and the middles of the longest gaps.

    The scene before the first cut comes first, because no cut shows it.
    """
    times = sorted(cuts)
    if times and len(times) < count and times[0] - begin > _SHORTEST_SCENE:
        times.insert(0, (begin + times[0]) / 2)
    while len(times) < count:
        edges = [begin, *times, end]
        start, until = max(pairwise(edges), key=lambda gap: gap[1] - gap[0])
        times = sorted([*times, (start + until) / 2])
    return times
