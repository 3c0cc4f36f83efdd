"""The egress client speaks TLS to the address that it judged."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from common.errors import Unreachable
from common.settings.sections import Egress
from tests.worker.receiver import receiving
from worker.egress import EgressClient

LOOPBACK = ["127.0.0.0/8", "::1/128"]


def _tls_server(certificate: Path, seen: list[str | None]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.sni_callback = lambda _link, name, _context: seen.append(name)
    return context


def _tls_egress(port: int, trusted: Path | None) -> EgressClient:
    context = ssl.create_default_context(cafile=trusted) if trusted else None
    return EgressClient(
        Egress(ports=[port], private_networks=LOOPBACK),
        resolve=lambda _host, _port: ["127.0.0.1"],
        tls=context,
    )


def test_tls_goes_to_the_pinned_address_under_the_hosts_name(certificate: Path) -> None:
    seen: list[str | None] = []
    with receiving(tls=_tls_server(certificate, seen)) as server:
        answer = _tls_egress(server.port, certificate).post(
            f"https://Hook.Test.:{server.port}/", b"x", {}, seconds=5
        )
    assert answer.status == 200
    assert seen == ["hook.test"]
    assert server.requests[0].headers["host"] == f"hook.test:{server.port}"


@pytest.mark.parametrize(
    ("host", "trusted"), [("hook.test", False), ("other.test", True)]
)
def test_a_certificate_that_is_not_valid_ends_the_call(
    host: str, trusted: bool, certificate: Path
) -> None:
    with receiving(tls=_tls_server(certificate, [])) as server:
        egress = _tls_egress(server.port, certificate if trusted else None)
        with pytest.raises(Unreachable, match="certificate not valid"):
            egress.post(f"https://{host}:{server.port}/", b"x", {}, seconds=5)
    assert server.requests == []
