"""The types that settings share: how their text is read, and what it may be."""

from __future__ import annotations

import base64
import json
from ipaddress import ip_network
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode

from common.outputs.specs import OutputSpec
from common.patterns import explained


def _split_commas(value: Any) -> Any:
    if isinstance(value, str) and not value.lstrip().startswith("["):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


Words = Annotated[list[str], NoDecode, BeforeValidator(_split_commas)]
# Where results may be stored: a bucket, or a bucket and how keys in it begin.
PLACE = r"^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9](/[^\x00-\x1f\x7f]{0,512})?$"
Places = Annotated[
    list[Annotated[str, Field(pattern=PLACE)]], NoDecode, BeforeValidator(_split_commas)
]


# Who may be mailed: one address, all of a domain (@example.org), or anybody (*).
RECIPIENT = r"^(\*|[^@\s,;<>\"]{0,64}@[^@\s,;<>\"]{1,255})$"
Recipients = Annotated[
    list[Annotated[str, Field(pattern=RECIPIENT)]],
    NoDecode,
    BeforeValidator(_split_commas),
]


def _split_numbers(value: Any) -> Any:
    if isinstance(value, int | float):
        return [value]
    return parse_json(_split_commas(value))


def parse_json(value: Any) -> Any:
    """Read a value that the environment gives as JSON; raises ValueError."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except json.JSONDecodeError as error:
        raise ValueError(
            f"the value is not JSON ({error}); put names and texts in double quotes"
        ) from error


def _check_network(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError as error:
        raise ValueError(f"{error}; write it like 10.0.0.0/8") from error


def _check_webhook_secret(text: str) -> str:
    if not text:
        return text
    try:
        raw = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except ValueError:
        raw = b""
    if not text.startswith("whsec_") or not 24 <= len(raw) <= 64:
        raise ValueError(
            "the secret must be whsec_ and the base64 of 24 to 64 random bytes"
        )
    return text


KeyList = Annotated[list[dict[str, Any]], NoDecode, BeforeValidator(parse_json)]
Port = Annotated[int, Field(ge=1, le=65535)]
Ports = Annotated[list[Port], NoDecode, BeforeValidator(_split_numbers)]
Pause = Annotated[float, Field(gt=0, le=172_800)]
Delays = Annotated[list[Pause], NoDecode, BeforeValidator(_split_numbers)]
Network = Annotated[str, AfterValidator(_check_network)]
Networks = Annotated[list[Network], NoDecode, BeforeValidator(_split_commas)]
Presets = Annotated[
    dict[str, Annotated[list[OutputSpec], Field(min_length=1)]],
    NoDecode,
    BeforeValidator(parse_json),
]
WebAddress = Annotated[
    str,
    Field(pattern=explained(r"^https?://[^\s]+$", "an http:// or https:// address")),
]
WebhookSecret = Annotated[str, AfterValidator(_check_webhook_secret)]
