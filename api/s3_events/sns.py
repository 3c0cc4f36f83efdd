r"""Messages of Amazon SNS over HTTP: whether they are genuine, and confirming.

The signature covers named fields, each as ``name\nvalue\n`` in alphabetical order
(Amazon SNS developer guide, "Verifying the signatures"). The certificate comes from
an SNS host of Amazon's and nowhere else, so no other address is ever asked.
"""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from http.client import HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, HashAlgorithm

from common.errors import Forbidden, Unavailable

Fetch = Callable[[str], bytes]
# A region has no digit before its last part: sns.s3-us-west-2.amazonaws.com is a bucket
# of S3 that somebody has called "sns", and serves what its owner likes.
_HOST = re.compile(
    r"sns\.[a-z]{2,4}(-[a-z]{2,15}){1,3}-[0-9]{1,2}\.amazonaws\.com(\.cn)?"
)
_CERTIFICATE = re.compile(r"/SimpleNotificationService-[0-9a-zA-Z]{1,64}\.pem")
_MAX_BYTES = 64 * 1024
_SECONDS = 5
_MAX_AGE = timedelta(hours=1)
_MAX_CERTIFICATES = 16
_NOTIFICATION = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_CONFIRMATION = (
    "Message",
    "MessageId",
    "SubscribeURL",
    "Timestamp",
    "Token",
    "TopicArn",
    "Type",
)
# SNS signs with SHA-1 unless the topic's SignatureVersion is 2.
_HASHES: dict[str, HashAlgorithm] = {"1": SHA1(), "2": SHA256()}  # noqa: S303


def is_message(document: Any) -> bool:
    """Return whether a parsed body is an SNS message of any type."""
    return isinstance(document, dict) and "TopicArn" in document


def fetch(url: str) -> bytes:
    """GET from an SNS host; raises Forbidden for another, Unavailable on no answer."""
    parts = urlsplit(url)
    host = parts.netloc
    if parts.scheme != "https" or not _HOST.fullmatch(host):
        raise Forbidden("the message names a host that does not belong to Amazon SNS")
    connection = HTTPSConnection(host, timeout=_SECONDS)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}".rstrip("?"))
        answer = connection.getresponse()
        body = answer.read(_MAX_BYTES)
    except (OSError, HTTPException) as error:
        raise Unavailable(f"{host} did not answer") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise Unavailable(f"{host} answered {answer.status}")
    return body


class Verifier:
    """Checks that messages are genuine and of allowed topics."""

    def __init__(self, topics: list[str], fetch_from: Fetch = fetch) -> None:
        self._topics = frozenset(topics)
        self._fetch = fetch_from
        self._certificates: dict[str, x509.Certificate] = {}
        self._lock = threading.Lock()

    def verify(self, message: Mapping[str, Any], now: datetime) -> None:
        """Raise Forbidden unless the message is genuine, recent and of our topics.

        Raises Unavailable while its certificate cannot be had.
        """
        if message.get("TopicArn") not in self._topics:
            raise Forbidden(
                "this topic is not allowed",
                hint="FRAMEMILL_EVENTS_TOPICS lists those that are",
            )
        _check_age(message, now)
        certificate = self._certificate(str(message.get("SigningCertURL")))
        _check_dates(certificate, now)
        _check_signature(message, certificate)

    def confirm(self, message: Mapping[str, Any]) -> None:
        """Answer a SubscriptionConfirmation by visiting the address in it."""
        url = str(message.get("SubscribeURL"))
        if not _HOST.fullmatch(urlsplit(url).netloc):
            raise Forbidden("SubscribeURL does not belong to Amazon SNS")
        self._fetch(url)

    def _certificate(self, url: str) -> x509.Certificate:
        parts = urlsplit(url)
        genuine = _HOST.fullmatch(parts.netloc) and _CERTIFICATE.fullmatch(parts.path)
        if parts.scheme != "https" or not genuine or parts.query:
            raise Forbidden("SigningCertURL does not belong to Amazon SNS")
        with self._lock:
            known = self._certificates.get(url)
        if known is None:
            try:
                known = x509.load_pem_x509_certificate(self._fetch(url))
            except ValueError as error:
                raise Forbidden("there is no certificate at SigningCertURL") from error
            with self._lock:
                if len(self._certificates) >= _MAX_CERTIFICATES:
                    self._certificates.clear()
                self._certificates[url] = known
        return known


def _check_age(message: Mapping[str, Any], now: datetime) -> None:
    try:
        at = datetime.fromisoformat(str(message.get("Timestamp")))
    except ValueError as error:
        raise Forbidden("the message has no Timestamp") from error
    if at.tzinfo is None or abs(now - at.astimezone(UTC)) > _MAX_AGE:
        raise Forbidden("the message is too old")


def _check_dates(certificate: x509.Certificate, now: datetime) -> None:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not begins <= now <= ends:
        raise Forbidden(
            "the certificate of the message has expired or is not valid yet"
        )


def _check_signature(message: Mapping[str, Any], certificate: x509.Certificate) -> None:
    algorithm = _HASHES.get(str(message.get("SignatureVersion")))
    key = certificate.public_key()
    if algorithm is None or not isinstance(key, rsa.RSAPublicKey):
        raise Forbidden("SignatureVersion is not 1 or 2")
    try:
        signature = base64.b64decode(str(message.get("Signature")), validate=True)
        key.verify(signature, signed_text(message), padding.PKCS1v15(), algorithm)
    except (ValueError, InvalidSignature) as error:
        raise Forbidden("the signature of the message is wrong") from error


def signed_text(message: Mapping[str, Any]) -> bytes:
    """Return the bytes that a message's signature covers."""
    plain = message.get("Type") == "Notification"
    names = _NOTIFICATION if plain else _CONFIRMATION
    lines = [f"{name}\n{message[name]}\n" for name in names if name in message]
    return "".join(lines).encode()
