"""Fault 14: white is #ffffff and grey 128 is 128 in every format, at every size."""

from __future__ import annotations

import io
from collections import Counter
from typing import Any

import av
import pytest

from tests import slides
from tests.acceptance.decode import MOVING, decode
from tests.acceptance.service import Service, artifact

WHITE, GREY = (255, 255, 255), (128, 128, 128)
STILL = {"kind": "thumbnail", "time": 0.5}
ANIMATION = {"kind": "animation", "start": 0, "duration": 0.4, "fps": 5.0}
OUTPUTS: list[dict[str, Any]] = [
    *(STILL | {"format": form, "width": 301} for form in ("jpeg", "png", "avif")),
    STILL | {"format": "webp"},
    STILL | {"format": "avif"},
    {"kind": "thumbnail", "format": "png"},
    {"kind": "thumbnail", "format": "png", "time": 0.5, "policy": "keyframe"},
    *(ANIMATION | {"format": form} for form in ("gif", "webp", "avif", "mp4", "webm")),
    {"kind": "storyboard", "interval": 0.5, "width": 160},
]
SHOWN = list(range(len(OUTPUTS)))
NAMES = [
    "-".join(str(v) for v in one.values() if isinstance(v, str)) for one in OUTPUTS
]


@pytest.fixture(scope="module", params=list(slides.KINDS))
def colours(
    request: pytest.FixtureRequest,
    service: Service,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, list[Counter[tuple[int, ...]]]]:
    """The kind of film, and the colours of the last frame of each output."""
    film = slides.film(tmp_path_factory.mktemp("films"), request.param)
    requested = [one | {"name": f"o{place}"} for place, one in enumerate(OUTPUTS)]
    job = service.submit(film, requested)
    assert job["status"] == "completed", job
    files = [service.fetch(one["artifacts"][0]) for one in job["outputs"]]
    return request.param, [_count(file.content_type, file.body) for file in files]


def _count(kind: str, body: bytes) -> Counter[tuple[int, ...]]:
    if kind in MOVING:
        return _of_moving(body)
    picture = decode(body)[-1].picture.convert("RGB")
    return Counter(picture.get_flattened_data())


def _of_moving(body: bytes) -> Counter[tuple[int, ...]]:
    """Count by ITU-R BT.709: conversions of libraries round in ways of their own."""
    with av.open(io.BytesIO(body)) as container:
        *_, frame = container.decode(video=0)
    assert frame.format.name == "yuv420p"
    rows = [_rows(plane) for plane in frame.planes]
    found: Counter[tuple[int, ...]] = Counter()
    for y, line in enumerate(rows[0]):
        for x, luma in enumerate(line):
            blue, red = (plane[y // 2][x // 2] for plane in rows[1:])
            found[luma, blue, red] += 1
    shown: Counter[tuple[int, ...]] = Counter()
    for codes, count in found.items():
        shown[_rgb(*codes)] += count
    return shown


def _rows(plane: Any) -> list[bytes]:
    data, line = bytes(plane), plane.line_size
    return [data[y * line : y * line + plane.width] for y in range(plane.height)]


def _rgb(luma: int, blue: int, red: int) -> tuple[int, ...]:
    y, u, v = 255 / 219 * (luma - 16), 255 / 224 * (blue - 128), 255 / 224 * (red - 128)
    channels = (y + 1.5748 * v, y - 0.1873 * u - 0.4681 * v, y + 1.8556 * u)
    return tuple(min(255, max(0, round(one))) for one in channels)


def _share(colours: Counter[tuple[int, ...]], wanted: tuple[int, ...], slack: int):
    fitting = sum(
        count
        for one, count in colours.items()
        if all(abs(a - b) <= slack for a, b in zip(one, wanted, strict=True))
    )
    return fitting / colours.total()


@pytest.mark.parametrize("place", SHOWN, ids=NAMES)
def test_white_is_white_and_grey_is_grey(place, colours):
    kind, found = colours

    if kind == "slide":
        # Some pixels near the letters are neither.
        assert _share(found[place], WHITE, 0) > 0.7
        assert _share(found[place], GREY, 1) > 0.015
    elif kind == "white":
        assert _share(found[place], WHITE, 0) == 1
    else:
        assert _share(found[place], GREY, 1) == 1


@pytest.mark.parametrize(
    ("kind", "wanted"), [("white", "#ffffff"), ("grey", "#808080")]
)
def test_the_colour_that_stands_for_a_flat_picture_is_its_own(
    service, tmp_path, kind, wanted
):
    film = slides.film(tmp_path, kind, "320x180")

    job = service.submit(film, [STILL])

    assert artifact(job, "thumbnail")["details"]["dominant_color"] == wanted
