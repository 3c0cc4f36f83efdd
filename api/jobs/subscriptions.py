"""The webhooks and e-mails that a request subscribes to events."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit, urlunsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from api.http.validation import collected, hinted
from common.access.principal import Principal
from common.addresses import AddressRules
from common.errors import AddressRefused, Fault, Forbidden, Invalid
from common.notify.subscriptions import EVENTS, GROUPS, Subscription
from common.patterns import explained
from common.settings.load import Settings
from common.settings.sections import Egress
from common.settings.types import WebhookSecret

ENDINGS = ["job.completed", "job.partial", "job.failed", "job.cancelled"]
BATCH_ENDINGS = [one.replace("job.", "batch.") for one in ENDINGS]
MOST = 10
_EVENT = explained(
    r"^(\*|(job|output|batch)\.(\*|[a-z]{1,32}))$", "an event, such as job.completed"
)
_ADDRESS = explained(
    r'^[^@\s,;<>"]{1,64}@[^@\s,;<>"]{1,255}$',
    "one plain e-mail address, such as you@example.org",
)


def _check_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"not a URL: {error}") from error
    if parts.scheme not in {"https", "http"} or not parts.hostname or port == 0:
        raise ValueError("the URL of a webhook must look like https://host/path")
    if "@" in parts.netloc:
        raise ValueError(
            "the URL of a webhook must not contain a user name or password"
        )
    return url


def _check_event(event: Any) -> Any:
    """Refuse a name that no event has; what is not a text is left to the schema."""
    if not isinstance(event, str) or event in {*EVENTS, *GROUPS}:
        return event
    known = "the events are " + ", ".join((*EVENTS, *GROUPS))
    near = _nearest_event(event[:64])
    raise hinted(
        f"{event[:64]!r} is not an event",
        f"did you mean {near!r}? {known}" if near else known,
    )


def _nearest_event(name: str) -> str | None:
    """Return the closest name; within a group only the rest of the name counts."""
    group, _, rest = name.partition(".")
    endings = [one.partition(".")[2] for one in EVENTS if one.startswith(f"{group}.")]
    if endings:
        close = difflib.get_close_matches(rest, endings, n=1)
        return f"{group}.{close[0]}" if close else None
    close = difflib.get_close_matches(name, [*EVENTS, *GROUPS], n=1)
    return close[0] if close else None


class _Subscription(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    events: list[
        Annotated[
            str,
            Field(pattern=_EVENT),
            BeforeValidator(_check_event),
        ]
    ] = Field(
        default=ENDINGS,
        min_length=1,
        max_length=32,
        description='Event types, "job.*", "output.*", "batch.*" or "*"; default: the '
        "end of the job, or of the batch.",
    )


class WebhookSubscription(_Subscription):
    """A signed POST after Standard Webhooks; public addresses only."""

    type: Literal["webhook"]
    url: Annotated[
        str,
        Field(max_length=2048, examples=["https://example.org/hook"]),
        AfterValidator(_check_url),
    ]
    secret: WebhookSecret = Field(
        default="",
        description="whsec_ and base64 of 24 to 64 bytes; default: the service's. "
        "Never shown again.",
    )


class EmailSubscription(_Subscription):
    """An e-mail that shows the thumbnail, to a recipient that the operator allows."""

    type: Literal["email"]
    to: Annotated[
        str,
        Field(
            max_length=320,
            pattern=_ADDRESS,
            examples=["you@example.org"],
        ),
    ]


RequestedSubscription = Annotated[
    WebhookSubscription | EmailSubscription, Field(discriminator="type")
]
Subscriptions = Annotated[list[RequestedSubscription], Field(max_length=MOST)]


def as_stored(
    requested: Sequence[WebhookSubscription | EmailSubscription],
    who: Principal,
    settings: Settings,
    base: str = "",
) -> list[Subscription]:
    """Return a job's subscriptions and those of its API key, as they are stored.

    ``base`` is where the job lies in the body. Raises Invalid with every one that could
    never be delivered, and Forbidden.
    """
    faults: list[Fault] = []
    for number, one in enumerate(requested):
        where = f"{base}/notify/{number}"
        if isinstance(one, EmailSubscription):
            with collected(faults):
                _check_recipient(one.to, who, settings, f"{where}/to")
        else:
            with collected(faults):
                check_receiver(one.url, settings.egress, f"{where}/url")
            with collected(faults):
                _check_signed(one, settings, f"{where}/secret")
    if faults:
        raise Invalid(faults)
    own = [
        Subscription(id=f"s{number}", **one.model_dump(mode="json"))
        for number, one in enumerate(requested, 1)
    ]
    secret = settings.api.secret
    return [one.sealed(secret) for one in (*own, *who.subscriptions)]


def check_receiver(url: str, egress: Egress, pointer: str) -> None:
    """Raise Invalid for a URL that the settings refuse to webhooks.

    An address that is written out is judged here; the worker judges those that a name
    leads to, each time that it connects.
    """
    if fault := egress.fault_of(url):
        detail, hint = fault
        raise Invalid.one(pointer, f"this webhook URL is refused: {detail}", hint)
    try:
        AddressRules.of(egress).check_literal(url)
    except AddressRefused as error:
        detail = f"this webhook URL is refused: {error.detail}"
        raise Invalid.one(pointer, detail, error.hint) from error


def _check_signed(one: WebhookSubscription, settings: Settings, pointer: str) -> None:
    if not one.secret and not settings.webhooks.secret:
        raise Invalid.one(
            pointer,
            "the webhook has no secret to sign with, and this service has none either",
            'send a "secret": whsec_ and base64 of 24 to 64 bytes; the operator sets '
            "one for all by FRAMEMILL_WEBHOOKS_SECRET",
        )


def _check_recipient(
    address: str, who: Principal, settings: Settings, pointer: str
) -> None:
    if settings.smtp.host is None:
        raise Invalid.one(
            pointer,
            "this service sends no e-mail",
            "use a webhook; the operator enables e-mail by FRAMEMILL_SMTP_HOST",
        )
    wanted = address.lower()
    domain = wanted[wanted.rindex("@") :]
    allowed = [*settings.smtp.recipients, *who.allowance.recipients]
    if not {"*", domain, wanted} & {one.lower() for one in allowed}:
        raise Forbidden(
            f"this service may not send e-mail to {address}",
            pointer=pointer,
            hint="the operator can allow an address or a @DOMAIN: framemill keys "
            "limits ID --recipient, or FRAMEMILL_SMTP_RECIPIENTS for everybody",
        )


def shown(url: str) -> str:
    """Return a subscriber's URL without its query, which may hold tokens."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query="***" if parts.query else "", fragment=""))


def about(
    kind: Literal["job", "batch"],
    requested: Sequence[WebhookSubscription | EmailSubscription],
    stored: Sequence[Subscription],
    default: list[str],
) -> list[Subscription]:
    """Return those of a batch's subscriptions that get its events, or its jobs'.

    ``stored`` is what :func:`as_stored` returned of ``requested``. ``default`` are the
    events of a subscription of the request that names none.
    """
    said = [
        one.events if "events" in one.model_fields_set else default for one in requested
    ]
    said += [one.events for one in stored[len(requested) :]]
    heard = []
    for wanted, one in zip(said, stored, strict=True):
        events = [
            event
            for event in wanted
            if event == "*" or event.startswith("batch.") == (kind == "batch")
        ]
        if events:
            heard.append(one.limited_to(events))
    return heard
