"""What a part that gave nothing comes to."""

from __future__ import annotations

import pytest

from common.errors import DecodeError, FramemillError, ResourceLimit, Timeout
from common.model import AttemptReport, ErrorInfo
from worker.media.engine import Rendered
from worker.tasks.render import _raise_costly


def nothing(*errors: FramemillError) -> Rendered:
    """Return what a part gave that reached its last, empty alternative."""
    reports = [
        AttemptReport(attempt=1, rung="r", error=ErrorInfo(**error.as_dict()))
        for error in errors
    ]
    return Rendered([], [], [], [*reports, AttemptReport(attempt=1, rung="nothing")])


@pytest.mark.parametrize("error", [Timeout("stalled"), ResourceLimit("too much")])
def test_what_took_long_to_give_nothing_is_a_failure(error: FramemillError) -> None:
    with pytest.raises(type(error), match=error.detail) as caught:
        _raise_costly(nothing(DecodeError("first"), error))
    assert len(caught.value.reports) == 3


def test_a_window_that_does_not_decode_is_borne() -> None:
    _raise_costly(nothing(Timeout("first"), DecodeError("then")))
    _raise_costly(nothing())
