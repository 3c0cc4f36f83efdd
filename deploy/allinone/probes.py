"""Readiness: whether *our* child serves, not merely somebody on that port."""

from __future__ import annotations

import http.client
import json
import re
import socket
from urllib.parse import urlsplit

from deploy.allinone.ports import LOOPBACK

_SECONDS = 2.0


def valkey_serves(port: int, pid: int) -> bool:
    """Return True if the server on the port is process ``pid``, not an older one."""
    try:
        with socket.create_connection((LOOPBACK, port), _SECONDS) as link:
            link.sendall(b"INFO server\r\n")
            answer = b""
            while b"process_id:" not in answer or b"config_file" not in answer:
                chunk = link.recv(65536)
                if not chunk or chunk.startswith(b"-LOADING"):
                    return False
                answer += chunk
    except OSError:
        return False
    found = re.search(rb"process_id:(\d+)", answer)
    return found is not None and int(found[1]) == pid


def port_answers(port: int) -> bool:
    """Return True if somebody listens on a port that was free just before."""
    try:
        socket.create_connection((LOOPBACK, port), _SECONDS).close()
    except OSError:
        return False
    return True


def http_answers(url: str, expected: int = 200) -> bool:
    """Return True when a GET is answered with the expected status."""
    status, _ = _get(url)
    return status == expected


def service_is_whole(url: str) -> bool:
    """Return True when ``/readyz`` at ``url`` names nothing that is missing."""
    status, body = _get(url)
    return status == 200 and json.loads(body)["status"] == "ok"


def _get(url: str) -> tuple[int | None, bytes]:
    parts = urlsplit(url)
    link = http.client.HTTPConnection(
        parts.hostname or LOOPBACK, parts.port, timeout=_SECONDS
    )
    try:
        link.request("GET", parts.path or "/")
        answer = link.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return None, b""
    finally:
        link.close()
