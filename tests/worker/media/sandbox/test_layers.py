"""Each layer holds back a forged decoder, and without the layer the attack works."""

from __future__ import annotations

import functools
import json
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.tools import lack
from worker.media.ffmpeg import process
from worker.media.sandbox import layers

FILES, VIEW, CALLS, ROOTS = layers.NAMES
NOBODY = 65534
MIB = 1024 * 1024
BOUNDS = process.Bounds(1024 * MIB, 512 * MIB, MIB, 60, 60, 1000)
SIEGE = Path(__file__).with_name("siege.py")
# The layers that refuse each attack, every one of them by itself.
REFUSED_BY = {
    "passwd": [FILES, VIEW],
    "environment": [FILES, VIEW],
    "other source": [FILES, VIEW],
    "folder above": [FILES],
    "write": [FILES, VIEW],
    "truncate": [FILES, VIEW, CALLS],
    "symlink": [FILES, CALLS],
    "link": [FILES, VIEW, CALLS],
    "fork": [CALLS],
    "execute": [CALLS],
    "unshare": [CALLS],
    "tcp": [FILES, VIEW, CALLS],
    "udp": [VIEW, CALLS],
    "unix": [VIEW, CALLS],
    "abstract": [FILES, VIEW, CALLS],
    "netlink": [CALLS],
    "socketpair": [CALLS],
    "signal": [FILES, CALLS],
    "signal by file": [CALLS],
    "trace": [FILES, VIEW, CALLS],
    "memory": [FILES, VIEW, CALLS],
    "outlive": [CALLS],
    "renice": [CALLS],
}
# What else holds back root, and what only root could do.
ROOTS_TOO = {"environment", "trace", "memory", "renice"}
ONLY_ROOT = {"owned by root": [ROOTS]}
USERS = ("root", "nobody") if os.geteuid() == 0 else ("ordinary",)


def _refusing(user: str) -> dict[str, list[str]]:
    if user != "root":
        return REFUSED_BY
    more = {name: [*REFUSED_BY[name], ROOTS] for name in ROOTS_TOO}
    return REFUSED_BY | more | ONLY_ROOT


def _settings(refusing: Sequence[str]) -> dict[str, list[str]]:
    """Return the sets of layers under which an attack is tried, by name."""
    return {
        "all": list(layers.NAMES),
        **{f"{one} alone": [one] for one in refusing},
        "without": [one for one in layers.NAMES if one not in refusing],
        "off": [],
    }


CASES = [
    (user, attack, how)
    for user in USERS
    for attack, refusing in _refusing(user).items()
    for how in _settings(refusing)
]


@pytest.fixture
def without_landlock(monkeypatch: pytest.MonkeyPatch) -> None:
    faults = {FILES: "no such call", VIEW: "not permitted"}
    monkeypatch.setattr(layers, "fault", faults.get)


@functools.cache
def _siege(user: str) -> dict[tuple[str, str], str]:
    """Make all runs of a user at once; return what the decoder printed in each."""
    runs = {
        (attack, how): [attack, chosen]
        for attack, refusing in ({"work": []} | _refusing(user)).items()
        for how, chosen in _settings(refusing).items()
    }
    # Nobody may not read a Python in the folder of root.
    python = "/usr/bin/python3" if user == "nobody" else sys.executable
    if faults := layers.lacking("namespaces"):
        lack(f"this host has not all layers: {faults}")
    if not Path(python).exists():
        lack(f"there is no {python}, which every user can run")
    who = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    words = [python, "-I", "-S", str(SIEGE), str(ROOT), json.dumps([*runs.values()])]
    done = subprocess.run(
        words,
        env={"FRAMEMILL_S3_SECRET_ACCESS_KEY": "hush"},
        capture_output=True,
        check=False,
        timeout=300,
        cwd="/",
        **(who if user == "nobody" else {}),
    )
    assert done.returncode == 0, done.stderr.decode()
    return dict(zip(runs, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("user", USERS)
def test_under_all_layers_a_decoder_computes_in_threads_and_makes_its_file(user):
    assert _siege(user)["work", "all"] == "done"


@pytest.mark.parametrize(("user", "attack", "how"), CASES)
def test_an_attack_is_refused_by_each_of_its_layers_and_works_without_them(
    user, attack, how
):
    came = _siege(user)[attack, how]

    if how in ("without", "off"):
        assert came == "done"
    else:
        assert came.startswith("refused: "), came


@pytest.mark.parametrize("layer", layers.NAMES)
@pytest.mark.parametrize("user", USERS)
def test_once_a_layer_is_off_each_attack_that_it_alone_held_back_works(user, layer):
    held = [one for one, refusing in _refusing(user).items() if layer in refusing]
    found = _siege(user)

    assert held or (user, layer) != ("root", "capabilities")
    for attack in held:
        assert found[attack, f"{layer} alone"].startswith("refused: "), attack
        assert found[attack, "off"] == "done", attack


@pytest.mark.usefixtures("without_landlock")
def test_on_a_host_without_a_layer_the_others_are_used_and_it_is_told():
    assert layers.chosen("auto") == {CALLS, ROOTS}
    assert layers.lacking("auto") == {FILES: "no such call"}
    assert layers.refusal("auto") is None


@pytest.mark.usefixtures("without_landlock")
def test_where_all_are_required_a_missing_one_is_a_reason_not_to_start():
    reason = layers.refusal("required")

    assert reason is not None
    assert "landlock (no such call)" in reason


def test_where_all_are_required_and_here_a_worker_starts(monkeypatch):
    monkeypatch.setattr(layers, "fault", {}.get)

    assert layers.refusal("required") is None
    assert layers.chosen("required") == {FILES, CALLS, ROOTS}
    assert layers.chosen("namespaces") == {FILES, VIEW, CALLS, ROOTS}


def test_where_the_kernel_has_no_landlock_namespaces_stand_in(monkeypatch):
    monkeypatch.setattr(layers, "fault", {FILES: "no such call"}.get)

    assert layers.chosen("auto") == {VIEW, CALLS, ROOTS}
    assert layers.refusal("required") is None
    assert not layers.lacking("auto")
    assert "landlock (no such call)" in (layers.refusal("namespaces") or "")


def test_without_the_sandbox_no_layer_is_used_and_each_is_told_as_missing():
    assert not layers.chosen("off")
    assert set(layers.lacking("off")) == {FILES, CALLS, ROOTS}
    assert layers.refusal("off") is None


def test_a_worker_that_requires_a_missing_layer_does_not_start():
    words = [sys.executable, "-m", "celery", "-A", "worker.app", "worker"]
    few = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))  # noqa: E731

    done = subprocess.run(
        words,
        cwd=ROOT,
        env={**os.environ, "FRAMEMILL_ENGINE_SANDBOX": "required"},
        preexec_fn=few,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )

    assert done.returncode != 0
    assert "cannot confine decoders by" in done.stderr
    assert "ulimit -Hn allows 200 open files, and 257 are needed" in done.stderr
    assert "docs/explanation/sandbox.md" in done.stderr


def test_a_script_in_the_place_of_a_program_is_named_with_what_to_do(tmp_path):
    script = tmp_path / "ffmpeg"
    script.write_text('#!/bin/sh\nexec /usr/bin/ffmpeg "$@"\n')
    script.chmod(0o755)
    (tmp_path / "work").mkdir()
    if CALLS not in BOUNDS.layers:
        lack(f"this host filters no calls: {layers.fault(CALLS)}")

    done = process.run([str(script)], cwd=tmp_path / "work", bounds=BOUNDS)

    assert done.returncode == 127
    assert "a script; name the program that it starts" in done.log
