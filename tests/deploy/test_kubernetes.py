"""The manifests of deploy/k8s: rendered, valid, and at one with the settings."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from functools import cache
from typing import Any

import jsonschema
import pytest
import redis
import yaml

from common.jobs.queue import QUEUES
from common.settings.load import Settings
from tests.chaos.service import Service, until
from tests.common import valkey
from tests.conftest import ROOT, SAMPLE
from tests.deploy.compose_file import DOCKERFILES, image_command
from tests.ports import free_port
from tests.tools import CHECKS

KUBERNETES = ROOT / "deploy" / "k8s"
OVERLAYS = ("try", "production")
each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)
needs_kubectl = pytest.mark.needs("kubectl", "kubernetes-validate")


@cache
def text(overlay: str) -> str:
    folder = KUBERNETES / "overlays" / overlay
    command = [CHECKS / "kubectl", "kustomize", folder]
    return subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=60
    ).stdout


def manifests(overlay: str, *kinds: str) -> list[dict[str, Any]]:
    every = yaml.safe_load_all(text(overlay))
    return [one for one in every if not kinds or one["kind"] in kinds]


def pods(overlay: str) -> dict[str, dict[str, Any]]:
    owners = manifests(overlay, "Deployment", "StatefulSet")
    return {one["metadata"]["name"]: one["spec"]["template"]["spec"] for one in owners}


def printed_secrets() -> str:
    command = [KUBERNETES / "new-secrets"]
    return subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=60
    ).stdout


def secrets() -> dict[str, dict[str, str]]:
    """Return what the page's command prints, by the name of the Secret."""
    return {
        one["metadata"]["name"]: one["stringData"]
        for one in yaml.safe_load_all(printed_secrets())
    }


def variables(overlay: str, name: str) -> dict[str, str]:
    """Return the environment of a part: of the ConfigMap, the Secret, and its own."""
    (shared,) = manifests(overlay, "ConfigMap")
    (container,) = pods(overlay)[name]["containers"]
    assert {"configMapRef", "secretRef"} == {
        key for one in container["envFrom"] for key in one
    }
    own = {one["name"]: one["value"] for one in container.get("env", [])}
    return shared["data"] | secrets()["framemill"] | own


def seconds(pod: dict[str, Any]) -> int:
    (container,) = pod["containers"]
    words = container.get("lifecycle", {}).get("preStop", {}).get("exec", {})
    assert words.get("command", ["sleep"])[0] == "sleep"
    return int(words["command"][1]) if words else 0


def validate(*files):
    done = subprocess.run(
        [CHECKS / "kubernetes-validate", "--strict", *files],
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )
    return done.returncode, done.stdout + done.stderr


@needs_kubectl
def test_every_object_holds_to_its_schema(tmp_path):
    files = [tmp_path / name for name in ("secrets", *OVERLAYS)]
    files[0].write_text(printed_secrets())
    for overlay in OVERLAYS:
        (tmp_path / overlay).write_text(text(overlay))

    status, said = validate(*files)

    assert status == 0, said
    warned = [line for line in said.splitlines() if line.startswith("WARN")]
    # KEDA's is looked at below.
    assert all("for kind ScaledObject" in line for line in warned), warned
    assert said.count(" passed for resource ") > 40


@needs_kubectl
def test_the_validator_can_fail(tmp_path):
    (deployment, *_) = manifests("try", "Deployment")
    deployment["spec"]["template"]["spec"]["gracePeriod"] = 3
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(deployment))

    status, said = validate(tmp_path / "bad.yaml")

    assert status != 0
    assert "gracePeriod" in said


@needs_kubectl
def test_scalers_use_fields_that_keda_has():
    schema = json.loads((ROOT / "tests/deploy/scaled_object.json").read_text())
    scalers = manifests("production", "ScaledObject")

    assert len(scalers) == len(QUEUES)
    for one in scalers:
        jsonschema.validate(one, schema)


@needs_kubectl
def test_scalers_ask_for_a_metric_of_ours_by_a_queue_of_ours():
    code = (ROOT / "common/telemetry/metrics.py").read_text()
    queues = set()
    for one in manifests("production", "ScaledObject"):
        (trigger,) = one["spec"]["triggers"]
        form = r'max\((\w+)\{queue="(\w+)"\}\)'
        name, queue = re.fullmatch(form, trigger["metadata"]["query"]).groups()
        assert f'"{name.removeprefix("framemill_")}"' in code
        assert one["spec"]["scaleTargetRef"]["name"] == f"worker-{queue}"
        queues.add(queue)

    assert queues == set(QUEUES)


@needs_kubectl
@each_overlay
def test_what_a_scaler_sets_is_set_by_nobody_else(overlay):
    scaled = {
        one["spec"]["scaleTargetRef"]["name"]
        for one in manifests(overlay, "ScaledObject", "HorizontalPodAutoscaler")
    }
    replicas = {
        one["metadata"]["name"]
        for one in manifests(overlay, "Deployment")
        if "replicas" in one["spec"]
    }

    assert scaled == {f"worker-{queue}" for queue in QUEUES}
    assert not scaled & replicas


@needs_kubectl
@each_overlay
def test_no_variable_of_a_service_reaches_a_container(overlay):
    names = [one["metadata"]["name"] for one in manifests(overlay, "Service")]

    assert all(name.startswith("media-") for name in names)
    assert all(pod["enableServiceLinks"] is False for pod in pods(overlay).values())


@needs_kubectl
@each_overlay
def test_pods_have_no_privilege_and_cannot_write_to_their_image(overlay):
    for name, pod in pods(overlay).items():
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]
            assert container["resources"]["requests"]["cpu"]


@needs_kubectl
@each_overlay
@pytest.mark.parametrize("part", ["api", "worker-fast", "worker-slow", "reaper"])
def test_every_variable_is_a_setting_with_a_valid_value(overlay, part, monkeypatch):
    for name, value in variables(overlay, part).items():
        assert name.startswith("FRAMEMILL_")
        monkeypatch.setenv(name, value)

    settings = Settings.load()

    assert settings.blobs.backend == "s3"
    assert settings.broker.url != settings.store.url


@needs_kubectl
def test_the_poller_has_its_queue_and_its_rules(monkeypatch):
    for name, value in variables("production", "s3-poller").items():
        monkeypatch.setenv(name, value)

    settings = Settings.load()

    assert settings.events.queue_url
    assert {one.preset for one in settings.events.rules} <= settings.presets.keys()


@needs_kubectl
def test_the_servers_of_the_overlay_are_where_the_secrets_say():
    services = {one["metadata"]["name"]: one for one in manifests("try", "Service")}
    given = secrets()

    for name in ("broker", "store"):
        url = given["framemill"][f"FRAMEMILL_{name.upper()}_URL"]
        password, host = re.fullmatch(
            r"redis://framemill:(\w+)@([\w-]+):6379/0", url
        ).groups()
        assert services[host]["spec"]["selector"] == {"app.kubernetes.io/name": name}
        assert given["valkey"][name] == password
    assert (
        given["flower"]["CELERY_BROKER_URL"]
        == given["framemill"]["FRAMEMILL_BROKER_URL"]
    )


@pytest.mark.parametrize("name", ["broker", "store"])
@needs_kubectl
def test_a_server_starts_by_its_arguments_and_knows_its_user(name, tmp_path):
    (container,) = pods("try")[name]["containers"]
    words = [word.replace("$(PASSWORD)", "secret") for word in container["args"][1:]]
    port = free_port()
    words += [f"--port {port}", "--bind 127.0.0.1"]
    server = subprocess.Popen(
        [valkey.binary(), *words], cwd=tmp_path, stdout=subprocess.DEVNULL
    )
    try:

        def pings():
            try:
                return redis.Redis(port=port).ping()
            except redis.ConnectionError:
                return False

        until(pings, 60, "the server answers without a password")
        user = redis.Redis(port=port, username="framemill", password="secret")
        assert user.info("memory")["maxmemory_policy"] == "noeviction"
        assert user.info("persistence")["aof_enabled"] == 1
        with pytest.raises(redis.exceptions.NoPermissionError):
            redis.Redis(port=port).get("a")
    finally:
        server.kill()
        server.wait()


@needs_kubectl
@each_overlay
def test_workers_serve_every_queue_and_have_longer_to_stop_than_they_take(overlay):
    served = set()
    for name, pod in pods(overlay).items():
        if not name.startswith("worker-"):
            continue
        own = {one["name"]: one["value"] for one in pod["containers"][0]["env"]}
        served.add(own["FRAMEMILL_WORKER_QUEUES"])
        shutdown = int(own["FRAMEMILL_WORKER_SHUTDOWN_SECONDS"])
        assert pod["terminationGracePeriodSeconds"] >= shutdown + 15
        # Celery needs a /dev/shm of its own where the image is read-only.
        mounts = {one["mountPath"] for one in pod["containers"][0]["volumeMounts"]}
        assert mounts == {"/scratch", "/tmp", "/dev/shm"}
        assert pod["nodeSelector"] == {"kubernetes.io/arch": "amd64"}

    assert served == set(QUEUES)


@needs_kubectl
@each_overlay
def test_the_api_ends_its_requests_within_its_grace(overlay):
    pod = pods(overlay)["api"]
    command = " ".join(image_command(DOCKERFILES["api"]))
    graceful = int(re.search(r"--graceful-timeout (\d+)", command)[1])

    assert seconds(pod) >= 5
    assert pod["terminationGracePeriodSeconds"] >= seconds(pod) + graceful + 5


@needs_kubectl
@each_overlay
def test_policies_let_every_part_reach_what_it_needs_and_close_the_rest(overlay):
    policies = {
        one["metadata"]["name"]: one["spec"]
        for one in manifests(overlay, "NetworkPolicy")
    }
    to_servers = policies["servers"]["podSelector"]["matchExpressions"][0]["values"]
    (outside,) = policies["outside"]["egress"][0]["to"]

    assert policies["nothing"] == {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
    }
    assert {name for name in pods(overlay) if name not in {"broker", "store"}} <= set(
        to_servers
    )
    assert outside["ipBlock"]["except"] == ["169.254.0.0/16"]
    assert (
        "flower"
        not in policies["outside"]["podSelector"]["matchExpressions"][0]["values"]
    )


@needs_kubectl
@each_overlay
def test_a_drain_of_a_node_leaves_a_part_of_each_kind(overlay):
    budgets = {
        one["metadata"]["name"] for one in manifests(overlay, "PodDisruptionBudget")
    }
    single = {
        one["metadata"]["name"]
        for one in manifests(overlay, "Deployment")
        if one["spec"].get("replicas") == 1
    }

    assert budgets == {"api", "worker-fast", "worker-slow"} - single


@needs_kubectl
def test_the_ingress_takes_what_the_api_takes_and_shows_flower_at_its_path(monkeypatch):
    (ingress,) = manifests("production", "Ingress")
    notes = {
        key.rpartition("/")[2]: value
        for key, value in ingress["metadata"]["annotations"].items()
    }
    paths = {
        one["path"]: one["backend"]["service"]["name"]
        for one in ingress["spec"]["rules"][0]["http"]["paths"]
    }
    host = ingress["spec"]["rules"][0]["host"]

    assert (
        int(notes["proxy-body-size"].removesuffix("g")) * 2**30
        > Settings.load().limits.source_bytes
    )
    assert paths == {"/": "media-api", "/flower": "media-flower"}
    (shared,) = manifests("production", "ConfigMap")
    assert shared["data"]["FRAMEMILL_API_PUBLIC_URL"] == f"https://{host}"
    assert (
        shared["data"]["FRAMEMILL_API_FLOWER_PUBLIC_URL"] == f"https://{host}/flower/"
    )


def kept(scrape: dict[str, Any], pod: str, port: str) -> bool:
    """Return whether a scrape configuration keeps this port of this pod."""
    (rule,) = [one for one in scrape["relabel_configs"] if one.get("action") == "keep"]
    job, name, container_port = rule["source_labels"]
    values = {
        "job": scrape["job_name"],
        "__meta_kubernetes_pod_label_app_kubernetes_io_name": pod,
        "__meta_kubernetes_pod_container_port_name": port,
    }
    value = ";".join(values[label] for label in (job, name, container_port))
    return re.fullmatch(rule["regex"], value) is not None


@needs_kubectl
@each_overlay
def test_prometheus_reads_each_part_at_the_port_that_it_alone_may_reach(overlay):
    given = yaml.safe_load((ROOT / "deploy/observability/kubernetes.yml").read_text())
    policies = {
        one["metadata"]["name"]: one for one in manifests(overlay, "NetworkPolicy")
    }
    read = {}
    for name, pod in pods(overlay).items():
        (container,) = pod["containers"]
        for port in container.get("ports", []):
            jobs = [
                one["job_name"]
                for one in given["scrape_configs"]
                if kept(one, name, port["name"])
            ]
            if jobs:
                read[name] = (*jobs, port["containerPort"])

    workers = {f"worker-{queue}" for queue in QUEUES}
    assert read == {
        "api": ("framemill-api", 8000),
        "reaper": ("framemill-reaper", 9100),
        **dict.fromkeys(workers, ("framemill-worker", 9100)),
    }
    for name in (*workers, "reaper"):
        assert variables(overlay, name)["FRAMEMILL_METRICS_PORT"] == "9100"
        assert variables(overlay, name)["FRAMEMILL_METRICS_HOST"] == "0.0.0.0"
    spec = policies["metrics"]["spec"]
    (rule,) = spec["ingress"]
    assert set(spec["podSelector"]["matchExpressions"][0]["values"]) == {
        *workers,
        "reaper",
    }
    assert rule["ports"] == [{"protocol": "TCP", "port": "metrics"}]
    assert rule["from"] == [
        {
            "namespaceSelector": {
                "matchLabels": {"kubernetes.io/metadata.name": "monitoring"}
            }
        }
    ]


INJECTED = {
    f"{name}_{suffix}": value
    for name, port in (
        ("MEDIA_API", 80),
        ("MEDIA_FLOWER", 80),
        ("MEDIA_BROKER", 6379),
        ("MEDIA_STORE", 6379),
        ("KUBERNETES", 443),
    )
    for suffix, value in (
        ("SERVICE_HOST", "10.96.0.7"),
        ("SERVICE_PORT", str(port)),
        ("PORT", f"tcp://10.96.0.7:{port}"),
        (f"PORT_{port}_TCP", f"tcp://10.96.0.7:{port}"),
        (f"PORT_{port}_TCP_ADDR", "10.96.0.7"),
    )
}


def test_every_part_starts_with_the_variables_that_kubernetes_would_inject(tmp_path):
    with Service(tmp_path, **INJECTED) as service:
        job = service.submit(SAMPLE, [{"kind": "thumbnail"}])
        until(
            lambda: service.get(f"/v1/jobs/{job}")["status"] == "completed",
            120,
            "the job",
        )
        port = free_port()
        flower = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "celery",
                "flower",
                f"--port={port}",
                "--address=127.0.0.1",
            ],
            cwd=ROOT,
            env=service.environment
            | {
                "CELERY_BROKER_URL": service.environment["FRAMEMILL_BROKER_URL"],
                "FLOWER_URL_PREFIX": "flower",
            },
            stderr=subprocess.DEVNULL,
        )
        try:

            def shown():
                try:
                    url = f"http://127.0.0.1:{port}/flower/healthcheck"
                    return urllib.request.urlopen(url, timeout=10).status == 200
                except OSError:
                    return False

            until(shown, 120, "Flower answers")
        finally:
            flower.terminate()
            flower.wait(60)
