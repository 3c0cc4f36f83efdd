"""The time that is written on each frame of a contact sheet is that frame's."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageDraw, ImageFont, ImageStat

from tests.acceptance.case import Case
from tests.acceptance.catalogue import Film, load
from tests.acceptance.decode import decode
from tests.acceptance.films.catalogue import FILMS
from tests.acceptance.films.make import write
from tests.acceptance.kinds import cells
from tests.acceptance.service import Service, artifact
from tests.conftest import ROOT

FONT = ROOT / "worker" / "media" / "assets" / "FramemillSans.ttf"
NEAR = 3


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Film:
    folder = tmp_path_factory.mktemp("films")
    write([film for film in FILMS if film.name == "ten-seconds-mp4"], folder)
    return load(folder)[0]


def stamp(text: str, size: int) -> Image.Image:
    """Return the letters of a stamp, white on black, cut to their edges."""
    font = ImageFont.truetype(str(FONT), size)
    picture = Image.new("L", (20 + size * len(text), 3 * size))
    ImageDraw.Draw(picture).text((10, size // 2), text, 255, font)
    return picture.crop(picture.getbbox())


def letters(cell: Image.Image) -> Image.Image:
    """Return what is white in the lower right corner of a frame."""
    # The bar that moves with the number ends at 0.77 of the width.
    area = (cell.width * 39 // 50, cell.height * 3 // 4, cell.width, cell.height)
    white = cell.crop(area).convert("RGB").split()
    least = ImageChops.darker(ImageChops.darker(white[0], white[1]), white[2])
    return least.point(lambda value: max(0, value - 120) * 255 // 135)


def unlike(seen: Image.Image, text: Image.Image) -> float:
    """Return how far a text is from what is seen, where it fits best: 0 to 255."""
    box = seen.point(lambda value: 255 if value > 96 else 0).getbbox()
    if box is None:
        return 255.0
    found = []
    for x in range(box[0] - NEAR, box[0] + NEAR + 1):
        for y in range(box[1] - NEAR, box[1] + NEAR + 1):
            drawn = Image.new("L", seen.size)
            drawn.paste(text, (x, y))
            found.append(ImageStat.Stat(ImageChops.difference(drawn, seen)).mean[0])
    return min(found)


def test_each_frame_has_its_own_time_written_on_it(
    service: Service, film: Film, tmp_path: Path
) -> None:
    spec = {"kind": "contact_sheet", "format": "png", "background": "#181818"}
    job = service.submit(film.file, [spec])
    sheet = artifact(job, "contact_sheet")
    picture = decode(service.fetch(sheet).body)[0].picture
    case = Case(service, film, job, job["outputs"][0], spec)
    times = sheet["details"]["times"]
    texts = [f"0:{time:04.1f}" for time in times]
    assert len(set(texts)) == len(texts)
    seen = [
        letters(picture.crop(box)) for box in cells(case, picture, sheet["details"])
    ]

    size = min(range(9, 26), key=lambda size: unlike(seen[0], stamp(texts[0], size)))
    drawn = [stamp(text, size) for text in texts]
    read = [min(range(len(texts)), key=lambda n: unlike(one, drawn[n])) for one in seen]

    assert read == list(range(len(texts))), [texts[n] for n in read]
