"""The second set's transitions, damage and long films; see second_hand.py."""

from __future__ import annotations

from pathlib import Path

from tests.picker.clips import (
    Cards,
    Recipe,
    Segment,
    blend,
    blur,
    flat,
    pan,
    shot,
    still,
    whip,
)
from tests.picker.encoders import (
    FIELDS,
    FULL_HD,
    GOP_FIVE,
    GOP_HALF,
    GOP_TWO,
    HD,
    MJPEG,
    OPEN_GOP,
    SD,
    VGA,
    X264,
    X265,
)
from tests.picker.paintings import Easel


def _wipe(one: int, two: int, kind: str, seconds: float) -> Segment:
    mixed = blend(one, two, seconds)
    head = mixed.chain.rpartition("blend=")[0]
    return Segment(
        seconds,
        False,
        mixed.inputs,
        f"{head}xfade=transition={kind}:duration={seconds}:offset=0",
    )


def between(easel: Easel) -> list[Recipe]:
    hills, town = easel.hills("ridge", 51), easel.night("quay", 13)
    frame = 1 / 24
    flashes = [
        s for n in range(10) for s in (shot(2, 0.5, at=0.4 * n), flat("white", frame))
    ]
    strobe = [s for _ in range(10) for s in (shot(0, 0.125), flat("black", 0.125))]
    scenes = [
        s
        for n in range(6)
        for s in (
            shot(n % 4, 0.6, at=0.5),
            flat("black", 0.25),
            pan(easel.hills(f"h{n}", 70 + n), 0.6),
        )
    ]
    wipes = [shot(0, 1.5)]
    for one, two, kind in (
        (0, 2, "circleopen"),
        (2, 3, "wiperight"),
        (3, 1, "pixelize"),
    ):
        wipes += [_wipe(one, two, kind, 1.5), shot(two, 1.5, at=1)]
    pull = [blur(3, 0.5, sigma) for sigma in (24, 18, 12, 8, 5)]
    return [
        Recipe("single-flashes", tuple(flashes), HD, GOP_TWO, ".mp4"),
        Recipe("strobe", (*strobe, shot(2, 2, at=1), *strobe), VGA, X264, ".mkv"),
        Recipe("short-scenes", tuple(scenes), HD, GOP_HALF, ".ts", 25),
        Recipe("wipes", tuple(wipes), HD, OPEN_GOP, ".mkv"),
        Recipe("focus", (*pull, shot(3, 3), *reversed(pull)), HD, GOP_TWO, ".mp4", 25),
        Recipe(
            "dips-white",
            tuple(
                s
                for n in (2, 0)
                for s in (_fade(n, "in"), shot(n, 1.5, at=1), _fade(n, "out"))
            ),
            VGA,
            OPEN_GOP,
            ".mp4",
            30,
        ),
        Recipe(
            "long-dissolve",
            (pan(hills, 2), _cross(hills, town, 5), pan(town, 2)),
            HD,
            X265,
            ".mkv",
            25,
        ),
        Recipe(
            "mjpeg-dissolves",
            (
                shot(1, 1.5),
                blend(1, 0, 2),
                shot(0, 1.5, at=1),
                blend(0, 3, 2),
                shot(3, 1.5),
            ),
            FULL_HD,
            MJPEG,
            ".mov",
            25,
        ),
        Recipe(
            "mpeg2-whips",
            (whip(0, 2), shot(0, 1.5), whip(2, 2), shot(2, 1.5), whip(1, 2)),
            SD,
            FIELDS,
            ".ts",
            25,
        ),
    ]


def _fade(number: int, way: str) -> Segment:
    return shot(number, 1.5, look=f"fade={way}:st=0:d=1.5:color=white", good=False)


def _cross(one: Path, two: Path, seconds: float) -> Segment:
    inputs = (still(one, seconds).inputs[0], still(two, seconds).inputs[0])
    chain = (
        "{same}[x{k}];[{second}:v]{same}[y{k}];[x{k}][y{k}]"
        f"blend=all_expr='A*(1-T/{seconds})+B*T/{seconds}'"
    )
    return Segment(seconds, False, inputs, chain)


def damaged(easel: Easel) -> list[Recipe]:
    hills = easel.hills("wood", 91)
    hit = "if(between(pts*tb,{},{})*not(key),{},0)"
    parts = (shot(2, 2), shot(2, 4, good=False), shot(2, 2, at=3))
    film = (pan(hills, 2), pan(hills, 4, good=False), pan(hills, 2))
    return [
        Recipe(
            "broken-h264",
            parts,
            HD,
            (*X264, "-g", "24", "-sc_threshold", "0"),
            ".mp4",
            damage=hit.format(1.99, 5.95, 1500),
        ),
        Recipe(
            "broken-mpeg2",
            film,
            SD,
            FIELDS,
            ".ts",
            25,
            damage=hit.format(3.4, 7.3, 400),
        ),
        Recipe(
            "broken-mpeg4",
            parts,
            VGA,
            ("-c:v", "mpeg4", "-q:v", "5", "-g", "48"),
            ".avi",
            damage=hit.format(1.99, 5.95, 200),
        ),
        Recipe(
            "broken-start",
            (shot(0, 3, good=False), shot(0, 3), flat("black", 2)),
            HD,
            (*X264, "-g", "36", "-sc_threshold", "0"),
            ".mkv",
            damage=hit.format(-1, 2.96, 600),
        ),
    ]


def long_films(easel: Easel, cards: Cards) -> list[Recipe]:
    title = cards.text("hour", ["A LONG", "EVENING"], "black", "white", 120)
    film = (
        *(flat("black", 2), still(title, 3), shot(0, 3), blend(0, 2, 2)),
        *(
            shot(2, 4, at=1),
            _fade(2, "out"),
            flat("black", 4.5),
            pan(easel.hills("hour-hills", 3), 4),
        ),
    )
    hour, ten = round(3600 / 24) - 1, round(600 / 24) - 1
    once = (*X264, "-g", "9999", "-sc_threshold", "0")
    return [
        Recipe("hour", film, FULL_HD, GOP_TWO, ".mp4", 24, hour),
        Recipe("hour-mkv", film, HD, GOP_FIVE, ".mkv", 24, hour),
        Recipe("ten-minutes-ts", film, HD, GOP_HALF, ".ts", 24, ten),
        Recipe("ten-minutes-hevc", film, HD, (*X265, "-g", "96"), ".mp4", 24, ten),
        Recipe("two-minutes-one-key", film * 5, (320, 180), once, ".mp4", 24),
        Recipe(
            "ten-minutes-black",
            (flat("black", 400), *film * 8),
            (320, 180),
            GOP_TWO,
            ".mp4",
            24,
        ),
    ]
