"""Every clip of a corpus gives what its inventory expects.

Run with ``pytest tests/corpus --corpus FOLDER`` (or the variable
``FRAMEMILL_TEST_CORPUS``); ``./dev test`` leaves it out.
``--corpus-results FOLDER`` takes the results: ``corpus.csv`` with a row a clip, and
``corpus.md``, a summary by class.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from common.settings.load import Settings
from tests.corpus import inventory, table
from tests.corpus.judge import judge
from tests.corpus.table import Row

PROCESSES = 2


@pytest.fixture(scope="session")
def rows(corpus: Path, pytestconfig: pytest.Config) -> dict[str, Row]:
    """Judge all clips, two at a time, and write the table."""
    entries = inventory.read(corpus)
    with ProcessPoolExecutor(PROCESSES) as pool:
        found = list(pool.map(judge, entries, [Settings()] * len(entries)))
    # What was late is judged once more, by itself: the machine may have been busy.
    late = [place for place, row in enumerate(found) if row.late]
    for place in late:
        found[place] = judge(entries[place], Settings())
    target = pytestconfig.getoption("--corpus-results", default=None)
    if target:
        table.write(found, Path(target))
    return {row.file: row for row in found}


@pytest.mark.corpus
@pytest.mark.timeout(1800)  # three minutes of two cores that are idle
def test_given_a_corpus_when_it_is_run_then_every_clip_is_as_expected(
    rows: dict[str, Row],
) -> None:
    """Given a corpus, when it is run, then each clip is as the inventory says."""
    wrong = [
        f"{row.file}: {'; '.join(row.faults)}" for row in rows.values() if row.faults
    ]

    assert not wrong, f"{len(wrong)} of {len(rows)} clips:\n" + "\n".join(wrong)
