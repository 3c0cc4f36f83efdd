"""Every setting, with its default, validated together at start.

A variable's name is ``FRAMEMILL_<SECTION>_<FIELD>``, for example
``FRAMEMILL_LIMITS_SOURCE_BYTES``; :mod:`common.settings.sections` holds the sections.
This module alone reads ``os.environ``.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableVariable

from common.settings.faults import describe, locate, model_fields, spec_fields
from common.settings.sections import (
    S3,
    Api,
    Blobs,
    Broker,
    Egress,
    Engine,
    Events,
    Lease,
    Limits,
    Log,
    Metrics,
    Retention,
    Smtp,
    SourceRules,
    Store,
    Traces,
    Webhooks,
    Worker,
)
from common.settings.types import Presets

_SECRET_CHARS = 32
_PREFIX = "FRAMEMILL_"
# Free for tests of any kind.
_TEST_PREFIX = f"{_PREFIX}TEST_"
_SERVICE_LINK = re.compile(r"_SERVICE_(HOST|PORT)(_|$)|_PORT_\d+_(TCP|UDP|SCTP)(_|$)")


class SettingsError(ValueError):
    """One or more settings are wrong; the text lists every one."""


class Settings(BaseSettings):
    """All sections; :meth:`load` reads and checks them."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_nested_delimiter="_",
        env_nested_max_split=1,
        # Compose files can pass a variable on, but not leave it out.
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
    )

    ffmpeg: str | None = Field(
        default=None, description="Path of FFmpeg; default: the imageio-ffmpeg wheel's."
    )
    broker: Broker = Broker()
    store: Store = Store()
    blobs: Blobs = Blobs()
    s3: S3 = S3()
    source: SourceRules = SourceRules()
    limits: Limits = Limits()
    retention: Retention = Retention()
    lease: Lease = Lease()
    engine: Engine = Engine()
    worker: Worker = Worker()
    api: Api = Api()
    presets: Presets = Field(
        default={}, description="JSON object: a name, and the list of its outputs."
    )
    egress: Egress = Egress()
    webhooks: Webhooks = Webhooks()
    smtp: Smtp = Smtp()
    events: Events = Events()
    log: Log = Log()
    metrics: Metrics = Metrics()
    traces: Traces = Traces()

    @classmethod
    def load(cls) -> Settings:
        """Read the environment; raises SettingsError that names every fault.

        ``REDIS_URL`` is used as the broker's and the store's URL where these are
        not given themselves.
        """
        overrides: dict[str, Any] = {}
        if shared := os.environ.get("REDIS_URL"):
            for section in ("broker", "store"):
                if f"{_PREFIX}{section.upper()}_URL" not in os.environ:
                    overrides[section] = {"url": shared}
        faults = _unknown_variables(cls)
        try:
            settings = cls(**overrides)
        except ValidationError as error:
            faults += _fault_lines(cls, error)
        except UnreadableVariable as error:
            faults.append(_unread_line(error))
        else:
            faults += _rule_faults(settings)
        if faults:
            raise SettingsError("settings are not valid:\n  " + "\n  ".join(faults))
        return settings


def check_secret(secret: str) -> None:
    """Raise SettingsError for an API secret that is too short to sign links with."""
    if len(secret) < _SECRET_CHARS:
        raise SettingsError(
            f"FRAMEMILL_API_SECRET is too short: set it to at least {_SECRET_CHARS} "
            "random characters"
        )


def fill_environment(variables: Mapping[str, str]) -> None:
    """Set the variables that the environment does not name itself."""
    for name, value in variables.items():
        os.environ.setdefault(name, value)


def named_servers() -> list[str]:
    """Return the variables of the environment that name the broker or the store."""
    names = ("REDIS_URL", f"{_PREFIX}BROKER_URL", f"{_PREFIX}STORE_URL")
    return [name for name in names if os.environ.get(name)]


def _known_variables(cls: type[Settings]) -> frozenset[str]:
    """Return the name of every setting; a section's own takes all of it as JSON."""
    known = set()
    for section, info in cls.model_fields.items():
        root = f"{_PREFIX}{section.upper()}"
        known.add(root)
        fields = getattr(info.annotation, "model_fields", {})
        known |= {f"{root}_{field.upper()}" for field in fields}
    return frozenset(known)


def _unknown_variables(cls: type[Settings]) -> list[str]:
    """Return a line for each variable of ours that no setting reads."""
    known = _known_variables(cls)
    return [
        _unknown_line(name, known)
        for name, value in sorted(os.environ.items())
        if name.startswith(_PREFIX)
        and not name.startswith(_TEST_PREFIX)
        and (name not in known or _is_service_link(name, value))
    ]


def _unknown_line(name: str, known: frozenset[str]) -> str:
    if _is_service_link(name, os.environ.get(name, "")):
        return (
            f"{name}: Kubernetes set it, for a Service whose name begins with "
            "framemill; set enableServiceLinks: false in the pod, or rename the Service"
        )
    near = difflib.get_close_matches(name, sorted(known), n=1)
    meant = f"; did you mean {near[0]}?" if near else ""
    return f"{name}: no such setting (docs/reference/settings.md lists all){meant}"


def _is_service_link(name: str, value: str) -> bool:
    """Return True for what Kubernetes puts into a pod's environment for a Service.

    Its names and values: "Accessing the Service", Kubernetes' documentation.
    """
    return bool(_SERVICE_LINK.search(name)) or (
        name.endswith("_PORT") and value.startswith(("tcp://", "udp://", "sctp://"))
    )


def _rule_faults(settings: Settings) -> list[str]:
    """List the settings that cannot serve together."""
    faults = []
    if settings.smtp.host and not settings.api.public_url:
        faults.append(
            "FRAMEMILL_SMTP_HOST: mails link to the job and its files, and there is no "
            "FRAMEMILL_API_PUBLIC_URL to begin a link with; set it to the address that "
            "the recipients reach, for example https://media.example.com"
        )
    for place, rule in enumerate(settings.events.rules, 1):
        if rule.webhook and not settings.webhooks.secret:
            faults.append(
                f"FRAMEMILL_EVENTS_RULES: rule {place}: webhook: there is no secret to "
                "sign with; set FRAMEMILL_WEBHOOKS_SECRET to whsec_ and the base64 of "
                "24 to 64 random bytes"
            )
        try:
            fault = rule.webhook and settings.egress.fault_of(rule.webhook)
        except ValueError as error:
            fault = (f"not a URL: {error}", "https://host/path")
        if fault:
            detail, hint = fault
            faults.append(
                f"FRAMEMILL_EVENTS_RULES: rule {place}: webhook: {detail}; {hint}"
            )
    return faults


def _fault_lines(cls: type[Settings], error: ValidationError) -> list[str]:
    """Return a line for each place that is wrong, in the order of the settings."""
    lines: dict[tuple[int | str, ...], str] = {}
    known = _known_variables(cls)
    for fault in error.errors():
        depth = 2 if _is_section(cls, fault["loc"][0]) else 1
        name = _PREFIX + "_".join(map(str, fault["loc"][:depth])).upper()
        if name not in known:
            # Those of the environment have a line already.
            if name not in os.environ:
                lines[name,] = _unknown_line(name, known)
            continue
        where = locate(fault["loc"][depth:], _document(name))
        text = describe(fault, where, *_allowed(cls, fault["loc"]))
        # Each branch of a union complains; the first says enough.
        lines.setdefault((name, *where), f"{name}: {text}")
    return list(lines.values())


def _is_section(cls: type[Settings], name: int | str) -> bool:
    return hasattr(cls.model_fields[str(name)].annotation, "model_fields")


def _document(name: str) -> Any:
    """Read a variable's value again, to find a fault's place in it."""
    value = os.environ.get(name, "")
    try:
        return json.loads(value)
    except ValueError:
        return value.split(",")


def _allowed(cls: type[Settings], loc: Sequence[int | str]) -> tuple[list[str], object]:
    """Return the fields that may stand at a place, and a value that is good there."""
    if loc[0] == "presets":
        return spec_fields(loc), 480
    section = cls.model_fields[str(loc[0])].default
    default = getattr(section, str(loc[1]), None) if len(loc) > 1 else None
    if isinstance(default, list):
        default = default[0] if default else None
    return model_fields(cls, loc), default


def _unread_line(error: UnreadableVariable) -> str:
    """Return the line for a section that is given as a whole and is not JSON."""
    found = re.search(r'field "(\w+)"', str(error))
    name = f"{_PREFIX}{found[1].upper()}" if found else "a variable"
    return (
        f"{name}: not JSON ({error.__cause__}); write a JSON object of its fields, or "
        f"set each field by a variable of its own, {name}_FIELD"
    )
