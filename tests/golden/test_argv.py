"""The FFmpeg words of each case are what was reviewed."""

from __future__ import annotations

import pytest

from common.outputs.specs import KINDS, OUTPUT_SPEC
from tests.golden import cases


@pytest.mark.parametrize("name", sorted(cases.CASES))
def test_given_a_case_when_it_is_planned_then_ffmpegs_words_are_as_reviewed(name):
    kept = (cases.FOLDER / f"{name}.txt").read_text(encoding="utf-8")

    assert cases.words(name) == kept, "changed? python -m tests.golden.cases"


def test_given_the_kept_files_when_listed_then_each_has_its_case():
    kept = {path.stem for path in cases.FOLDER.glob("*.txt")}

    assert kept == set(cases.CASES)


@pytest.mark.parametrize("kind", KINDS)
def test_given_a_kind_when_its_cases_are_read_then_every_parameter_is_in_one(kind):
    model = type(OUTPUT_SPEC.validate_python({"kind": kind}))
    # A name is not FFmpeg's, and snippets have no choice of a stand-in.
    unseen = {"name"} | ({"fallback"} if kind == "snippets" else set())
    requested = [spec for spec, _ in cases.CASES.values() if spec["kind"] == kind]

    assert set(model.model_fields) - unseen == set().union(*requested)
