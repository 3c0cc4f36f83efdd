"""Read S3 event notifications from SQS and start jobs: ``python -m worker.s3_poller``.

A message is deleted once every object in it has a job. Until then SQS sends it again,
which is harmless: each version of an object gets one job. A message that cannot be
parsed goes to FRAMEMILL_EVENTS_DEAD_LETTER_URL with the reason. If that is not set, the
queue's own redrive policy handles it. Any number of pollers may run.
"""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

import boto3
import structlog
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from common.access.keys import Keys
from common.errors import FramemillError, InternalError
from common.ingest.s3_notifications import S3Notifications, read_notification
from common.runtime import build_runtime
from common.settings.load import Settings, SettingsError
from common.telemetry import logging as telemetry

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient
    from types_boto3_sqs.type_defs import MessageTypeDef

log = structlog.get_logger(__name__)

_BATCH = 10
_FIRST_PAUSE_SECONDS, _MAX_PAUSE_SECONDS = 1.0, 30.0


def open_queue(settings: Settings) -> SQSClient:
    """Return the SQS client; boto3 finds credentials that the settings leave out."""
    s3 = settings.s3
    return boto3.client(
        "sqs",
        region_name=s3.region,
        endpoint_url=settings.events.endpoint_url,
        aws_access_key_id=s3.access_key_id,
        aws_secret_access_key=s3.secret_access_key,
        config=Config(
            connect_timeout=s3.connect_timeout_seconds,
            # A long poll is answered late on purpose.
            read_timeout=s3.read_timeout_seconds + settings.events.wait_seconds,
            retries={"total_max_attempts": s3.max_attempts, "mode": "standard"},
        ),
    )


class Poller:
    """Moves messages from one queue into the job service."""

    def __init__(
        self, settings: Settings, notifications: S3Notifications, queue: SQSClient
    ) -> None:
        if settings.events.queue_url is None:
            raise SettingsError("FRAMEMILL_EVENTS_QUEUE_URL is not set")
        self._events = settings.events
        self._url = settings.events.queue_url
        self._notifications = notifications
        self._queue = queue

    def run(self, stop: threading.Event) -> None:
        """Poll until ``stop`` is set, with growing pauses while SQS is unavailable."""
        self._warn_without_dead_letters()
        pause = _FIRST_PAUSE_SECONDS
        while not stop.is_set():
            try:
                self.poll(stop)
                pause = _FIRST_PAUSE_SECONDS
            except (ClientError, BotoCoreError, FramemillError) as error:
                log.warning("poller.paused", error=str(error), seconds=pause)
                stop.wait(pause)
                pause = min(pause * 2, _MAX_PAUSE_SECONDS)

    def poll(self, stop: threading.Event | None = None) -> int:
        """Handle one batch of messages; return how many were received.

        Raises Unavailable and boto3's ClientError and BotoCoreError. SQS sends the
        unhandled messages again after the visibility timeout.
        """
        answer = self._queue.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=_BATCH,
            WaitTimeSeconds=self._events.wait_seconds,
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
        )
        messages = answer.get("Messages", [])
        for message in messages:
            if stop is not None and stop.is_set():
                break  # SQS sends the rest again after the visibility timeout
            self._handle(message)
        return len(messages)

    def _handle(self, message: MessageTypeDef) -> None:
        received = int(message.get("Attributes", {}).get("ApproximateReceiveCount", 1))
        try:
            for notification in read_notification(message["Body"]):
                self._notifications.admit(notification)
        except FramemillError as error:
            if error.retryable:
                raise  # not the message's fault: SQS sends it again
            self._dead_letter(message, error)
        except Exception as error:
            log.exception("poller.defect", message=message["MessageId"])
            if received >= self._events.max_receives:
                self._dead_letter(message, InternalError(type(error).__name__))
        else:
            self._delete(message)

    def _dead_letter(self, message: MessageTypeDef, error: FramemillError) -> None:
        """Send a message to the dead letters, then delete it.

        Crash window: between the two it exists twice, but is never lost.
        """
        log.error(
            "poller.poison",
            message=message["MessageId"],
            code=error.code,
            detail=error.detail,
        )
        if self._events.dead_letter_url is None:
            return
        reason: dict[str, Any] = {
            "DataType": "String",
            "StringValue": f"{error.code}: {error.detail}"[:1000],
        }
        self._queue.send_message(
            QueueUrl=self._events.dead_letter_url,
            MessageBody=message["Body"],
            MessageAttributes={"framemill-error": reason},  # type: ignore[dict-item]
        )
        self._delete(message)

    def _delete(self, message: MessageTypeDef) -> None:
        self._queue.delete_message(
            QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"]
        )

    def _warn_without_dead_letters(self) -> None:
        if self._events.dead_letter_url is not None:
            return
        try:
            answer = self._queue.get_queue_attributes(
                QueueUrl=self._url, AttributeNames=["RedrivePolicy"]
            )
        except (ClientError, BotoCoreError) as error:
            log.warning("poller.policy_unknown", error=str(error))
            return
        if "RedrivePolicy" not in answer.get("Attributes", {}):
            log.warning(
                "poller.poison_goes_round",
                hint="set FRAMEMILL_EVENTS_DEAD_LETTER_URL or a redrive policy",
            )


def main() -> None:
    """Poll until SIGTERM or SIGINT; raises SettingsError at start."""
    settings = Settings.load()
    telemetry.configure(settings.log)
    runtime = build_runtime(settings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    keys = Keys.connect(settings)
    notifications = S3Notifications(settings, runtime.jobs, runtime.blobs, keys)
    poller = Poller(settings, notifications, open_queue(settings))
    log.info("poller.started")
    poller.run(stop)
    log.info("poller.stopped")


if __name__ == "__main__":
    main()
