"""The client's commands start fast: they import the standard library alone."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from api.admin.commands import COMMANDS
from api.cli import advice, client, operators
from api.cli.main import _parser
from common.access.keys import KeyRecord
from common.model import JOB_ENDED
from tests.conftest import ROOT
from tests.timing import least_cpu
from worker.media.warning_codes import WARNINGS

# After the words that argparse answers itself and those of a service that is away.
REPORT = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from api.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
ours = {"api", "api.cli"}
print(*sorted(
    name for name in sys.modules
    if name.partition(".")[0] not in sys.stdlib_module_names
    and name not in ours and not name.startswith(("api.cli.", "__"))
), file=sys.stderr)
"""
AWAY = ["--server", "http://127.0.0.1:9"]


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["keys", "create", "--help"],
        ["submit", __file__, *AWAY],
        ["batch", __file__, "s3://b/k", *AWAY],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_a_command_of_the_client_imports_the_standard_library_alone(words):
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", REPORT, str(ROOT), *words],
        check=True,
        cwd=os.sep,
        capture_output=True,
        text=True,
    )

    # -S: no .pth file of another package has imported anything.
    assert done.stderr.splitlines()[-1] == "", done.stderr


def test_help_costs_a_fraction_of_what_a_server_command_costs():
    def least(*words: str) -> float:
        return least_cpu("-m", "api.cli", *words, cwd=ROOT, times=3)

    # In one run on one machine, so that neither its speed nor its load matters.
    assert least("--help") < least("openapi") / 4


def test_every_command_has_its_server_code_and_the_other_way_round():
    commands = _parser()._subparsers._group_actions[0].choices
    keys = commands["keys"]._subparsers._group_actions[0].choices
    named = {f"keys {name}" for name in keys} | set(commands)

    assert named - {"keys", "submit", "batch", "up", "code"} == set(COMMANDS)


def test_the_client_knows_the_ends_of_a_job_and_the_limits_of_a_key():
    assert client.ENDED == JOB_ENDED
    fields = {limit.field for limit in operators.LIMITS}
    of_others = {"id", "name", "owner", "webhooks", "declared", "created_at"}
    assert fields == KeyRecord.model_fields.keys() - of_others
    assert WARNINGS == advice.SENTENCES
