"""The reference pages say what the models say."""

import pytest

from tests.house.reference import FOLDER, PAGES, page


@pytest.mark.parametrize("name", sorted(PAGES))
def test_page_is_what_the_models_give(name):
    written = (FOLDER / name).read_text(encoding="utf-8")

    assert written == page(name), "run: python -m tests.house.reference"
