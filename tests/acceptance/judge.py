"""Whether an output of a film is right, and whether the outputs of a job agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.acceptance.case import Case, close, fetch, follow, measure, shortened
from tests.acceptance.catalogue import Film
from tests.acceptance.kinds import CHECKS, seconds_of

# Of one film, told by outputs whose clocks have different units.
ROUNDING = 0.011


@dataclass(frozen=True)
class Cell:
    """What one cell of the table says: ``passed``, or None where nothing was asked."""

    passed: bool | None
    text: str = ""

    @property
    def mark(self) -> str:
        """Return the cell as the table shows it."""
        if self.passed is None:
            return ""
        return ("ok" if self.passed else "FAIL") + (
            f": {self.text}" if self.text else ""
        )


def judge(case: Case, *, blind: str = "") -> Cell:
    """Check all files of an output that should have succeeded.

    ``blind`` is why its pictures show no number; then files and sizes alone count.
    """
    output = case.output
    if output["status"] != "succeeded":
        return _failed(case)
    fetch(case)
    if len(case.files) < len(case.artifacts):
        return Cell(passed=False, text=shortened(case.problems))
    follow(case)
    if blind:
        case.note(blind)
        for artifact in case.pictures:
            measure(case, artifact)
    else:
        CHECKS[output["kind"]](case)
    unexpected = set(output["warnings"]) - allowed(case)
    case.check(not unexpected, f"warnings: {', '.join(sorted(unexpected))}")
    if case.problems:
        return Cell(passed=False, text=shortened(case.problems))
    return Cell(passed=True, text="; ".join(case.notes))


def _failed(case: Case) -> Cell:
    error = case.output["error"] or {}
    code = error.get("code", case.output["status"])
    expected = case.film.expected_errors
    if code == expected.get(case.output["kind"], expected.get("*")):
        return Cell(passed=True, text=f"refused as expected: {code}")
    return Cell(passed=False, text=f"{code}: {error.get('detail', '')}")


def judge_job(film: Film, job: dict[str, Any], cases: list[Case]) -> Cell:
    """Check what concerns all outputs: status, warnings, the one duration."""
    problems, expected = [], film.expected_errors
    if job["status"] != "completed" and not expected:
        problems.append(f"the job is {job['status']}")
    seen = set(job["warnings"]).union(*(case.output["warnings"] for case in cases))
    missing = film.expected_warnings - seen
    if missing:
        problems.append(f"no warning {', '.join(sorted(missing))}")
    known = film.expected_warnings | film.allowed_warnings
    if unexpected := set(job["warnings"]) - known:
        problems.append(f"warnings: {', '.join(sorted(unexpected))}")
    problems += _durations(film, job, cases)
    return Cell(passed=not problems, text=shortened(problems))


def _durations(film: Film, job: dict[str, Any], cases: list[Case]) -> list[str]:
    media = job["media"] or {}
    told = {"media.duration": media.get("duration")}
    for case in cases:
        told |= case.durations
    known = {name: float(value) for name, value in told.items() if value is not None}
    if not known:
        return []
    problems = []
    slack = max(ROUNDING, film.frame * 0.05)
    if max(known.values()) - min(known.values()) > slack:
        listed = ", ".join(f"{name} {value:.3f}" for name, value in known.items())
        problems.append(f"durations differ: {listed}")
    for name, value in known.items():
        wide = 1.5 * film.frame + 0.05
        if not (close(value, film.end, wide) or close(value, film.length, wide)):
            problems.append(f"{name} is {value:.3f}, the film {film.end:.3f} s")
            break
    return problems


def allowed(case: Case) -> set[str]:
    """Return the warnings that an output may have: the film's, and the request's."""
    film, spec = case.film, case.spec
    found = set(film.expected_warnings | film.allowed_warnings)
    end = film.end
    facts = {
        "single_frame": film.frames == 1 or _shown(spec, end) < 2 * film.frame,
        "frozen": film.frames == 1 or _shown(spec, end) < 2 * film.frame,
        "fewer_frames": film.frames < 1.2 * _wanted(spec) + 1
        or spec.get("policy") == "scene"
        # A cell of time before the first frame has none.
        or film.edges[0] > end / _wanted(spec),
        "fewer_widths": max(spec.get("widths") or [0]) > (film.size or (0,))[0],
        "fewer_segments": 0.9 * end < _room(spec) + 1 or "exclude_start" in spec,
        "shorter_than_asked": _stretch(spec, end)[1] > film.length - film.frame - 0.05,
        "start_moved": sum(_stretch(spec, end)) > end - film.frame - 0.05,
        "time_past_end": max(_requested(spec, end), default=0) >= end - 2 * film.frame,
        "not_optimized": bool(spec.get("optimize")),
        "no_scene_change": spec.get("policy") == "scene",
        "interval_stretched": end / (spec.get("interval") or 10) > 5000
        or end / (spec.get("window") or 30) > 1000,
        "rows_reduced": spec.get("rows", 0) > 10,
        "fps_reduced": bool(spec.get("boomerang") or spec.get("max_bytes")),
        "exclusion_ignored": _excluded(spec, end) > 0.5 * end or film.frames < 3,
        "icon_shown": "icon" in spec.get("fallback", ()),
        "waveform_shown": "waveform" in spec.get("fallback", ()),
        "artwork_shown": "artwork" in spec.get("fallback", ()),
    }
    return found | {code for code, holds in facts.items() if holds}


def _wanted(spec: dict[str, Any]) -> int:
    if spec["kind"] == "contact_sheet":
        return int(spec["columns"] * spec["rows"])
    return int(spec.get("count") or 1)


def _room(spec: dict[str, Any]) -> float:
    return float(spec.get("segments", 0)) * float(spec.get("segment_duration", 0))


def _stretch(spec: dict[str, Any], end: float) -> tuple[float, float]:
    """Return start and length of the stretch that is asked, in seconds."""
    start = spec.get("start", 0)
    begin = seconds_of("10%" if start == "auto" else start, end)
    if spec.get("end") is not None:
        return begin, seconds_of(spec["end"], end) - begin
    return begin, float(spec.get("duration") or 5.0)


def _shown(spec: dict[str, Any], end: float) -> float:
    """Return how many seconds of the film each picture that moves shows."""
    if "window" in spec:
        return min(float(spec["window"]), end)
    if "segments" in spec:
        return min(_room(spec), end)
    return min(_stretch(spec, end)[1], end)


def _requested(spec: dict[str, Any], end: float) -> list[float]:
    requested = [spec.get("time"), spec.get("start"), spec.get("end")]
    requested += spec.get("times") or []
    return [seconds_of(t, end) for t in requested if t is not None and t != "auto"]


def _excluded(spec: dict[str, Any], end: float) -> float:
    both = (spec.get("exclude_start", 0), spec.get("exclude_end", 0))
    return sum(seconds_of(one, end) for one in both)
