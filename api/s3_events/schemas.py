"""The shapes of an answer to a notification of S3."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from api.jobs.schemas import View
from common.ingest.s3_notifications import Outcome


class ObjectOutcomeView(View):
    """What became of one object that arrived."""

    outcome: Outcome
    job_id: str | None


class NotifiedView(View):
    """What became of each object of a notification."""

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    outcomes: list[ObjectOutcomeView] = Field(alias="arrivals")
