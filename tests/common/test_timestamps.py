"""How times of day are written."""

import pytest

from common.timestamps import rfc3339


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_795_427_303_120, "2026-11-23T09:48:23.120Z"),
        (None, None),
    ],
)
def test_milliseconds_are_written_in_utc(milliseconds, text):
    assert rfc3339(milliseconds) == text
