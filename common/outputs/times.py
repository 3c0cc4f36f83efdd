"""Times as a caller writes them.

A time is a number of seconds (``12.5``) or a text: ``"5m2s"``,
``"HH:MM:SS.mmm"``, ``"MM:SS"``, or ``"50%"`` of the duration.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

MAX_TIME = 1e7

_CLOCK = re.compile(r"(?:(\d{1,4}):)?([0-5]?\d):([0-5]?\d(?:\.\d{1,6})?)")
_UNITS = re.compile(
    r"(?=\d)(?:(\d{1,4})h)?(?:(\d{1,5})m)?(?:(\d{1,7}(?:\.\d{1,6})?)s)?"
)
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,6})?)%")


def parse_time(value: float | str) -> tuple[float, bool]:
    """Return a time as ``(number, is_fraction)``.

    ``(12.5, False)`` is 12.5 seconds, ``(0.5, True)`` half of the duration.
    Raises ValueError when the text is none of the four forms.
    """
    if not isinstance(value, str):
        return float(value), False
    if match := _PERCENT.fullmatch(value):
        percent = float(match[1])
        if percent > 100:
            raise ValueError(f"{value!r} is over 100%")
        return percent / 100, True
    if match := _CLOCK.fullmatch(value):
        hours, minutes, seconds = match.groups()
        return int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds), False
    if match := _UNITS.fullmatch(value):
        hours, minutes, seconds = match.groups()
        total = int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(seconds or 0)
        return total, False
    raise ValueError(
        f'{value!r} is not a time; write seconds (12.5), "5m2s", "00:05:02.000" '
        'or a share of the duration ("50%")'
    )


def _check_time(value: float | str) -> float | str:
    number, _ = parse_time(value)
    if number > MAX_TIME:
        raise ValueError(f"a time is at most {MAX_TIME:.0f} seconds")
    return value


Seconds = Annotated[float, Field(ge=0, le=MAX_TIME, allow_inf_nan=False)]
Time = Annotated[
    Seconds | Annotated[str, Field(max_length=32)], AfterValidator(_check_time)
]


def check_rest(exclude_start: float | str, exclude_end: float | str) -> None:
    """Raise ValueError where shares alone leave nothing of a video.

    Seconds are not counted: what they leave shows when the duration is known.
    """
    ends = parse_time(exclude_start), parse_time(exclude_end)
    if sum(number for number, is_share in ends if is_share) > 1 - 1e-9:
        raise ValueError(
            f"exclude_start ({exclude_start}) and exclude_end ({exclude_end}) leave "
            "nothing of the video; together they must be under 100%"
        )
