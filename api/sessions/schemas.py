"""The shapes of a sign-in."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from api.jobs.schemas import Timestamp, View
from common.access.keys import Scope


class SignInRequest(BaseModel):
    """The API key to sign in with."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    key: Annotated[
        str, Field(min_length=1, max_length=256, description="An API key: fm_...")
    ]


class SignInForm(SignInRequest):
    """The same, as a form of a page sends it."""

    next: str = Field(default="/", description="A path of this service.")


class SessionView(View):
    """Who uses the page."""

    signed_in: bool = Field(description="Also true where no key is needed.")
    required: bool = Field(description="Whether this service needs an API key.")
    name: str | None = Field(description="The name of the API key.")
    key_id: str | None
    scopes: list[Scope]
    expires_at: Timestamp | None = Field(description="When the session ends.")
