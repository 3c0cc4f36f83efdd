"""Objects that arrive in S3 start jobs: read the notification, match a rule, submit.

Understood are S3's own event notifications (MinIO's are the same), the same inside an
SNS message, and EventBridge's. They may come twice, late and in any order, so a job
is bound to the object's version or ETag: one job for each, however often it is told.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import unquote_plus

import structlog

from common.access.keys import Keys
from common.errors import BadRequest, NotFound, SourceNotFound
from common.jobs.presets import outputs_of
from common.jobs.service import JobService, Submission
from common.jobs.store import Idempotency
from common.model import JOB_ENDED, NO_OPTIONS, Destination, JobOptions, Source
from common.notify.subscriptions import Subscription
from common.settings.load import Settings
from common.settings.sections import EventRule
from common.storage.names import is_own
from common.storage.port import BlobStore

log = structlog.get_logger(__name__)

# SQS keeps a message for 14 days at most, in a dead-letter queue too.
_KNOWN_HOURS = 15 * 24.0
_HINT = "an S3 event notification, alone, inside an SNS message or from EventBridge"


@dataclass(frozen=True)
class S3Notification:
    """An object that was created; what identifies its content is as far as told."""

    bucket: str
    key: str
    size: int | None = None
    etag: str | None = None
    version: str | None = None
    sequencer: str | None = None

    @property
    def identity(self) -> str:
        """Return a digest that is unique to this version of the object."""
        content = self.version or self.etag or self.sequencer or ""
        text = json.dumps([self.bucket, self.key, content])
        return hashlib.sha256(text.encode()).hexdigest()


Outcome = Literal["created", "known", "unmatched", "own", "superseded"]


@dataclass(frozen=True)
class Admission:
    """What a notification led to: a job, or the reason why there is none.

    known: there was a job for it already (``job_id``). unmatched: no rule. own: a
    file of ours. superseded: the object has other bytes by now, or is gone; a later
    notification tells of them.
    """

    outcome: Outcome
    job_id: str | None = None


def read_notification(text: str | bytes) -> list[S3Notification]:
    """Find the created objects in a notification; test events have none.

    Raises BadRequest for what is no such notification.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRequest("the notification is not JSON", hint=_HINT) from error
    try:
        return _read_document(document, nested=False)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise BadRequest(
            f"the notification has no {error}, or its form is not that of S3",
            hint=_HINT,
        ) from error


def _read_document(document: Any, *, nested: bool) -> list[S3Notification]:
    if not isinstance(document, dict):
        raise BadRequest("the notification is not a JSON object", hint=_HINT)
    if document.get("Event") == "s3:TestEvent":
        return []
    if document.get("Type") == "Notification" and not nested:
        return _read_document(json.loads(document["Message"]), nested=True)
    if isinstance(document.get("Records"), list):
        found = [_read_record(record) for record in document["Records"]]
        return [notification for notification in found if notification is not None]
    if document.get("source") == "aws.s3":
        return _read_bridge(document)
    raise BadRequest("the document is not an S3 event notification", hint=_HINT)


def _read_record(record: dict[str, Any]) -> S3Notification | None:
    name = str(record["eventName"]).removeprefix("s3:")
    if not name.startswith("ObjectCreated:"):
        return None
    s3 = record["s3"]
    thing = s3["object"]
    # S3 writes keys as HTML forms do: "a b+c" is a+b%2Bc.
    key = unquote_plus(_text(thing["key"]), errors="strict")
    return _notification(s3["bucket"], key, thing, "eTag", "versionId")


def _read_bridge(document: dict[str, Any]) -> list[S3Notification]:
    if document["detail-type"] != "Object Created":
        return []
    detail = document["detail"]
    thing = detail["object"]
    # EventBridge writes keys as they are.
    key = _text(thing["key"])
    return [_notification(detail["bucket"], key, thing, "etag", "version-id")]


def _notification(
    bucket: dict[str, Any], key: str, thing: dict[str, Any], etag: str, version: str
) -> S3Notification:
    size = thing.get("size")
    name = thing.get(version)
    return S3Notification(
        bucket=_text(bucket["name"]),
        key=key,
        size=size if isinstance(size, int) else None,
        etag=_maybe(thing.get(etag)),
        # An object of a bucket without versions is called "null" by some servers.
        version=None if name == "null" else _maybe(name),
        sequencer=_maybe(thing.get("sequencer")),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"a text, not {type(value).__name__}")
    return value


def _maybe(value: Any) -> str | None:
    return value.strip('"') or None if isinstance(value, str) else None


def match(rules: list[EventRule], notification: S3Notification) -> EventRule | None:
    """Return the first rule for that bucket, prefix and suffix."""
    for rule in rules:
        if (
            rule.bucket == notification.bucket
            and notification.key.startswith(rule.prefix)
            and notification.key.endswith(rule.suffix)
        ):
            return rule
    return None


def job_options(rule: EventRule, notification: S3Notification) -> JobOptions:
    """Return the options of a rule's job: where its results are copied."""
    if rule.destination is None:
        return NO_OPTIONS
    # Storage over a file system could take ".." as a way out of the prefix.
    parts = [one for one in notification.key.split("/") if one not in {"", ".", ".."}]
    prefix = rule.destination.prefix.replace("{key}", "/".join(parts)).rstrip("/")
    target = Destination(**rule.destination.model_dump() | {"prefix": prefix})
    return JobOptions(destination=target)


class S3Notifications:
    """Turns notifications into jobs, by the rules of the settings."""

    def __init__(
        self, settings: Settings, jobs: JobService, blobs: BlobStore, keys: Keys
    ) -> None:
        self._settings = settings
        self._jobs = jobs
        self._blobs = blobs
        self._keys = keys

    def admit(self, notification: S3Notification) -> Admission:
        """Submit a job for an object; the same one again gives the same job.

        Raises Unavailable and TooManyRequests (tell again later), Invalid (the rule's
        preset or bucket is not one), SourceForbidden.
        """
        admission = self._admit(notification)
        log.info(
            "s3_notification.admitted",
            bucket=notification.bucket,
            key=notification.key,
            outcome=admission.outcome,
            job=admission.job_id,
        )
        return admission

    def _admit(self, notification: S3Notification) -> Admission:
        rule = match(self._settings.events.rules, notification)
        if rule is None:
            return Admission("unmatched")
        if self._is_result(notification):
            return Admission("own")  # else our own results would start jobs for ever
        outputs = outputs_of(self._settings, rule.preset, "/events/rules/preset")
        try:
            found = self._blobs.head(notification.key, bucket=notification.bucket)
        except SourceNotFound:
            return Admission("superseded")
        if notification.etag is not None and found.etag != notification.etag:
            return Admission("superseded")
        submitted = self._jobs.submit(
            Submission(
                owner=self._settings.events.owner,
                source=Source(
                    kind="s3",
                    bucket=notification.bucket,
                    key=notification.key,
                    name=notification.key.rpartition("/")[2][:200] or None,
                    size=found.size,
                    etag=found.etag,
                    version=notification.version,
                ),
                outputs=outputs,
                metadata={"bucket": notification.bucket, "key": notification.key},
                options=job_options(rule, notification),
                subscriptions=self._subscriptions(rule),
                idempotency=Idempotency(
                    f"s3:{notification.identity}", notification.identity, _KNOWN_HOURS
                ),
            )
        )
        outcome: Literal["created", "known"] = (
            "created" if submitted.created else "known"
        )
        return Admission(outcome, submitted.job.id)

    def _subscriptions(self, rule: EventRule) -> list[Subscription]:
        """Return who is notified: the rule's own webhook, and those of its API key.

        A key that was revoked keeps no object from its job.
        """
        told: list[Subscription] = []
        if rule.webhook is not None:
            events = [f"job.{status}" for status in sorted(JOB_ENDED)]
            own = Subscription(id="rule", url=rule.webhook, events=events)
            told.append(own)
        named = rule.webhooks_of
        key_id = self._settings.events.owner if named is None else named
        if not key_id:
            return told
        try:
            return told + self._keys.find(key_id).webhooks
        except NotFound:
            # An owner that several keys share need not be the id of one.
            if named is not None:
                log.warning(
                    "s3_notification.key_unknown", key_id=key_id, bucket=rule.bucket
                )
            return told

    def _is_result(self, notification: S3Notification) -> bool:
        """Return whether the file is ours, or lies where a rule has results copied."""
        if notification.bucket == self._settings.blobs.bucket and is_own(
            notification.key
        ):
            return True
        targets = [rule.destination for rule in self._settings.events.rules]
        return any(
            target.bucket == notification.bucket
            and notification.key.startswith(target.prefix.partition("{")[0])
            for target in targets
            if target is not None and not target.prefix.startswith("{")
        )
