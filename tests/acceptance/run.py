"""Ask a service for every output of every film and judge what comes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tests.acceptance.case import Case
from tests.acceptance.catalogue import Film
from tests.acceptance.judge import Cell, judge, judge_job
from tests.acceptance.options import Option, defaults, options
from tests.acceptance.service import HttpError, NotEnded, Service
from tests.acceptance.table import Grid

# What every film is asked for: the default of each kind, and two that show more of a
# short film than those do.
EVERY: dict[str, dict[str, Any]] = {
    "thumbnail": {"kind": "thumbnail"},
    "animation": {"kind": "animation"},
    "preview": {"kind": "preview"},
    "storyboard": {"kind": "storyboard"},
    "contact sheet": {"kind": "contact_sheet"},
    "snippets": {"kind": "snippets"},
    "stills at times": {"kind": "thumbnail", "times": [0, "37%", "90%"]},
    "storyboard of 8": {"kind": "storyboard", "count": 8, "width": 160},
}
JOB = "job"
IN_FLIGHT = 4
PER_JOB = 16
_POINTER = re.compile(r"/outputs/(\d+)")


@dataclass
class Run:
    """One run over a service; ``tell`` gets a line for each cell that fails.

    After a job that does not end in ``seconds``, and the length of its film, no other
    is submitted: the service is stuck, and each would wait as long.
    """

    service: Service
    films: list[Film]
    long: bool = False
    only: str = ""
    seconds: float = 300.0
    tell: Callable[[str], None] = print
    kinds: dict[str, Any] = field(default_factory=dict)
    _stuck: str | None = None

    def __post_init__(self) -> None:
        """Read what can be asked of the service."""
        self.kinds = self.service.ask("/v1/outputs/schema").json()["kinds"]

    def all_films(self) -> Grid:
        """Ask for the default of each kind of every film."""
        grid = Grid("Every film", [JOB, *EVERY])
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            requested = [film for film in self.films if self._is_requested(film, grid)]
            for film, cells in zip(
                requested, pool.map(self._film, requested), strict=True
            ):
                for column, cell in cells.items():
                    grid.put(film.name, column, cell)
        return grid

    def _is_requested(self, film: Film, grid: Grid) -> bool:
        grid.rows[film.name] = {}
        if film.long and not self.long:
            grid.leave(film.name, "a long film: run with --long")
            return False
        return True

    def _film(self, film: Film) -> dict[str, Cell]:
        cells: dict[str, Cell] = {}
        began = time.monotonic()
        try:
            requested = [Option(name, spec) for name, spec in EVERY.items()]
            job, cases = self._ask(film, requested, cells)
            if job is not None:
                listed = [case for case in cases if case is not None]
                cells[JOB] = judge_job(film, job, listed)
        except (HttpError, AssertionError) as error:
            cells[JOB] = Cell(passed=False, text=str(error))
        self._report(film, cells, time.monotonic() - began)
        return cells

    def every_option(self, chosen: Iterable[Film]) -> Grid:
        """Ask for every option of two films, many outputs in one job."""
        films = list(chosen)
        listed = [o for o in options(self.kinds) if self.only in o.label]
        grid = Grid("Every option", [film.name for film in films])
        for option in listed:
            grid.rows[option.label] = {}
        groups = [
            (film, listed[first : first + PER_JOB])
            for film in films
            for first in range(0, len(listed), PER_JOB)
        ]
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            for film, cells in pool.map(lambda one: self._options(*one), groups):
                for label, cell in cells.items():
                    grid.put(label, film.name, cell)
        return grid

    def _options(
        self, film: Film, requested: list[Option]
    ) -> tuple[Film, dict[str, Cell]]:
        cells: dict[str, Cell] = {}
        began = time.monotonic()
        try:
            self._ask(film, requested, cells)
        except (HttpError, AssertionError) as error:
            cells |= {
                option.label: Cell(passed=False, text=str(error))
                for option in requested
                if option.label not in cells
            }
        self._report(film, cells, time.monotonic() - began)
        return film, cells

    def _ask(
        self, film: Film, requested: list[Option], cells: dict[str, Cell]
    ) -> tuple[dict[str, Any] | None, list[Case | None]]:
        """Submit one job and judge its outputs; what is refused is judged, too."""
        while requested:
            if self._stuck:
                raise AssertionError(f"not submitted: {self._stuck}")
            named = [
                {"name": f"o{number}", **option.spec}
                for number, option in enumerate(requested)
            ]
            try:
                job = self.service.submit(
                    film.file, named, seconds=self.seconds + film.length
                )
                break
            except NotEnded as error:
                if self._stuck is None:
                    self._stuck = str(error)
                    self.tell(self.service.stacks())
                raise
            except HttpError as error:
                left = _refused(error, requested, cells)
                if len(left) == len(requested):
                    raise
                requested = left
        else:
            return None, []
        cases: list[Case | None] = []
        for option, output in zip(requested, job["outputs"], strict=True):
            spec = defaults(self.kinds, option.spec["kind"]) | option.spec
            case = Case(self.service, film, job, output, spec)
            cells[option.label] = _judged(case, option)
            case.files.clear()
            cases.append(case)
        return job, cases

    def _report(self, film: Film, cells: dict[str, Cell], seconds: float) -> None:
        failed = [(name, cell) for name, cell in cells.items() if cell.passed is False]
        self.tell(
            f"{film.name}: {len(cells) - len(failed)} of {len(cells)} cells, "
            f"{seconds:.1f} s"
        )
        for name, cell in failed:
            self.tell(f"  FAIL {name}: {cell.text}")


def _judged(case: Case, option: Option) -> Cell:
    error = case.output["error"] or {}
    if error.get("code") in option.refusals:
        return Cell(passed=True, text=f"refused: {error['code']}")
    try:
        return judge(case, blind=option.blind)
    except HttpError as fault:
        return Cell(passed=False, text=str(fault))


def _refused(
    error: HttpError, requested: list[Option], cells: dict[str, Cell]
) -> list[Option]:
    """Judge the outputs that the request was refused for; return the others."""
    if error.status != 422:
        return requested
    problem = error.problem
    faults: dict[int, str] = {}
    for fault in problem.get("faults", []):
        if found := _POINTER.match(fault.get("pointer") or ""):
            faults[int(found[1])] = fault.get("detail", "")
    for number, detail in faults.items():
        right = problem.get("code") in requested[number].refusals
        text = f"refused: {detail}" if right else f"422 {detail}"
        cells[requested[number].label] = Cell(passed=right, text=text)
    return [one for number, one in enumerate(requested) if number not in faults]
