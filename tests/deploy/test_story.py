"""Two hundred jobs and a killed worker, as metrics, alerts and Flower tell of them.

The services are those of docker-compose.yml, as processes; Prometheus is a real one,
with the configuration, the rules and the dashboard's queries that are shipped.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from base64 import b64encode
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.bench import usage
from tests.chaos.load import Client, Clips
from tests.chaos.service import LEASES, until
from tests.deploy.composed import Composed, environment_file
from tests.deploy.observer import SHIPPED, Prometheus

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.needs("caddy", "prometheus", "promtool"),
    pytest.mark.timeout(900),
]
ANIMATIONS, STILLS = 6, 194
LEASE = {"FRAMEMILL_LEASE_SECONDS": "6"}


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    given = environment_file(tmp_path_factory.mktemp("clone"))
    scaled = ("worker-fast", "worker-slow")
    folder = tmp_path_factory.mktemp("composed")
    with Composed(folder, given, scaled=scaled, settings=LEASES | LEASE) as one:
        yield one


@pytest.fixture(scope="module")
def key(service):
    return service.new_key()


@pytest.fixture(scope="module")
def prometheus(service, key, tmp_path_factory):
    folder = tmp_path_factory.mktemp("prometheus") / "files"
    with Prometheus(folder, service, key) as one:
        until(lambda: set(one.targets().values()) == {"up"}, 60, "all are read")
        yield one


class Story:
    """What was seen while the jobs ran; made once for all tests."""

    def __init__(self, service, prometheus, client):
        self.service, self.prometheus, self.client = service, prometheus, client
        accepted = [client.work() for _ in range(ANIMATIONS)]
        with ThreadPoolExecutor(4) as pool:
            stills = pool.map(lambda _: client.still(), range(STILLS))
            self.victim = until(self._busy, 120, "a slow worker runs FFmpeg")
            self.address = f"127.0.0.1:{service.metrics[self.victim.pid]}"
            # Its heart stops with it; only its lease says that its task is lost.
            self.victim.kill()
            self.victim.wait(60)
            self.alerts = until(self._alerts, 60, "an alert tells of the worker")
            self.flower = until(self._missed, 60, "Flower misses the worker")
            service.start_again(self.victim)
            accepted += stills
        self.ends = Counter(client.await_end(one.id, 300)["status"] for one in accepted)
        until(lambda: not prometheus.firing(), 120, "no alert fires any more")

    def _busy(self):
        """Return a slow worker that has a program of FFmpeg below it."""
        for name, child in self.service.children:
            if name == "worker-slow" and any(
                b"ffmpeg" in argv for argv in _commands_below(child.pid)
            ):
                return child
        return None

    def _alerts(self):
        found = self.prometheus.firing()
        return [
            one for one in found if one["labels"]["alertname"] == "FramemillWorkerDown"
        ]

    def _missed(self):
        """Return what Flower says of each worker, once one of them is away."""
        workers = ask_flower(self.service, "workers?status=true")
        return workers if not all(workers.values()) else None


def _commands_below(pid):
    for one in usage.processes(pid):
        with suppress(OSError):
            yield Path(f"/proc/{one}/cmdline").read_bytes()


def ask_flower(service, path):
    user = b64encode(service.given["FLOWER_BASIC_AUTH"].encode()).decode()
    request = urllib.request.Request(
        f"{service.url}/flower/api/{path}", headers={"Authorization": f"Basic {user}"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def story(service, key, prometheus, tmp_path_factory):
    clips = Clips(tmp_path_factory.mktemp("clips"))
    return Story(service, prometheus, Client(service.url, clips, key=key))


def test_every_job_ends_although_a_worker_was_killed(story):
    assert story.ends == {"completed": ANIMATIONS + STILLS}


def test_the_metrics_tell_of_the_jobs_and_of_the_lost_lease(story, prometheus):
    jobs = ANIMATIONS + STILLS
    ended = 'max(framemill_jobs_ended_total{status="completed"})'

    until(lambda: prometheus.value(ended) == jobs, 60, "all jobs are counted")

    assert prometheus.value("max(framemill_jobs_accepted_total)") == jobs
    assert prometheus.value("max(framemill_tasks_given_up_total)") == 0
    lost = 'max(framemill_leases_lost_total{reason="silent"})'
    assert prometheus.value(lost) >= 1
    seconds = 'max(framemill_output_seconds_count{kind="thumbnail"})'
    assert prometheus.value(seconds) == STILLS
    # An end of each attempt whose worker lived: of each job a first task and an output.
    done = 'sum(increase(framemill_task_attempts_total{end="done"}[10m]))'
    assert prometheus.value(done) > jobs


def test_an_alert_names_the_worker_and_resolves(story, prometheus):
    (alert,) = story.alerts

    assert alert["labels"]["instance"] == story.address
    assert alert["labels"]["severity"] == "warning"
    assert story.address in alert["annotations"]["summary"]
    assert alert["annotations"]["runbook"].endswith("#framemillworkerdown")
    until(lambda: prometheus.targets()[story.address] == "up", 60, "it is read again")
    # That no alert fires any more was waited for, as a part of the story.


def test_flower_shows_the_workers_and_what_they_did(story, service):
    # Of four, one is away; a restarted one is a new worker to Celery.
    assert Counter(story.flower.values()) == {True: 3, False: 1}
    (away,) = [name for name, alive in story.flower.items() if not alive]
    assert away.startswith("worker-slow")

    def alive():
        return sum(ask_flower(service, "workers?status=true").values()) == 4

    until(alive, 60, "Flower sees four workers")
    tasks = ask_flower(service, "tasks?limit=10000").values()
    done = Counter(one["name"] for one in tasks if one["state"] == "SUCCESS")
    assert done["framemill.render"] >= STILLS
    assert done["framemill.prepare"] >= STILLS


def test_each_query_of_the_dashboard_returns_data(story, prometheus):
    queries = [
        target["expr"]
        for panel in json.loads((SHIPPED / "dashboard.json").read_text())["panels"]
        for target in panel.get("targets", [])
    ]

    assert len(queries) > 30
    assert [one for one in queries if not prometheus.query(one)] == []
    # A fault that is counted is told apart from one that there was not.
    assert prometheus.query("framemill_of_no_such_name") == {}


def test_promtool_finds_nothing_in_what_each_part_exposes(story, service, key):
    ports = {*service.metrics.values(), service.ports["api"]}
    assert len(ports) == 6
    for address in (f"127.0.0.1:{port}" for port in ports):
        request = urllib.request.Request(
            f"http://{address}/metrics", headers={"Authorization": f"Bearer {key}"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
        done = subprocess.run(
            [shutil.which("promtool"), "check", "metrics"],
            input=text,
            check=False,
            capture_output=True,
            timeout=60,
        )
        assert (done.returncode, done.stdout + done.stderr) == (0, b""), address
        assert b"framemill_" in text
