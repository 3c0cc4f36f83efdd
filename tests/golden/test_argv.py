"""The FFmpeg words of each case are what was reviewed."""

from __future__ import annotations

import pytest

from tests.golden import cases


@pytest.mark.parametrize("name", sorted(cases.CASES))
def test_given_a_case_when_it_is_planned_then_ffmpegs_words_are_as_reviewed(name):
    kept = (cases.FOLDER / f"{name}.txt").read_text(encoding="utf-8")

    assert cases.words(name) == kept, "changed? python -m tests.golden.cases"


def test_given_the_kept_files_when_listed_then_each_has_its_case():
    kept = {path.stem for path in cases.FOLDER.glob("*.txt")}

    assert kept == set(cases.CASES)
