"""The judge passes what is right, and nothing that is doctored or described wrongly."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from tests.acceptance.case import Case
from tests.acceptance.catalogue import CatalogueError, Film, load
from tests.acceptance.films.catalogue import FILMS
from tests.acceptance.films.make import write
from tests.acceptance.judge import judge, judge_job
from tests.acceptance.options import defaults, options
from tests.acceptance.run import EVERY, IN_FLIGHT, Run
from tests.acceptance.service import Service
from tests.acceptance.table import Grid

NAME = "one-second-mp4"
KINDS = list(EVERY)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Film:
    folder = tmp_path_factory.mktemp("films")
    write([film for film in FILMS if film.name == NAME], folder)
    (one,) = load(folder)
    return one


@pytest.fixture(scope="module")
def requested(service: Service) -> dict[str, Any]:
    kinds: dict[str, Any] = service.ask("/v1/outputs/schema").json()["kinds"]
    return kinds


@pytest.fixture(scope="module")
def job(service: Service, film: Film) -> dict[str, Any]:
    return service.submit(
        film.file, [{"name": f"o{n}", **one} for n, one in enumerate(EVERY.values())]
    )


@pytest.fixture
def look(service: Service, requested: dict[str, Any]) -> Callable[..., Any]:
    def go(kind: str, film: Film, job: dict[str, Any]) -> Any:
        spec = defaults(requested, EVERY[kind]["kind"]) | EVERY[kind]
        return judge(Case(service, film, job, job["outputs"][KINDS.index(kind)], spec))

    return go


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_right_passes(look, film, job, kind):
    cell = look(kind, film, job)

    assert cell.passed, cell.text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"first": 3}, id="other numbers"),
        pytest.param({"start": 0.12}, id="later"),
        pytest.param({"bits": 12}, id="other marks"),
    ],
)
def test_a_film_described_wrongly_fails(look, film, job, kind, wrong):
    described = dataclasses.replace(film, **wrong)

    assert look(kind, described, job).passed is False


@pytest.mark.parametrize("kind", ["thumbnail", "animation", "preview", "snippets"])
def test_a_picture_of_another_shape_fails(look, film, job, kind):
    described = dataclasses.replace(film, size=(108, 192))

    assert "was asked" in look(kind, described, job).text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("bytes", 7),
        ("sha256", "0" * 64),
        ("content_type", "image/x-icon"),
        ("width", 7),
        ("frames", 1000),
        ("url", "/v1/files/none/of/these/thumbnail.jpg"),
    ],
)
def test_a_document_that_says_something_else_than_the_file_fails(
    look, film, job, kind, member, value
):
    doctored = copy.deepcopy(job)
    doctored["outputs"][KINDS.index(kind)]["artifacts"][0][member] = value

    assert look(kind, film, doctored).passed is False


@pytest.mark.parametrize("kind", ["snippets", "storyboard"])
def test_a_name_in_an_index_that_is_no_artifact_fails(look, film, job, kind):
    doctored = copy.deepcopy(job)
    del doctored["outputs"][KINDS.index(kind)]["artifacts"][0]

    assert "no artifacts" in look(kind, film, doctored).text


@pytest.mark.parametrize(
    "moved", [("thumbnail", 0.12), ("animation", 0.12), ("contact sheet", 0.0)]
)
def test_a_stated_time_of_another_frame_fails(look, film, job, moved):
    kind, by = moved
    doctored = copy.deepcopy(job)
    artifact = doctored["outputs"][KINDS.index(kind)]["artifacts"][0]
    artifact["time"] += by
    if not by:
        times = artifact["details"]["times"]
        times[:] = [times[0], *(time + 0.04 for time in times[1:])]

    assert look(kind, film, doctored).passed is False


def test_a_warning_that_nobody_expects_fails(look, film, job):
    doctored = copy.deepcopy(job)
    doctored["outputs"][0]["warnings"] = ["damaged"]

    assert "damaged" in look("thumbnail", film, doctored).text


@pytest.mark.parametrize(
    ("doctor", "said"),
    [
        ({"status": "partial"}, "the job is partial"),
        ({"warnings": ["damaged"]}, "warnings: damaged"),
        ({"media": {"duration": 1.2}}, "durations differ|is 1.200"),
    ],
)
def test_a_job_whose_outputs_do_not_agree_fails(service, film, job, doctor, said):
    case = Case(service, film, job, job["outputs"][0], {})
    case.durations["storyboard.json"] = 1.0

    right = judge_job(film, job, [case])
    wrong = judge_job(film, job | doctor, [case])

    assert right.passed, right.text
    assert wrong.passed is False
    assert any(part in wrong.text for part in said.split("|"))


def test_a_warning_that_a_film_should_have_is_missed(film, job):
    described = dataclasses.replace(film, expected_warnings=frozenset({"begin_cut"}))

    assert "begin_cut" in judge_job(described, job, []).text


def test_every_member_of_every_kind_is_asked_for(requested):
    listed = [option.spec for option in options(requested)]

    for kind in {spec["kind"] for spec in listed}:
        members = defaults(requested, kind).keys() - {"kind", "name"}
        used = set().union(*(spec.keys() for spec in listed if spec["kind"] == kind))
        assert members <= used, kind


def test_a_request_that_is_refused_is_a_failed_cell_beside_the_others(service, film):
    run = Run(service, [film], tell=lambda _: None)
    requested = [
        {"kind": "thumbnail", "width": 96},
        {"kind": "thumbnail", "width": -3},
    ]
    from tests.acceptance.options import Option

    cells: dict[str, Any] = {}
    run._ask(film, [Option(str(o["width"]), o) for o in requested], cells)

    assert cells["96"].passed, cells["96"].text
    assert cells["-3"].passed is False


def test_the_table_says_why_a_cell_is_empty():
    grid = Grid("Films", ["thumbnail"])
    grid.leave("three hours", "a long film")

    text = grid.markdown()

    assert "| three hours | (1) |" in text
    assert "1. a long film" in text


def test_a_folder_without_a_catalogue_is_named(tmp_path):
    with pytest.raises(CatalogueError, match=r"films\.json"):
        load(tmp_path)


def test_after_a_job_that_does_not_end_no_other_is_submitted(service, film):
    films = [dataclasses.replace(film, name=f"film-{n}") for n in range(IN_FLIGHT + 2)]
    told: list[str] = []
    run = Run(service, films, tell=told.append, seconds=-film.length)

    grid = run.all_films()

    texts = [cell.text for cell in grid.cells if cell.passed is False]
    assert len(texts) == len(films)
    assert " after 0 s" in texts[0]
    assert texts[-1].startswith("not submitted: job ")
    stacks = next(text for text in told if "most recent call first" in text)
    assert "celery" in stacks
