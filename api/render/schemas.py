"""The shapes of images on request."""

from __future__ import annotations

from pydantic import Field

from api.jobs.schemas import View
from common.model import JobStatus


class SigningKeyView(View):
    """What signs URLs of images on request."""

    key: str = Field(description="The id of the API key; the URL's parameter key.")
    secret: str = Field(description="Signs URLs. Never put it into a page.")


class RenderingView(View):
    """An image that is not there yet."""

    status: JobStatus = Field(description="The status of the job that makes it.")
