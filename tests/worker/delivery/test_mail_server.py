"""Mails are handed over encrypted and with a password where the settings say so."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message
from aiosmtpd.smtp import AuthResult, LoginPassword

from common.errors import ReceiverError, Unreachable
from common.settings.sections import Smtp
from worker.delivery.mail import send

LOGIN = {"username": "mill", "password": "p w"}


class Box(Message):
    """Keeps what was handed over."""

    def __init__(self) -> None:
        super().__init__()
        self.mails: list[Any] = []

    def handle_message(self, message: Any) -> None:
        self.mails.append(message)


def _allow(_server: Any, _session: Any, _envelope: Any, _way: str, given: Any) -> Any:
    good = isinstance(given, LoginPassword) and given.password == b"p w"
    return AuthResult(success=good, handled=good)


@pytest.fixture
def server(certificate: Path) -> Iterator[Callable[..., tuple[Box, int]]]:
    """Start mail servers that ask for a password, over TLS alone."""
    started: list[Controller] = []

    def start() -> tuple[Box, int]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        box = Box()
        controller = Controller(
            box,
            hostname="127.0.0.1",
            port=port,
            tls_context=context,
            require_starttls=True,
            authenticator=_allow,
            auth_required=True,
        )
        controller.start()
        started.append(controller)
        return box, port

    yield start
    for controller in started:
        controller.stop()


def mail() -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "f@x.org", "you@x.org", "news"
    made.set_content("text")
    return made


def settings(port: int, **more: Any) -> Smtp:
    return Smtp(host="127.0.0.1", port=port, security="starttls", **LOGIN | more)


def test_a_mail_is_handed_over_by_starttls_with_the_password(
    server: Any, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    box, port = server()
    assert send(settings(port), mail()) == {"status": 250}
    assert [one["Subject"] for one in box.mails] == ["news"]


def test_a_wrong_password_is_the_servers_refusal(
    server: Any, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    box, port = server()
    with pytest.raises(ReceiverError, match="535"):
        send(settings(port, password="wrong"), mail())
    assert box.mails == []


def test_a_server_that_nobody_vouches_for_gets_neither_password_nor_mail(
    server: Any,
) -> None:
    box, port = server()
    with pytest.raises(Unreachable):
        send(settings(port), mail())
    assert box.mails == []
