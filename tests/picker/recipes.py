"""The set: 54 clips of what real uploads begin with, contain and end with."""

from __future__ import annotations

from pathlib import Path

from tests.picker.clips import (
    Cards,
    Recipe,
    Segment,
    blend,
    blur,
    drawn,
    fade,
    flat,
    shot,
    static,
    still,
    torn,
    whip,
)

SMALL, HD = (320, 180), (1280, 720)
SHORT_GOP = ("-c:v", "libx264", "-preset", "veryfast", "-g", "24")
LONG_GOP = (
    *("-c:v", "libx264", "-preset", "veryfast"),
    *("-g", "9999", "-sc_threshold", "0"),
)
MPEG4 = ("-c:v", "mpeg4", "-q:v", "5")
MJPEG = ("-c:v", "mjpeg", "-q:v", "5")
VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "700k")
MANDELBROT = "mandelbrot=s=640x360:r=24:start_scale=0.6:end_scale=0.02:maxiter=300"
DARK = "eq=brightness=-0.42"
PALE = "eq=brightness=0.55:contrast=0.35"


def held_out(place: int) -> bool:
    """Return whether the clip at that place of the set is never tuned on."""
    return place % 3 == 2


def recipes(folder: Path) -> list[Recipe]:
    """Return the whole set; cards are drawn into ``folder``."""
    cards = Cards(folder)
    return [*_openings(cards), *_middles(cards), *_decks(cards), *_codecs(cards)]


def _clip(name: str, *segments: Segment, **words) -> Recipe:
    return Recipe(name, segments, **words)


def _openings(cards: Cards) -> list[Recipe]:
    title = cards.text("title", ["THE LONG", "SUMMER"], "#101018", "white", 96)
    light = cards.text("light", ["Chapter One"], "#f4efe2", "#333333", 80)
    logo = cards.logo("logo", "black", "#e02020")
    brand = cards.logo("brand", "white", "#1a66d6")
    names = cards.credits("names")
    roll = "crop=1280:720:0:t*110,{same}"
    return [
        _clip("black-start", flat("black", 3), shot(2, 4)),
        _clip("black-start-long", flat("black", 6), shot(0, 3)),
        _clip("black-both-ends", flat("black", 2), shot(3, 3), flat("black", 3)),
        _clip("fade-in", flat("black", 0.5), fade(2, 2, "in"), shot(2, 3, at=2)),
        _clip("fade-out", shot(1, 2.5), fade(1, 2, "out"), flat("black", 3)),
        _clip("fade-white", fade(0, 2, "in", "white"), shot(0, 3), flat("white", 2)),
        _clip("fades-all-over", *_dips()),
        _clip("logo-start", still(logo, 3), shot(2, 5)),
        _clip("logo-ends", still(brand, 2), shot(3, 3), still(brand, 4)),
        _clip("logo-fade", still(brand, 3, look="fade=in:0:24"), shot(1, 2.5)),
        _clip("title-card", still(title, 4), shot(0, 3)),
        _clip("title-middle", shot(0, 2), still(light, 4), shot(2, 2)),
        _clip("chapters", still(title, 2), shot(3, 2), still(light, 2), shot(1, 2)),
        _clip("credits-end", shot(2, 4), still(names, 8, look=roll)),
        _clip("credits-long", shot(1, 2.5), still(names, 12, look=roll)),
        _clip("white-start", flat("white", 3), shot(3, 3)),
        _clip("blue-leader", flat("0x2030d0", 4), shot(2, 4)),
        _clip("bars-start", drawn("smptehdbars=s=640x360:r=24", 4), shot(0, 3)),
    ]


def _dips() -> list[Segment]:
    dips: list[Segment] = []
    for number in (0, 3, 1):
        dips += [fade(number, 1, "in"), shot(number, 1.2, at=1), fade(number, 1, "out")]
    return dips


def _middles(cards: Cards) -> list[Recipe]:
    return [
        _clip("flashes", *_flashes(2)),
        _clip("flash-middle", shot(3, 2.4), flat("white", 0.4), shot(3, 2.6, at=0.2)),
        _clip("black-middle", shot(0, 2), flat("black", 4), shot(1, 2)),
        _clip("cuts", *(shot(n % 4, 0.8, at=0.3 * n) for n in range(9))),
        _clip("cuts-black", *_blinks()),
        _clip("whip-pan", shot(0, 1.5), whip(0, 2), shot(2, 1.5)),
        _clip("whip-pans", whip(3, 1.5), shot(3, 2), whip(1, 1.5), shot(1, 1.5)),
        _clip("dissolve", shot(0, 2), blend(0, 2, 2.5), shot(2, 2, at=2.5)),
        _clip("dissolves", *_dissolves()),
        _clip("dissolve-slow", shot(1, 1.5), blend(1, 3, 4), shot(3, 1.5)),
        _clip("blur-start", blur(2, 3), shot(2, 2, at=2)),
        _clip("blur-middle", shot(3, 1.5), blur(3, 3), shot(3, 1.5, at=1.4)),
        _clip("blur-mostly", blur(1, 5, 9), shot(1, 1.5), blur(1, 2, 9)),
        _clip("noise-start", static(3), shot(0, 3)),
        _clip("noise-middle", shot(1, 2), static(4), shot(1, 2)),
        _clip("noise-mostly", static(5), shot(2, 2), static(1.5)),
        _clip("noisy-shot", shot(0, 3, look=_grain(90), good=False), shot(0, 3)),
        _clip("junk-middle", shot(2, 2), _shuffled(2, 4), shot(2, 2, at=2)),
        _clip("junk-end", shot(0, 2.5), _shuffled(0, 5)),
        _clip("torn-middle", shot(0, 1.5), torn(0, 3, 3), shot(3, 1.5)),
        _clip("torn-start", torn(1, 2, 2), shot(2, 4, at=1)),
        _clip("green-middle", shot(3, 1.5), _lost(3, 3, 0, 0, 0), shot(3, 1.5)),
        _clip("grey-start", _lost(1, 3, 128, 128, 128), shot(1, 2.5)),
        _clip("dark-start", shot(2, 3, look=DARK, good=False), shot(2, 2, at=3)),
        _clip("pale-middle", shot(0, 1.5), _pale(0, 3), shot(1, 1.5)),
    ]


def _flashes(number: int) -> list[Segment]:
    flashes: list[Segment] = []
    for place in range(6):
        flashes += [shot(number, 0.7, at=0.7 * place), flat("white", 0.15)]
    return flashes


def _blinks() -> list[Segment]:
    blinks: list[Segment] = []
    for place in range(6):
        blinks += [shot(place % 4, 0.7, at=0.5), flat("black", 0.6)]
    return blinks


def _dissolves() -> list[Segment]:
    parts: list[Segment] = []
    for one, two in ((0, 2), (2, 3), (3, 1)):
        parts += [shot(one, 1, at=1), blend(one, two, 1.5)]
    return [*parts, shot(1, 1)]


def _grain(strength: int) -> str:
    return f"noise=alls={strength}:allf=t+u"


def _shuffled(number: int, seconds: float) -> Segment:
    look = "shufflepixels=mode=block:width=32:height=24:seed=3"
    return shot(number, seconds, look=look, good=False)


def _lost(number: int, seconds: float, y: int, u: int, v: int) -> Segment:
    """Leave the lower part as a decoder leaves blocks that it never got."""
    part = shot(number, seconds, good=False)
    chain = (
        f"{part.chain},{{same}},split[p{{k}}][q{{k}}];[p{{k}}]crop=iw:ih*4/9:0:0[r{{k}}];"
        f"[q{{k}}]crop=iw:ih*5/9:0:ih*4/9,lutyuv=y={y}:u={u}:v={v}[s{{k}}];"
        "[r{k}][s{k}]vstack"
    )
    return Segment(seconds, False, part.inputs, chain)


def _pale(number: int, seconds: float) -> Segment:
    return shot(number, seconds, look=PALE, good=False)


def _decks(cards: Cards) -> list[Recipe]:
    slides = [still(cards.slide(f"s{n}", n), 2, good=True) for n in range(1, 5)]
    night = [
        still(cards.slide(f"n{n}", n, "#f2f2f2"), 1.5, good=True) for n in range(5, 8)
    ]
    blank = flat("white", 2)
    return [
        _clip("slides", blank, *slides, blank),
        _clip("slides-black", flat("black", 3), *night, flat("black", 2)),
        _clip("mandelbrot", flat("black", 2), drawn(MANDELBROT, 4, good=True)),
    ]


def _codecs(cards: Cards) -> list[Recipe]:
    title = cards.text("studio", ["A STUDIO", "PRESENTS"], "black", "#dddddd", 72)
    start = (still(title, 2), fade(0, 1, "in"), shot(0, 2, at=1), blend(0, 2, 1))
    film = (*start, shot(2, 4, at=1), fade(2, 1, "out"), flat("black", 2))
    words = {"size": SMALL}
    return [
        _clip("film-mpeg4", *film, encoder=MPEG4, suffix=".avi", **words),
        _clip("film-mjpeg", *film, encoder=MJPEG, suffix=".mov", **words),
        _clip("film-vp9", *film, encoder=VP9, suffix=".webm"),
        _clip("film-ts", *film, suffix=".ts"),
        _clip("film-long-gop", *film, encoder=LONG_GOP),
        _clip("film-hd", *film, size=HD),
        _clip("film-hd-short-gop", *film, size=HD, encoder=SHORT_GOP, suffix=".mkv"),
        _clip("film-portrait", *film, size=(360, 640)),
    ]
