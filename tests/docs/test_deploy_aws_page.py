"""docs/how-to/deploy-aws.md: its commands are run, its figures worked out again."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from deploy.aws import choices
from tests.conftest import ROOT
from tests.deploy.aws_app import PARTS, Template, node
from tests.tools import CDK

pytestmark = pytest.mark.deploy

PAGE = (ROOT / "docs" / "how-to" / "deploy-aws.md").read_text(encoding="utf-8")
HOURS = 730


def table(heading: str) -> list[list[str]]:
    """Return the cells of the first table whose head begins so."""
    rows = PAGE[PAGE.index(f"| {heading}") :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def part_price(part: str, prices: dict[str, float]) -> float:
    """Return what one task of a part costs in a month."""
    task = Template("small").task(part)
    spot = part == "worker-slow"
    power = int(task["Cpu"]) / 1024 * prices["Fargate, vCPU"]
    power += int(task["Memory"]) / 1024 * prices["Fargate, GB of memory"]
    power *= prices["Fargate Spot, part of the price"] if spot else 1
    beyond = task["EphemeralStorage"]["SizeInGiB"] - 20
    return HOURS * (power + beyond * prices["Fargate, GB of disk beyond 20"])


def cost(size: str, prices: dict[str, float]) -> tuple[float, float]:
    """Return the least and the most that a size costs in a month."""
    scale, small = choices.SCALES[size], Template("small")
    parts = {part: part_price(part, prices) for part in PARTS}
    nodes = 2 * (1 + scale.copies)
    fixed = HOURS * (
        prices["load balancer"]
        + scale.gateways * prices["NAT gateway"]
        # The load balancer has one in each zone.
        + (2 + scale.gateways) * prices["public IPv4 address"]
        + nodes * prices[scale.node]
    )
    fixed += len(small.all("AWS::SecretsManager::Secret")) * prices["secret"]
    fixed += len(small.all("AWS::KMS::Key")) * prices["KMS key"]
    fixed += scale.api * parts["api"]
    fixed += sum(parts[part] for part in ("reaper", "poller", "flower"))
    least, most = (
        scale.fast[k] * parts["worker-fast"] + scale.slow[k] * parts["worker-slow"]
        for k in (0, 1)
    )
    return fixed + least, fixed + most


@pytest.mark.needs("cfn-lint")
@pytest.mark.parametrize("size", choices.SCALES)
def test_a_size_costs_what_the_prices_make(size):
    prices = {name: float(price) for name, price, _ in table("price in dollars")}
    scale = choices.SCALES[size]
    (row,) = [row for row in table("`size` | API") if row[0] == f"`{size}`"]

    least, most = cost(size, prices)
    assert row[1:] == [
        str(scale.api),
        f"{scale.fast[0]} to {scale.fast[1]}",
        f"{scale.slow[0]} to {scale.slow[1]}",
        f"{2 * (1 + scale.copies)} of {scale.node}",
        str(round(least, -1))[:-2],
        str(round(most, -1))[:-2],
    ]


def test_every_choice_is_on_the_page():
    named = re.findall(r"`(\w+)`", " ".join(row[0] for row in table("choice")))

    assert set(named) == set(choices.Choices.__dataclass_fields__)


@pytest.mark.needs("cfn-lint", "aws-cdk")
def test_what_needs_no_account_runs_as_it_is_printed(tmp_path):
    section = PAGE.split("## Look before you deploy")[1].split("\n## ")[0]
    commands = "".join(re.findall(r"```sh\n(.*?)```", section, re.DOTALL))

    done = subprocess.run(
        ["sh", "-euc", commands.replace("/tmp/", f"{tmp_path}/")],  # noqa: S607
        cwd=ROOT,
        env=os.environ | {"HOME": str(tmp_path), "PATH": f"{CDK.parent}:{node()}"},
        check=False,
        capture_output=True,
        text=True,
        timeout=280,
    )

    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    assert {"FramemillImages", "Framemill"} <= set(said.splitlines())
    assert "cache.m7g.large" in said


def test_the_first_key_is_made_as_the_service_takes_it():
    (made,) = re.findall(r"```sh\n(KEY=.*?)```", PAGE, re.DOTALL)
    done = subprocess.run(
        ["sh", "-euc", f'{made}\necho "$HASH"'],  # noqa: S607
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )

    key, sha256 = done.stdout.split()
    assert key.startswith("fm_")
    assert choices.read({"key_sha256": sha256}.get).key_sha256 == sha256
