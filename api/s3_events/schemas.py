"""The shapes of an answer to a notification of S3."""

from __future__ import annotations

from api.jobs.schemas import View
from common.ingest.s3_notifications import Outcome


class ArrivalView(View):
    """What became of one object that arrived."""

    outcome: Outcome
    job_id: str | None


class ArrivalsView(View):
    """What became of each object of a notification."""

    arrivals: list[ArrivalView]
