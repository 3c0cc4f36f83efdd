"""The daily quota: how many jobs an API key may submit on one UTC day.

The counting is done by the functions of ``quota.lua``. They run inside the call that
puts a job or an upload on record, so that no job goes uncounted and none is counted
for nothing:

- ``count``: ``accept.lua`` counts a job as it puts it on record, whoever submits it: a
  request, a batch, or a notification of S3.
- ``reserve``: ``uploads.lua`` takes a place under the job's id as it opens an upload
  whose job starts at its end.
- ``commit``: ``accept.lua`` keeps that place taken when it puts that job on record.
- ``release``: ``uploads.lua`` gives it back, to the day that it was taken from, when
  the upload ends without its job.
- ``read``: ``keys.lua`` tells what a day has left, for the RateLimit headers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from common.errors import TooManyRequests

# Stands before each script that counts.
QUOTA_LUA = Path(__file__).with_name("quota.lua")


@dataclass(frozen=True)
class DailyQuota:
    """The API key that a job counts against, and the jobs it may submit a day."""

    key_id: str
    jobs: int


@dataclass(frozen=True)
class Today:
    """What today (UTC) has left of a quota: ``left`` jobs, for ``reset`` seconds."""

    quota: DailyQuota
    left: int
    reset: int


def quota_used_up(quota: DailyQuota, reset: int) -> TooManyRequests:
    """Return the refusal of a job whose quota begins anew in ``reset`` seconds."""
    return TooManyRequests(
        f"this API key may submit {quota.jobs} jobs a day (UTC)", retry_after=reset
    )
