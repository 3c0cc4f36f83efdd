"""How a refusal of S3 is worded."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from common.storage import s3_errors


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("404", "in/a.mp4: storage answers 404"),
        ("", "in/a.mp4: storage answers 404"),
        ("NoSuchKey", "in/a.mp4: storage answers 404 NoSuchKey"),
    ],
)
def test_given_a_refusal_when_it_is_told_then_its_status_stands_there_once(code, told):
    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": 404}}
    refusal = ClientError(answer, "HeadObject")

    error = s3_errors.translate(refusal, "in/a.mp4", read=True)

    assert error.detail == told
