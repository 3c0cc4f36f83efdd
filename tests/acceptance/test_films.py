"""Every film shows what its description states, as FFmpeg decodes it by itself."""

from __future__ import annotations

import dataclasses
import json

import av
import pytest

from tests.acceptance import marks
from tests.acceptance.films import make, proof
from tests.acceptance.films.catalogue import FILMS

BY_NAME = {film.name: film for film in FILMS}
JOINED = {"case-disc-reset"}
"""Films whose clock begins again: FFmpeg by itself gives some times twice."""

MANY = 1500
"""A film of more frames is read at some of them only."""


FAST = [film for film in FILMS if not film.long and film.name not in JOINED]


@pytest.mark.parametrize("film", FAST, ids=lambda film: film.name)
def test_the_film_is_what_its_description_says(film):
    every = film.count // MANY + 1

    assert list(proof.differences(make.film(film), film, every))[:5] == []


@pytest.mark.parametrize("name", sorted(JOINED))
def test_a_joined_film_holds_all_of_its_frames_in_the_order_of_its_packets(name):
    film = BY_NAME[name]
    numbers = []
    with av.open(str(make.film(film))) as container:
        # A stream's last frames come out when the next one's packets are read.
        for stream in container.streams.video:
            container.seek(0)
            pictures = (frame.to_image() for frame in container.decode(stream))
            numbers += [marks.read(picture, film.bits).number for picture in pictures]

    assert numbers == list(range(film.count))


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        ({"first": 1}, "is 0, not 1"),
        ({"start": 0.04}, "at 0.0000, not 0.0400"),
        ({"frames": 24}, "25 frames, not 24"),
        ({"bits": 12}, "unreadable"),
        ({"size": (108, 192)}, "is shown in (192, 108), not (108, 192)"),
    ],
)
def test_a_wrong_description_is_noticed(wrong, found):
    film = BY_NAME["one-second-mp4"]
    path = make.film(film)

    lines = list(proof.differences(path, dataclasses.replace(film, **wrong)))

    assert any(found in line for line in lines), lines


def test_names_and_files_are_unique():
    assert len(BY_NAME) == len(FILMS)
    assert len({film.file for film in FILMS}) == len(FILMS)


def test_a_folder_of_films_describes_itself(tmp_path):
    make.write([BY_NAME["one-second-mp4"], BY_NAME["cinema-mkv"]], tmp_path)

    second, cinema = json.loads((tmp_path / "films.json").read_text())

    assert (tmp_path / second["file"]).stat().st_size > 1000
    assert second["fps"] == 25
    assert (second["first"], second["frames"], second["start"]) == (0, 25, 0)
    assert second["duration"] == 1
    assert cinema["fps"] == "24000/1001"
    assert cinema["cuts"][0] == 60


def test_a_film_is_made_once(tmp_path):
    film = BY_NAME["one-frame-mp4"]
    path = make.film(film, tmp_path)
    made = path.stat().st_mtime_ns

    assert make.film(film, tmp_path).stat().st_mtime_ns == made
    assert [folder.name for folder in tmp_path.iterdir()] == [make.key(film)]


def test_another_recipe_is_another_film():
    film = BY_NAME["one-frame-mp4"]

    assert make.key(dataclasses.replace(film, drawn=2)) != make.key(film)
