"""Every clip of a corpus gives the same when only what is read of it is there.

Run with ``pytest tests/corpus/test_sparse.py --corpus FOLDER``.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from common.settings.load import Settings
from tests.corpus import inventory
from tests.corpus.sparse import compare

PROCESSES = 2


@pytest.mark.corpus
@pytest.mark.timeout(3600)
def test_given_a_corpus_with_holes_when_it_is_run_then_all_is_as_of_whole_clips(
    corpus: Path,
) -> None:
    # With two threads, the pictures of a damaged clip differ from run to run.
    settings = Settings.model_validate({"engine": {"threads": 1}})
    files = [entry.file for entry in inventory.read(corpus)]
    with ProcessPoolExecutor(PROCESSES) as pool:
        found = list(pool.map(compare, files, [settings] * len(files)))
    size, read = sum(one.size for one in found), sum(one.read for one in found)
    print(f"{len(found)} clips of {size} bytes, {read} of them read")
    for one in found:
        if one.unsteady:
            print(f"{one.file}: no two runs are alike: {', '.join(one.unsteady)}")

    wrong = [f"{one.file}: {'; '.join(one.faults)}" for one in found if one.faults]

    assert not wrong, f"{len(wrong)} of {len(found)} clips:\n" + "\n".join(wrong)
