"""docker-compose.yml as Compose reads it, and the images' commands."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILES = {
    path.suffix[1:]: path for path in (ROOT / "deploy/docker").glob("Dockerfile.*")
}
GIVEN = {
    "FRAMEMILL_API_SECRET": "s" * 64,
    "FRAMEMILL_S3_ACCESS_KEY_ID": "key",
    "FRAMEMILL_S3_SECRET_ACCESS_KEY": "secret",
    "BROKER_PASSWORD": "b" * 48,
    "STORE_PASSWORD": "t" * 48,
    "FLOWER_BROKER_PASSWORD": "f" * 48,
    "FLOWER_BASIC_AUTH": "user:password",
    "GRAFANA_PASSWORD": "g" * 24,
}
_VARIABLE = re.compile(r"\$\{(\w+)(:-|:\?)([^}]*)\}")


def fill(text: str, given: dict[str, str]) -> str:
    """Fill variables in as Compose does; KeyError for one that has to be given."""

    def value(match: re.Match[str]) -> str:
        name, kind, default = match.groups()
        return given.get(name) or (default if kind == ":-" else given[name])

    return _VARIABLE.sub(value, text)


def environment(service: str, given: dict[str, str] = GIVEN) -> dict[str, str]:
    """Return the variables that Compose gives to a service."""
    values = SERVICES[service]["environment"]
    return {name: fill(value, given) for name, value in values.items()}


def command(service: str, given: dict[str, str] = GIVEN) -> list[str]:
    """Return what a service runs: its own command, else its image's."""
    if words := SERVICES[service].get("command"):
        return [fill(word, given) for word in words]
    path = ROOT / SERVICES[service]["build"]["dockerfile"]
    return image_command(path)


def image_command(path: Path) -> list[str]:
    """Return the words of a Dockerfile's CMD."""
    (words,) = re.findall(r"^CMD (\[.*\])$", path.read_text(), re.MULTILINE)
    return [str(word) for word in json.loads(words)]


def image_environment(path: Path) -> dict[str, str]:
    """Return the variables that the last stage of a Dockerfile sets."""
    stage = path.read_text().rpartition("\nFROM ")[2].replace("\\\n", " ")
    lines = re.findall(r"^ENV (.*)$", stage, re.MULTILINE)
    return dict(word.split("=", 1) for line in lines for word in shlex.split(line))
