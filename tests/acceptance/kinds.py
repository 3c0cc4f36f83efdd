"""What each kind of output must show: the number in each picture is that of its time.

A frame's own stated time is exact to half a frame. A time that was asked, and each
frame of something that plays, is right where that frame is on screen at that time, or
is so within half a slot of the rate that it plays at.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from PIL import Image, ImageChops

from tests.acceptance import marks
from tests.acceptance.case import (
    Case,
    aimed,
    check_crop,
    check_size,
    check_srcsets,
    close,
    files_of_one,
    measure,
    placed,
    rising,
)
from tests.acceptance.decode import Frame
from tests.acceptance.trickplay import check_trickplay

# Containers with a clock of milliseconds round each time by one.
CLOCK = 0.0021
GIF_CLOCK = 0.011
MOST_TILES = 5000
_CLOCK_TIME = re.compile(r"(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)")
_UNITS = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?")
_CUE = re.compile(
    r"(\d+):(\d+):(\d+\.\d+) --> (\d+):(\d+):(\d+\.\d+)\n"
    r"(\S+)#xywh=(\d+),(\d+),(\d+),(\d+)"
)
_TILES = re.compile(
    r"#EXTINF:([\d.]+),\n#EXT-X-TILES:RESOLUTION=(\d+)x(\d+),LAYOUT=(\d+)x(\d+),"
    r"DURATION=([\d.]+)\n(\S+)"
)


def seconds_of(value: float | str, end: float, begin: float = 0.0) -> float:
    """Return a time of a request in seconds; a share is one from begin to end."""
    if not isinstance(value, str):
        return float(value)
    if value.endswith("%"):
        return begin + float(value[:-1]) / 100 * (end - begin)
    found = _CLOCK_TIME.fullmatch(value) or _UNITS.fullmatch(value)
    assert found, value
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds


def requested_time(case: Case, value: float | str) -> float:
    """Return a time of the request in seconds of the film, as the service counts."""
    begin = max(0.0, case.film.edges[0])
    return seconds_of(value, duration_of(case), begin)


def duration_of(case: Case) -> float:
    """Return when the film ends for the service."""
    return float(case.job["media"]["duration"] or case.film.end)


def check_own_time(case: Case, number: int | None, seconds: Any, what: str) -> None:
    """Check the number of a picture against the time that is stated to be its own."""
    if seconds is None:
        case.fault(f"{what} states no time")
        return
    if number is None:
        return
    begin, end = case.film.span(number) or (0.0, 0.0)
    slack = max(CLOCK, min((end - begin) / 2, 0.02))
    case.check(
        close(seconds, begin, slack),
        f"{what} states {seconds} s and shows frame {number}, of {begin:.3f} s",
    )


def check_on_screen(case: Case, number: int | None, seconds: float, what: str) -> None:
    """Check the number of a picture against the time that was asked."""
    if number is None:
        return
    far = case.film.distance(number, seconds)
    case.check(
        far <= max(CLOCK, 0.5 * case.film.frame),
        f"{what} shows frame {number}, {far:.3f} s from the asked {seconds:.3f} s",
    )


def thumbnail(case: Case) -> None:
    """Check stills: one each for ``time``, ``times`` or ``count``.

    Each may be several files, which show the same frame.
    """
    spec, files = case.spec, files_of_one(case)
    check_srcsets(case)
    case.check(
        len(case.pictures) % len(files) == 0,
        f"there are {len(case.pictures)} files, each picture is {len(files)}",
    )
    firsts = case.pictures[:: len(files)]
    numbers = [
        _shown(case, files, case.pictures[at : at + len(files)])
        for at in range(0, len(case.pictures), len(files))
    ]
    _check_count(case, numbers)
    requested = spec.get("times") or [spec.get("time")]
    if requested == [None]:
        return
    policy = spec.get("policy") or "exact"
    for number, when, artifact in zip(numbers, requested, firsts, strict=False):
        at = requested_time(case, when)
        if policy == "exact":
            check_on_screen(case, number, at, artifact["name"])
        elif policy == "scene" and "no_scene_change" not in case.output["warnings"]:
            later = number is None or (case.film.span(number) or (0, 0))[0] >= at - 0.1
            case.check(later, f"{artifact['name']} shows no scene after {at:.2f} s")


def _shown(
    case: Case, files: list[Case], artifacts: list[dict[str, Any]]
) -> int | None:
    """Check the files of one picture; return the number that they show."""
    numbers: set[int] = set()
    for one, artifact in zip(files, artifacts, strict=False):
        frames = measure(case, artifact)
        if not frames:
            continue
        picture, name = frames[0].picture, artifact["name"]
        one = aimed(one, artifact)  # noqa: PLW2901 - the same output, with its point
        check_size(one, picture.size, 640)
        check_crop(one, artifact)
        film = case.film.size or picture.size
        number = one.number(picture, name, placed(one.spec, picture.size, film))
        check_own_time(case, number, artifact["time"], name)
        numbers |= {number} - {None}
        case.drop(artifact)
    case.check(len(numbers) < 2, f"the files of one picture show frames {numbers}")
    return next(iter(numbers), None)


def _check_count(case: Case, numbers: list[int | None]) -> None:
    spec, few = case.spec, "fewer_frames" in case.output["warnings"]
    wanted = len(spec.get("times") or ()) or spec.get("count") or 1
    most = min(wanted, case.film.frames) if spec.get("count") else wanted
    case.check(
        len(numbers) == most or (few and 0 < len(numbers) < most),
        f"there are {len(numbers)} pictures, {most} were asked",
    )
    seen = [number for number in numbers if number is not None]
    if spec.get("count") or spec.get("policy") in {"auto", "scene"}:
        case.check(len(set(seen)) == len(seen), f"one picture twice: frames {seen}")


def animation(case: Case) -> None:
    """Check one stretch of the film: where it starts, how it goes on, how long."""
    spec, film = case.spec, case.film
    (artifact,) = case.pictures
    case = aimed(case, artifact)
    frames = measure(case, artifact)
    if not frames:
        return
    check_size(case, frames[0].picture.size, 320)
    check_crop(case, artifact)
    fps = float(artifact["details"].get("fps") or spec["fps"])
    start, length = _requested_stretch(case)
    if spec["start"] != "auto" or spec.get("end") is not None:
        slack = film.frame + 0.02
        case.check(
            close(artifact["time"], start, slack),
            f"it states to start at {artifact['time']} s, {start:.3f} s was asked",
        )
    start, speed = float(artifact["time"]), float(spec["speed"])
    plays = length / speed * (2 if spec["boomerang"] else 1)
    shown = sum(frame.duration for frame in frames)
    if len(frames) > 1 and not spec.get("max_bytes"):
        case.check(
            close(shown, plays, 2 / fps + film.frame / speed),
            f"it plays {shown:.2f} s, {plays:.2f} s were asked",
        )

    def at(seconds: float) -> float:
        if spec["boomerang"] and seconds >= shown / 2 - 1e-6:
            seconds = max(0.0, shown - seconds - 1 / fps)
        return start + seconds * speed

    slot = (1.5 if spec["boomerang"] else 0.5) * speed / fps
    play(case, artifact, at, fps, slot + GIF_CLOCK * speed)
    if film.frames > 2 and length > 2.5 * film.frame and plays * fps >= 2:
        case.check(len(frames) > 1, "it has one frame")


def _requested_stretch(case: Case) -> tuple[float, float]:
    """Return where the animation should start and how much of the film it shows."""
    spec, total = case.spec, duration_of(case)
    begin = max(0.0, case.film.edges[0])
    # "auto" looks around where there is nothing to see at 10%.
    requested = "10%" if spec["start"] == "auto" else spec["start"]
    start = requested_time(case, requested)
    length = 5.0 if spec.get("duration") is None else float(spec["duration"])
    if spec.get("end") is not None:
        length = requested_time(case, spec["end"]) - start
    length = min(length, 30.0)
    held = spec.get("end") is not None and begin <= start < total
    length = min(length, max(total - (start if held else begin), 0.0))
    return max(begin, min(start, total - length)), length


def play(
    case: Case,
    artifact: dict[str, Any],
    at: Callable[[float], float],
    fps: float,
    slack: float,
) -> None:
    """Check that each frame is on screen at its time, until it is replaced.

    ``at`` maps seconds of the animation to seconds of the film.
    """
    frames, wrong, first = case.frames(artifact), 0, ""
    number, before = None, None
    for place, frame in enumerate(frames):
        if before is None or frame.picture.tobytes() != before.picture.tobytes():
            number = _number(case, frame, f"{artifact['name']}, frame {place}")
        before = frame
        if number is None:
            continue
        until = max(frame.start, frame.start + frame.duration - 1 / fps)
        far = max(case.film.distance(number, at(s)) for s in (frame.start, until))
        if far > slack + CLOCK:
            wrong += 1
            first = first or (
                f"frame {place} shows {number} at {at(frame.start):.3f} s of the film, "
                f"{far:.3f} s off"
            )
    case.check(not wrong, f"{artifact['name']}: {wrong} of {len(frames)} off; {first}")
    case.drop(artifact)


def _number(case: Case, frame: Frame, what: str) -> int | None:
    film = case.film.size or frame.picture.size
    place = placed(case.spec, frame.picture.size, film)
    return case.number(frame.picture, what, place)


def preview(case: Case) -> None:
    """Check that the frames go through the stated segments, each in order."""
    (artifact,) = case.pictures
    case = aimed(case, artifact)
    frames, film = measure(case, artifact), case.film
    if not frames:
        return
    check_size(case, frames[0].picture.size, 320)
    check_crop(case, artifact)
    segments = artifact["details"]["segments"]
    fps = float(artifact["details"].get("fps") or case.spec["fps"])
    case.check(
        rising(one["start"] for one in segments), "the segments are not in order"
    )
    last = segments[-1]["end"] if segments else 0.0
    case.check(
        bool(segments) and last <= film.end + film.frame + 0.05,
        f"a segment ends at {last} s, the film at {film.end:.3f} s",
    )
    slack, now, seen, wrong = 0.5 / fps + GIF_CLOCK, 0, set(), []
    for place, frame in enumerate(frames):
        number = _number(case, frame, f"frame {place}")
        if number is None:
            continue
        begin, end = film.span(number) or (0.0, 0.0)
        while now < len(segments) and (
            begin > segments[now]["end"] + slack or end < segments[now]["start"] - slack
        ):
            now += 1
        if now == len(segments):
            wrong.append((place, number))
            now = 0
        for n, one in enumerate(segments):
            if one["start"] < end + slack and one["end"] > begin - slack:
                seen.add(n)
    case.drop(artifact)
    case.check(
        not wrong, f"{len(wrong)} frames of no segment: (place, number) {wrong[:2]}"
    )
    if seen:
        lost = len(segments) - len(seen)
        case.check(
            lost <= 0, f"{lost} of {len(segments)} stated segments are not shown"
        )


def storyboard(case: Case) -> None:
    """Check tiles and the three indexes, which tell of the same."""
    index = case.files["storyboard.json"].json()
    sheets = {}
    for artifact in case.pictures:
        if frames := measure(case, artifact):
            sheets[artifact["name"]] = frames[0].picture
    _check_tiles(case, index, sheets)
    _check_cells(case, index)
    _check_vtt(case, index)
    _check_hls(case, index, sheets)
    check_trickplay(case, index)
    wanted = min(case.spec["width"], (case.film.size or (10**6,))[0])
    case.check(
        close(index["tile_width"], wanted, 2.01) or index["tile_width"] < wanted,
        f"tiles are {index['tile_width']} wide, {wanted} was asked",
    )
    for artifact in case.pictures:
        case.drop(artifact)


def _check_tiles(
    case: Case, index: dict[str, Any], sheets: dict[str, Image.Image]
) -> None:
    width, height = index["tile_width"], index["tile_height"]
    used = set()
    for place, tile in enumerate(index["tiles"]):
        sheet, what = sheets.get(tile["file"]), f"tile {place}"
        used.add((tile["file"], tile["x"], tile["y"]))
        if sheet is None:
            continue
        box = (tile["x"], tile["y"], tile["x"] + width, tile["y"] + height)
        inside = box[2] <= sheet.width and box[3] <= sheet.height
        case.check(inside, f"{what} lies outside its sheet")
        number = case.number(sheet.crop(box), what)
        check_own_time(case, number, tile["time"], what)
    for name, sheet in sheets.items():
        for y in range(0, sheet.height - height + 1, height):
            for x in range(0, sheet.width - width + 1, width):
                if (name, x, y) not in used and _shows_frame(case, sheet, x, y, index):
                    case.fault(f"{name} has a tile at {x},{y} that no index names")


def _shows_frame(
    case: Case, sheet: Image.Image, x: int, y: int, index: dict[str, Any]
) -> bool:
    """Return whether a place that no index names shows a frame.

    A cell without a frame of its own repeats the one before, which is right.
    """
    size = (index["tile_width"], index["tile_height"])
    tile = sheet.crop((x, y, x + size[0], y + size[1]))
    try:
        number = marks.read(tile, case.film.bits).number
    except marks.Unreadable:
        return False
    span = case.film.span(number)
    times = [one["time"] for one in index["tiles"]]
    return span is None or not any(close(span[0], time, 0.02) for time in times)


def _check_cells(case: Case, index: dict[str, Any]) -> None:
    """Check that each cell of time with a frame has a tile, in its place."""
    film, interval = case.film, float(index["interval"])
    layout = index["sheets"][0]
    per_sheet = layout["columns"] * layout["rows"]
    cells = []
    for tile in index["tiles"]:
        row, column = (
            tile["y"] // index["tile_height"],
            tile["x"] // index["tile_width"],
        )
        cells.append(tile["sheet"] * per_sheet + row * layout["columns"] + column)
    for cell, tile in zip(cells, index["tiles"], strict=True):
        early = tile["time"] < cell * interval - CLOCK and cell > 0
        late = tile["time"] >= (cell + 1) * interval + CLOCK
        case.check(
            not early and not late,
            f"the tile of cell {cell} shows {tile['time']} s, cells are {interval} s",
        )
    count = min(MOST_TILES, max(1, math.ceil((film.end - CLOCK) / interval)))
    empty = [
        cell
        for cell in range(count)
        if cell not in set(cells)
        and film.begins_between(cell * interval + CLOCK, (cell + 1) * interval - CLOCK)
    ]
    case.check(not empty, f"no tile for cells {empty[:5]} of {count}")
    spans = [(tile["start"], tile["end"]) for tile in index["tiles"]]
    whole = all(close(a[1], b[0], 1e-5) for a, b in pairwise(spans))
    case.check(
        whole and spans[0][0] == 0.0 and close(spans[-1][1], index["duration"], CLOCK),
        "the spans do not follow each other from 0 to the end",
    )


def _check_vtt(case: Case, index: dict[str, Any]) -> None:
    text = case.files["storyboard.vtt"].body.decode()
    size = (index["tile_width"], index["tile_height"])
    cues = [_cue(match) for match in _CUE.finditer(text)]
    listed = [
        (tile["file"], (tile["x"], tile["y"], *size), tile["start"], tile["end"])
        for tile in index["tiles"]
    ]
    case.check(
        [cue[:2] for cue in cues] == [one[:2] for one in listed],
        f"storyboard.vtt has {len(cues)} cues, storyboard.json {len(listed)} tiles, "
        "or others",
    )
    late = [
        cue
        for cue, one in zip(cues, listed, strict=False)
        if not (close(cue[2], one[2], CLOCK) and close(cue[3], one[3], CLOCK))
    ]
    case.check(not late, f"storyboard.vtt and storyboard.json differ: {late[:1]}")
    case.durations["storyboard.vtt"] = cues[-1][3] if cues else 0.0


def _cue(match: re.Match[str]) -> tuple[str, tuple[int, ...], float, float]:
    numbers = [float(part) for part in match.groups()[:6]]
    start = numbers[0] * 3600 + numbers[1] * 60 + numbers[2]
    end = numbers[3] * 3600 + numbers[4] * 60 + numbers[5]
    return match[7], tuple(int(part) for part in match.groups()[7:]), start, end


def _check_hls(
    case: Case, index: dict[str, Any], sheets: dict[str, Image.Image]
) -> None:
    text = case.files["storyboard.m3u8"].body.decode()
    total, listed = 0.0, []
    for seconds, width, height, columns, rows, each, name in _TILES.findall(text):
        total += float(seconds)
        listed.append(name)
        size = (int(width) * int(columns), int(height) * int(rows))
        sheet = sheets.get(name)
        case.check(
            sheet is None or sheet.size == size,
            f"storyboard.m3u8 says {size} of {name}",
        )
        room = int(columns) * int(rows) * float(each)
        case.check(
            float(seconds) <= room + 0.01, f"{name} shows more than its tiles last"
        )
    case.check(
        listed == [one["file"] for one in index["sheets"]],
        "storyboard.m3u8 and storyboard.json name other sheets",
    )
    case.durations["storyboard.m3u8"] = total
    case.durations["storyboard.json"] = float(index["duration"])


def contact_sheet(case: Case) -> None:
    """Check each file of the sheet."""
    check_srcsets(case)
    files = files_of_one(case)
    case.check(
        len(files) == len(case.pictures),
        f"there are {len(case.pictures)} files, {len(files)} were asked",
    )
    for one, artifact in zip(files, case.pictures, strict=False):
        _sheet(one, artifact)


def _sheet(case: Case, artifact: dict[str, Any]) -> None:
    """Check each cell against its stamp, and that no frame is shown twice."""
    frames, details = measure(case, artifact), artifact["details"]
    if not frames:
        return
    picture, times = frames[0].picture, details["times"]
    case.check(
        close(picture.width, case.spec["width"], 1.01),
        f"the sheet is {picture.width} wide, {case.spec['width']} was asked",
    )
    wanted = case.spec["columns"] * case.spec["rows"]
    few = "fewer_frames" in case.output["warnings"]
    case.check(
        len(times) == wanted or (few and len(times) < wanted),
        f"there are {len(times)} frames, {wanted} were asked",
    )
    case.check(rising(times), f"the times do not rise: {times}")
    seen = []
    for box, when in zip(cells(case, picture, details), times, strict=True):
        hidden = frozenset({"bottom_right"} if case.spec["timestamps"] else ())
        what = f"the frame stamped {when}"
        number = case.number(picture.crop(box), what, hidden=hidden)
        check_own_time(case, number, when, what)
        seen.append(number)
    known = [number for number in seen if number is not None]
    case.check(len(set(known)) == len(known), f"one frame twice: {known}")
    case.check(artifact["time"] == times[0], "its time is not that of its first frame")


def cells(
    case: Case, picture: Image.Image, details: dict[str, Any]
) -> list[tuple[int, int, int, int]]:
    """Return where the frames lie: the grid ends above the border at the bottom.

    The columns are found by what differs from the background, since how wide border
    and gaps are is nowhere stated.
    """
    width, height = details["tile_width"], details["tile_height"]
    columns, rows = details["columns"], details["rows"]
    colour = _rgb(case.spec["background"])
    bottom = _last(picture.convert("RGB"), colour) + 1
    top = max(0, bottom - rows * height)
    band = picture.convert("RGB").crop((0, top, picture.width, top + height // 2))
    turned = band.transpose(Image.Transpose.ROTATE_270)
    right = _last(turned, colour) + 1
    left = picture.width - _last(band.transpose(Image.Transpose.ROTATE_90), colour) - 1
    gap = (right - left - columns * width) / (columns - 1) if columns > 1 else 0.0
    down = gap if columns > 1 else picture.width / 192
    first = bottom - rows * height - (rows - 1) * down
    boxes = []
    for place in range(len(details["times"])):
        row, column = divmod(place, columns)
        x = round(left + column * (width + gap))
        y = round(first + row * (height + down))
        boxes.append((x, y, x + width, y + height))
    return boxes


def _rgb(colour: str) -> tuple[int, int, int]:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return red, green, blue


def _last(picture: Image.Image, colour: tuple[int, int, int]) -> int:
    """Return the last row in which anything differs much from a colour."""
    flat = Image.new("RGB", picture.size, colour)
    strong = ImageChops.difference(picture, flat).convert("L").point(lambda v: v > 32)
    box = strong.getbbox()
    return box[3] - 1 if box else 0


def snippets(case: Case) -> None:
    """Check that the windows cover the film and each snippet shows its own."""
    manifest = case.files["snippets.json"].json()
    stated = {a["name"]: a for a in case.pictures}
    listed, film = manifest["snippets"], case.film
    case.check(not manifest["missing"], f"missing windows: {manifest['missing'][:3]}")
    spans = [(one["start"], one["end"]) for one in listed]
    whole = all(close(a[1], b[0], 0.002) for a, b in pairwise(spans))
    case.check(
        bool(spans) and whole and close(spans[0][0], 0.0, film.frame + 0.01),
        "the windows do not follow each other from the start",
    )
    case.check(
        len(stated) == len(listed), f"{len(listed)} are listed, {len(stated)} are there"
    )
    fps = float(manifest["fps"])
    for one in listed:
        artifact = stated.get(one["file"])
        if artifact is None or not measure(case, artifact):
            continue
        case.check(
            one["bytes"] == artifact["bytes"],
            f"{one['file']} has {artifact['bytes']} bytes, the manifest states others",
        )
        check_size(case, (artifact["width"], artifact["height"]), 240)
        start = float(one["start"])
        play(
            case,
            artifact,
            lambda seconds, start=start: start + seconds,
            fps,
            0.5 / fps + GIF_CLOCK,
        )
    case.durations["snippets.json"] = float(manifest["duration"])
    if spans:
        case.durations["the last snippet"] = float(spans[-1][1])


CHECKS: dict[str, Callable[[Case], None]] = {
    "thumbnail": thumbnail,
    "animation": animation,
    "preview": preview,
    "storyboard": storyboard,
    "contact_sheet": contact_sheet,
    "snippets": snippets,
}
