"""Each alert fires when it should and is silent when all is well, by promtool."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.telemetry.metrics import Metric
from tests.conftest import ROOT

FOLDER = ROOT / "deploy" / "observability"
ALERTS = FOLDER / "alerts.yml"
RUNBOOKS = ROOT / "docs" / "how-to" / "runbooks.md"
RULES = {
    rule["alert"]: rule
    for group in yaml.safe_load(ALERTS.read_text())["groups"]
    for rule in group["rules"]
}
API = 'instance="api:8000", job="framemill-api"'
WORKER = 'instance="10.0.0.7:9100", job="framemill-worker"'
REAPER = 'instance="reaper:9100", job="framemill-reaper"'
pytestmark = pytest.mark.needs("promtool")


@dataclass(frozen=True)
class Case:
    """An alert: values of series, one a minute, and what it says after ``minutes``.

    ``before`` are minutes after which it is still silent.
    """

    alert: str
    series: dict[str, str]
    minutes: int
    labels: dict[str, str]
    summary: str
    before: int | None = None
    known: dict[str, str] = field(default_factory=dict)


BUCKETS = {
    f'framemill_output_seconds_bucket{{kind="preview", le="{bound}", {REAPER}}}': step
    for bound, step in (("600.0", "0+1x60"), ("1800.0", "0+10x60"), ("+Inf", "0+10x60"))
}
CASES = [
    Case(
        "FramemillApiDown",
        {f"up{{{API}}}": "1 0x10"},
        3,
        {"instance": "api:8000", "job": "framemill-api"},
        "The API at api:8000 does not answer.",
        before=1,
    ),
    Case(
        "FramemillStoreDown",
        {f"framemill_store_up{{{REAPER}}}": "1 0x10"},
        3,
        {},
        "The job store does not answer; no job is accepted or done.",
        before=1,
    ),
    Case(
        "FramemillStoreFilling",
        {f"framemill_store_memory_ratio{{{API}}}": "0.5 0.75x10"},
        7,
        {},
        "The job store has taken 75% of its memory.",
        before=5,
    ),
    Case(
        "FramemillNoWorkers",
        {f"framemill_workers{{{REAPER}}}": "2 0x10"},
        3,
        {},
        "No worker is alive; jobs are accepted and wait.",
        before=1,
    ),
    Case(
        "FramemillWorkerDown",
        {f"up{{{WORKER}}}": "1 0x10"},
        3,
        {"instance": "10.0.0.7:9100", "job": "framemill-worker"},
        "The worker at 10.0.0.7:9100 does not answer.",
        before=1,
    ),
    Case(
        "FramemillReaperSilent",
        {
            f"framemill_reaper_age_seconds{{{API}}}": "1 60+60x10",
            f"framemill_store_up{{{API}}}": "1x10",
        },
        3,
        {},
        "No reaper works; lost messages and lost workers are not made good.",
        before=1,
    ),
    Case(
        "FramemillReaperSilent",
        {f"framemill_store_up{{{API}}}": "1x10"},
        3,
        {},
        "No reaper works; lost messages and lost workers are not made good.",
    ),
    Case(
        "FramemillDegraded",
        {f"framemill_degraded{{{API}}}": "0 2x10"},
        7,
        {},
        "Accepted jobs wait or are done unsafely: 2 reasons in /readyz.",
        before=5,
    ),
    Case(
        "FramemillQueueSlow",
        {
            f'framemill_oldest_pending_seconds{{queue="slow", {API}}}': "400x20",
            f'framemill_oldest_pending_seconds{{queue="fast", {API}}}': "3x20",
        },
        6,
        {"queue": "slow"},
        "A task of the queue slow has waited 6m 40s.",
        before=4,
    ),
    Case(
        "FramemillOutputsSlow",
        BUCKETS,
        40,
        {"kind": "preview"},
        "One in twenty outputs of kind preview takes over 10 minutes.",
        before=10,
    ),
    Case(
        "FramemillTasksGivenUp",
        {f"framemill_tasks_given_up_total{{{REAPER}}}": "0 0 1x10"},
        4,
        {},
        "Tasks were given up and wait in the list of dead letters.",
        before=1,
    ),
    Case(
        "FramemillLeasesLost",
        {
            f'framemill_leases_lost_total{{reason="silent", {one}}}': "0+1x30"
            for one in (API, REAPER)
        },
        15,
        {"reason": "silent"},
        "Workers lose their tasks: 15 in 15 minutes, silent.",
        before=2,
    ),
    Case(
        "FramemillCommitsRefused",
        {f"framemill_commits_refused_total{{{REAPER}}}": "0+1x30"},
        15,
        {},
        "Results came from workers that had lost their task; work is done twice.",
        before=2,
    ),
    Case(
        "FramemillHostFailures",
        {
            f'framemill_failures_total{{code="worker_lost", {REAPER}}}': "0+1x40",
            # What is wrong with a video is nobody's alarm.
            f'framemill_failures_total{{code="decode_error", {REAPER}}}': "0+9x40",
        },
        30,
        {"code": "worker_lost"},
        "Over 5 tasks failed with worker_lost in half an hour.",
        before=4,
    ),
    Case(
        "FramemillStorageErrors",
        {
            "framemill_storage_errors_total"
            f'{{code="storage_denied", operation="put", {WORKER}}}': "0+1x20"
        },
        6,
        {"job": "framemill-worker", "code": "storage_denied"},
        "Calls of the storage fail with storage_denied in framemill-worker.",
        before=1,
    ),
    Case(
        "FramemillSandboxMissing",
        {
            f'framemill_sandbox_workers{{active="no", layer="landlock", {API}}}': "1x9",
            f'framemill_sandbox_workers{{active="yes", layer="seccomp", {API}}}': "1x9",
        },
        2,
        {"layer": "landlock"},
        "1 workers decode files without the layer landlock of the sandbox.",
        before=0,
    ),
    Case(
        "FramemillApiErrors",
        {
            f'framemill_http_requests_total{{status="503", {API}}}': "0+10x20",
            f'framemill_http_requests_total{{status="200", {API}}}': "0+30x20",
        },
        10,
        {},
        "25% of all requests end with a status of 5xx.",
        before=4,
    ),
    Case(
        "FramemillCleanupsDeferred",
        {f'framemill_cleanups_total{{result="deferred", {REAPER}}}': "0+1x180"},
        90,
        {},
        "Files past their retention cannot be removed.",
        before=50,
    ),
]
# An hour of a service that does what it should, with some bad videos.
WELL = {
    f"up{{{API}}}": "1x90",
    f"up{{{WORKER}}}": "1x90",
    f"framemill_store_up{{{API}}}": "1x90",
    f"framemill_store_memory_ratio{{{API}}}": "0.3x90",
    f"framemill_workers{{{API}}}": "4x90",
    f"framemill_reaper_age_seconds{{{API}}}": "3x90",
    f"framemill_degraded{{{API}}}": "0x90",
    f'framemill_oldest_pending_seconds{{queue="slow", {API}}}': "12x90",
    f'framemill_output_seconds_bucket{{kind="preview", le="10.0", {API}}}': "0+9x90",
    f'framemill_output_seconds_bucket{{kind="preview", le="+Inf", {API}}}': "0+9x90",
    f"framemill_tasks_given_up_total{{{API}}}": "0x90",
    f'framemill_leases_lost_total{{reason="silent", {API}}}': "0x40 1x50",
    f"framemill_commits_refused_total{{{API}}}": "0x40 1x50",
    f'framemill_failures_total{{code="decode_error", {API}}}': "0+2x90",
    f'framemill_sandbox_workers{{active="yes", layer="seccomp", {API}}}': "4x90",
    f'framemill_http_requests_total{{status="200", {API}}}': "0+500x90",
    f'framemill_http_requests_total{{status="503", {API}}}': "0x40 1x50",
    f'framemill_cleanups_total{{result="deferred", {REAPER}}}': "0x90",
    f'framemill_cleanups_total{{result="done", {REAPER}}}': "0+3x90",
}


def rule_test(series: dict[str, str], expected: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "interval": "1m",
        "input_series": [
            {"series": name, "values": values} for name, values in series.items()
        ],
        "alert_rule_test": expected,
    }


def expect(alert: str, minutes: int, case: Case | None) -> dict[str, Any]:
    """Return what promtool is to find of an alert at a time."""
    rule = RULES[alert]
    found = (
        []
        if case is None
        else [
            {
                "exp_labels": rule["labels"] | case.labels,
                "exp_annotations": rule["annotations"] | {"summary": case.summary},
            }
        ]
    )
    return {"alertname": alert, "eval_time": f"{minutes}m", "exp_alerts": found}


def promtool(folder: Path, tests: list[dict[str, Any]]) -> None:
    file = folder / "alerts_test.yml"
    document = {
        "rule_files": [str(ALERTS)],
        "evaluation_interval": "1m",
        "tests": tests,
    }
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    done = subprocess.run(
        [shutil.which("promtool"), "test", "rules", file],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_fires_in_time_and_says_what_is_wrong(tmp_path: Path) -> None:
    assert {case.alert for case in CASES} == set(RULES)
    tests = []
    for case in CASES:
        wanted = [expect(case.alert, case.minutes, case)]
        if case.before is not None:
            wanted.append(expect(case.alert, case.before, None))
        tests.append(rule_test(case.series, wanted))

    promtool(tmp_path, tests)


def test_no_alert_fires_while_all_is_well(tmp_path: Path) -> None:
    quiet = [expect(alert, minutes, None) for alert in RULES for minutes in (5, 45, 90)]

    promtool(tmp_path, [rule_test(WELL, quiet)])


def test_a_silent_alert_would_be_noticed(tmp_path: Path) -> None:
    (case, *_) = CASES
    wrong = rule_test(case.series, [expect(case.alert, case.minutes, None)])

    with pytest.raises(AssertionError, match="FAILED"):
        promtool(tmp_path, [wrong])


@pytest.mark.parametrize("alert", RULES)
def test_each_alert_has_a_runbook_that_says_what_to_do(alert: str) -> None:
    page = RUNBOOKS.read_text(encoding="utf-8")
    _, _, rest = page.partition(f"\n## {alert}\n")
    entry = rest.partition("\n## ")[0]

    path, _, anchor = RULES[alert]["annotations"]["runbook"].partition("#")
    assert (ROOT / path, anchor) == (RUNBOOKS, alert.lower())
    assert all(f"**{head}.**" in entry for head in ("Meaning", "Look", "Do")), entry


def test_no_runbook_is_for_an_alert_that_is_gone() -> None:
    page = RUNBOOKS.read_text(encoding="utf-8")

    assert re.findall(r"^## (Framemill\w+)$", page, re.MULTILINE) == list(RULES)


def test_the_rules_and_the_configuration_are_valid() -> None:
    for words in (
        ["check", "rules", str(ALERTS)],
        ["check", "config", "--syntax-only", str(FOLDER / "prometheus.yml")],
    ):
        done = subprocess.run(
            [shutil.which("promtool"), *words],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def names_of(text: str) -> set[str]:
    return set(re.findall(r"\bframemill_[a-z_]+", text))


def test_every_metric_that_is_named_exists() -> None:
    suffixes = ("", "_total", "_bucket", "_count", "_sum")
    exposed = {one.name + suffix for one in Metric.declared for suffix in suffixes}

    assert names_of(ALERTS.read_text()) <= exposed
    assert names_of((FOLDER / "dashboard.json").read_text()) <= exposed
