"""What an API key allows binds its jobs' sources too."""

from __future__ import annotations

import pytest

from common.errors import TooLarge, TooLong
from common.model import JobOptions, MediaInfo, Source
from worker.tasks.prepare import check_length, check_size

SOURCE = Source(kind="s3", bucket="b", key="k", size=10)
MEDIA = MediaInfo(container="mp4", duration=10.0)


def test_given_a_source_over_the_keys_size_then_too_large():
    with pytest.raises(TooLarge, match="10 bytes, this API key allows 9"):
        check_size(JobOptions(max_bytes=9), SOURCE)


def test_given_a_video_over_the_keys_length_then_too_long():
    with pytest.raises(TooLong, match=r"10 seconds, this API key allows 9\.5"):
        check_length(JobOptions(max_seconds=9.5), MEDIA)


@pytest.mark.parametrize(
    "options", [JobOptions(), JobOptions(max_bytes=10, max_seconds=10)]
)
def test_given_a_source_within_the_keys_limits_then_it_passes(options):
    check_size(options, SOURCE)
    check_length(options, MEDIA)
