"""Look up known weaknesses of all locked packages: ``./dev audit``.

pip-audit asks an advisory service about every package of the locks. What is accepted,
and why, stands in ``deploy/locks/accepted.toml``. The status is 0 without other
findings, 1 with some, and 3 where no service answers about every package. It is no part
of CI's verdict: an advisory that appears says nothing about a change.

pip-audit itself reports success if its service knows none of the packages, as an index
without advisories does. So what was skipped is counted here.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LOCKS = [
    ROOT / "deploy/locks" / name for name in ("dev.txt", "audit.txt", "checks.txt")
]
ACCEPTED = ROOT / "deploy/locks/accepted.toml"
SERVICES = ("osv", "pypi")
FINDINGS, NO_SERVICE = 1, 3
_SECONDS, _ALL_SECONDS = 15, 600


@dataclass(frozen=True)
class Accepted:
    """A finding that is lived with: for this reason, decided on this date."""

    id: str
    package: str
    reason: str
    date: dt.date


@dataclass(frozen=True)
class Finding:
    """An advisory about a package; ``names`` are its id and those it is known by."""

    package: str
    version: str
    names: tuple[str, ...]
    fixed_in: tuple[str, ...]

    def __str__(self) -> str:
        fixed = f"; fixed in {', '.join(self.fixed_in)}" if self.fixed_in else ""
        return f"{self.package} {self.version}: {' '.join(self.names)}{fixed}"


def read_accepted(path: Path = ACCEPTED) -> list[Accepted]:
    """Read the accepted findings; raises TypeError for a field that is not known."""
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    return [Accepted(**one) for one in document.get("finding", [])]


def ask(
    program: Sequence[str], service: str, lock: Path
) -> list[dict[str, Any]] | None:
    """Return what a service says of each package; None if it does not answer.

    A package that it says nothing of has a ``skip_reason``.
    """
    options = ["--disable-pip", "--require-hashes", "--progress-spinner", "off"]
    limits = ["--timeout", str(_SECONDS), "-s", service, "-f", "json"]
    words = [*program, "-r", str(lock), *options, *limits]
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, timeout=_ALL_SECONDS
    )
    try:
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        last = done.stderr.strip().splitlines()[-1:] or [f"status {done.returncode}"]
        print(f"{service} does not answer: {last[0]}", file=sys.stderr)
        return None
    if all("skip_reason" in one for one in found):
        print(f"{service} knows none of the packages", file=sys.stderr)
        return None
    return found


def ask_all(program: Sequence[str], service: str) -> list[dict[str, Any]] | None:
    """Return what a service says of the packages of all locks, each of them once."""
    known: dict[tuple[str, str], dict[str, Any]] = {}
    for lock in LOCKS:
        found = ask(program, service, lock)
        if found is None:
            return None
        known |= {(one["name"], one.get("version", "")): one for one in found}
    return list(known.values())


def findings(packages: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    """Yield the advisories of a service's answer."""
    for one in packages:
        for advisory in one.get("vulns", []):
            names = (advisory["id"], *advisory.get("aliases", []))
            fixed = tuple(advisory.get("fix_versions", []))
            yield Finding(one["name"], one["version"], names, fixed)


def report(packages: Sequence[dict[str, Any]], accepted: Sequence[Accepted]) -> int:
    """Print what was found, and return the status."""
    left = set(accepted)
    new = []
    for finding in findings(packages):
        known = [
            one
            for one in accepted
            if one.package == finding.package and one.id in finding.names
        ]
        left.difference_update(known)
        if known:
            print(f"accepted on {known[0].date}: {finding}: {known[0].reason}")
        else:
            new.append(finding)
    for finding in new:
        print(f"FOUND {finding}")
    for one in sorted(left, key=lambda one: one.id):
        print(f"no longer found, remove it from {ACCEPTED.name}: {one.id}")
    skipped = [one["name"] for one in packages if "skip_reason" in one]
    if skipped:
        print(f"not looked up: {', '.join(sorted(skipped))}", file=sys.stderr)
    print(f"{len(packages) - len(skipped)} packages looked up, {len(new)} new findings")
    return FINDINGS if new else NO_SERVICE if skipped else 0


def main(
    words: Sequence[str] | None = None, program: Sequence[str] = ("pip-audit",)
) -> int:
    """Ask one service after the other, until one answers."""
    parser = argparse.ArgumentParser(
        prog="./dev audit",
        description="Look up known weaknesses of all packages in deploy/locks. Status "
        "0: none but the accepted ones; 1: others; 3: no service answered.",
    )
    parser.add_argument(
        "--service",
        action="append",
        choices=SERVICES,
        help="ask this one only; default: osv, then pypi",
    )
    chosen = parser.parse_args(words)
    accepted = read_accepted()
    for service in chosen.service or SERVICES:
        packages = ask_all(program, service)
        if packages is not None:
            return report(packages, accepted)
    print(
        "no advisory service answered: nothing is known about the packages",
        file=sys.stderr,
    )
    return NO_SERVICE


if __name__ == "__main__":
    sys.exit(main(program=[sys.executable, "-m", "pip_audit"]))
