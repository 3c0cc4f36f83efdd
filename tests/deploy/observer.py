"""A real Prometheus that reads the composed services, by the files that are shipped."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import yaml

from tests.chaos.service import until
from tests.conftest import ROOT
from tests.deploy.composed import Composed
from tests.ports import free_port

SHIPPED = ROOT / "deploy" / "observability"


class Prometheus:
    """Prometheus with the shipped configuration and rules, in a hurry.

    It scrapes and evaluates each second, an alert holds for two seconds only, and names
    of containers are addresses of this machine. All else is as shipped.
    """

    def __init__(self, folder: Path, service: Composed, key: str) -> None:
        self.folder, self.service = folder, service
        self.url = f"http://127.0.0.1:{free_port()}"
        folder.mkdir()
        (folder / "framemill.key").write_text(f"{key}\n")
        (folder / "prometheus.yml").write_text(yaml.safe_dump(self._configuration()))
        (folder / "alerts.yml").write_text(yaml.safe_dump(self._rules()))

    def __enter__(self) -> Self:
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    str(shutil.which("prometheus")),
                    f"--config.file={self.folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self.folder / 'data'}",
                    f"--web.listen-address={self.url.removeprefix('http://')}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            until(self._ready, 60, "Prometheus is ready")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(60)

    def query(self, expression: str) -> dict[str, float]:
        """Return the values of an expression now, by their labels as JSON."""
        words = urllib.parse.urlencode({"query": expression})
        found = self._get(f"/api/v1/query?{words}")["result"]
        return {
            json.dumps(one["metric"], sort_keys=True): float(one["value"][1])
            for one in found
        }

    def value(self, expression: str) -> float:
        """Return the one value of an expression; 0 while there is none."""
        return max(self.query(expression).values(), default=0.0)

    def firing(self) -> list[dict[str, Any]]:
        """Return the alerts that fire, as an Alertmanager would get them."""
        alerts = self._get("/api/v1/alerts")["alerts"]
        return [one for one in alerts if one["state"] == "firing"]

    def targets(self) -> dict[str, str]:
        """Return what Prometheus reads, by address, each with its health."""
        active = self._get("/api/v1/targets")["activeTargets"]
        return {one["labels"]["instance"]: one["health"] for one in active}

    def _configuration(self) -> dict[str, Any]:
        given = yaml.safe_load((SHIPPED / "prometheus.yml").read_text())
        given["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        names = {child.pid: name for name, child in self.service.children}
        ports: dict[str, list[int]] = defaultdict(list)
        for pid, port in self.service.metrics.items():
            ports["framemill-" + names[pid].partition("-")[0]].append(port)
        ports["framemill-api"].append(self.service.ports["api"])
        ports["prometheus"].append(int(self.url.rpartition(":")[2]))
        for one in given["scrape_configs"]:
            one.pop("dns_sd_configs", None)
            addresses = [f"127.0.0.1:{port}" for port in ports[one["job_name"]]]
            one["static_configs"] = [{"targets": addresses}]
        return dict(given)

    @staticmethod
    def _rules() -> dict[str, Any]:
        rules = yaml.safe_load((SHIPPED / "alerts.yml").read_text())
        for group in rules["groups"]:
            for rule in group["rules"]:
                if "for" in rule:
                    rule["for"] = "2s"
        return dict(rules)

    def _ready(self) -> bool:
        log = (self.folder / "log").read_text()
        assert self._process.poll() is None, log
        with suppress(OSError), urllib.request.urlopen(f"{self.url}/-/ready") as answer:
            return answer.status == 200
        return False

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return json.load(answer)["data"]
