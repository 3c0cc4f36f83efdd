"""Send HTTP requests to checked addresses only, with limits on bytes and time.

One deadline covers a whole call: every read and write gets the time that is left, so
a slow server cannot occupy a worker. The client is the standard library's because it
can use a socket that is already connected.
"""

from __future__ import annotations

import errno
import io
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from ipaddress import ip_address
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, Any
from urllib.parse import urljoin, urlsplit

from common.addresses import Address, AddressRules, Target, refusal
from common.errors import (
    DiskFull,
    Interrupted,
    SourceChanged,
    SourceError,
    SourceForbidden,
    SourceNotFound,
    TooLarge,
    Unreachable,
)
from common.settings.sections import Egress
from common.storage.dispositions import disposition_name, repaired, url_name
from common.storage.names import display_name

Resolver = Callable[[str, int], list[str]]
_CHUNK = 256 * 1024
_EXCERPT = 2048
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Content-Range says that a part is sent. Some servers (rclone's S3) call that 200.
_RANGED = frozenset({200, 206})
_AGENT = "Framemill"
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)", re.ASCII)
# The most that one request for a range may take, in seconds.
_RANGE_SECONDS = 60.0


@dataclass(frozen=True)
class Answer:
    """A receiver's answer: status, headers in lower case, the start of the body."""

    status: int
    headers: Mapping[str, str]
    excerpt: bytes


@dataclass(frozen=True)
class Downloaded:
    """A finished download; ``name`` is for display only."""

    size: int
    content_type: str | None
    etag: str | None
    name: str | None
    url: str


@dataclass(frozen=True)
class Pin:
    """What identifies the content of a file at a URL: its length and one of these.

    ``etag`` is a strong ETag without quotes, ``modified`` the Last-Modified header.
    """

    size: int
    etag: str | None = None
    modified: str | None = None


@dataclass(frozen=True)
class Remote:
    """A file whose server sends ranges of it; none of it was kept."""

    pin: Pin
    content_type: str | None
    name: str | None


class EgressClient:
    """An HTTP client for addresses that callers choose.

    ``resolve`` returns the addresses of a host name, ``tls`` holds the trusted
    certificates; both have defaults and are replaced in tests.
    """

    def __init__(
        self,
        settings: Egress,
        *,
        resolve: Resolver | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._settings = settings
        self._rules = AddressRules.of(settings)
        self._resolve = resolve or resolve_by_system
        self._tls = tls or ssl.create_default_context()

    def download(
        self,
        url: str,
        path: Path,
        *,
        max_bytes: int,
        deadline_seconds: float | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Downloaded:
        """Download ``url`` to ``path``; every redirect is checked like the first URL.

        ``deadline_seconds`` defaults to the setting. Raises AddressRefused,
        SourceNotFound, SourceForbidden, SourceError (other refusals), TooLarge,
        Unreachable (retryable: no answer, too slow, 5xx), DiskFull, Interrupted.
        ``path`` does not exist after an error.
        """
        clock = self._source_clock(deadline_seconds)
        with self._follow(url, {}, clock) as (answer, final):
            _check_status(answer)
            size = _save(answer, path, max_bytes, clock, should_stop)
            return _describe(answer, size, final)

    def look_or_download(
        self,
        url: str,
        path: Path,
        *,
        least: int | None,
        max_bytes: int,
        strong: bool = False,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Downloaded | Remote:
        """Return what is at ``url`` if it can be read by ranges; else download it.

        It can if it has over ``least`` bytes (None: it cannot), and its server sends
        ranges and what identifies the content; ``strong`` accepts only an ETag as that.
        Raises what :meth:`download` raises.
        """
        clock = self._source_clock()
        # A file of at most ``least`` bytes comes whole with this one request.
        wanted = {} if least is None else {"Range": f"bytes=0-{max(least, 1) - 1}"}
        with self._follow(url, wanted, clock) as (answer, final):
            span = _span(answer) if answer.status in _RANGED else None
            whole = span is not None and span[:2] == (0, span[2])
            if span is not None and not whole:
                if found := _remote(answer, span[2], max_bytes, final, strong=strong):
                    return found
            elif whole or answer.status not in {206, 416}:
                if not whole:
                    _check_status(answer)
                size = _save(answer, path, max_bytes, clock, should_stop)
                return _describe(answer, size, final)
        return self.download(url, path, max_bytes=max_bytes, should_stop=should_stop)

    def read_range(self, url: str, start: int, end: int, pin: Pin) -> Iterator[bytes]:
        """Yield the bytes from ``start`` to before ``end`` of a file that was pinned.

        Each call follows and checks the redirects anew. Raises SourceChanged if the
        content is another by now, and what :meth:`download` raises; Unreachable also
        if the connection ends early.
        """
        clock = self._source_clock(_RANGE_SECONDS)
        wanted = {"Range": f"bytes={start}-{end - 1}"}
        if pin.etag is not None:
            wanted["If-Match"] = f'"{pin.etag}"'
        with self._follow(url, wanted, clock) as (answer, _):
            _check_range(answer, start, end, pin)
            left = end - start
            while left and (chunk := answer.read1(min(_CHUNK, left))):
                left -= len(chunk)
                yield chunk
                clock.left()
            _check_whole(end - start - left, end - start)

    def _source_clock(self, seconds: float | None = None) -> _Clock:
        most = self._settings.source_seconds
        pace = _Pace(self._settings.source_rate, self._settings.rate_seconds)
        return _Clock(seconds or most, pace)

    @contextmanager
    def _follow(
        self, url: str, headers: Mapping[str, str], clock: _Clock
    ) -> Iterator[tuple[HTTPResponse, str]]:
        """Yield the answer that is no redirect, and its URL."""
        for _ in range(self._settings.redirects + 1):
            with self._exchange("GET", url, headers, None, clock) as answer:
                if answer.status not in _REDIRECTS:
                    yield answer, url
                    return
                url = _next_url(url, answer)
        raise SourceError(
            f"the URL leads through more than {self._settings.redirects} redirects",
            hint="use the final URL of the file (FRAMEMILL_EGRESS_REDIRECTS)",
        )

    def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, seconds: float
    ) -> Answer:
        """Send ``body`` and return the answer; a redirect is not followed.

        Raises AddressRefused, and Unreachable if there is no answer in time.
        """
        clock = _Clock(seconds)
        with self._exchange("POST", url, headers, body, clock) as answer:
            excerpt = answer.read(_EXCERPT)
            return Answer(answer.status, _headers(answer), excerpt)

    @contextmanager
    def _exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        clock: _Clock,
    ) -> Iterator[HTTPResponse]:
        target = self._rules.check_url(url)
        address = self._pin(target, clock)
        # Errors name the host, never the URL: its query may hold a secret.
        with _mapped_errors(target.host), self._connect(target, address, clock) as link:
            sent = {
                "Host": target.authority,
                "User-Agent": _AGENT,
                "Accept": "*/*",
                "Accept-Encoding": "identity",
                "Connection": "close",
                **headers,
            }
            link.request(method, target.path, body=body, headers=sent)
            with link.getresponse() as answer:
                yield answer

    def _pin(self, target: Target, clock: _Clock) -> Address:
        """Resolve the host once and return its first address, if all are allowed."""
        if target.literal is not None:
            found: list[Address] = [target.literal]
        else:
            texts = _within(clock, self._resolve, target.host, target.port)
            found = [ip_address(text) for text in texts]
        if not found:
            raise Unreachable(f"the host name {target.host} has no address")
        for address in found:
            self._rules.check_address(address, target.host)
        return found[0]

    @contextmanager
    def _connect(
        self, target: Target, address: Address, clock: _Clock
    ) -> Iterator[HTTPConnection]:
        seconds = min(self._settings.connect_seconds, clock.left())
        with socket.create_connection((str(address), target.port), seconds) as raw:
            link: socket.socket = raw
            if target.scheme == "https":
                raw.settimeout(clock.left())
                link = self._tls.wrap_socket(raw, server_hostname=target.host)
            with link:
                connection = HTTPConnection(target.host, target.port)
                connection.sock = _TimedSocket(link, clock)
                yield connection


class _Pace:
    """A least rate: bytes a second, over each stretch of seconds of waiting for them.

    Time that is spent on the disk does not count.
    """

    def __init__(self, rate: int, seconds: float) -> None:
        self._rate = rate
        self._seconds = seconds
        self._waited = 0.0
        self._received = 0

    def left(self) -> float:
        """Return the seconds of waiting that this stretch still has."""
        return max(0.001, self._seconds - self._waited)

    def count(self, received: int, waited: float) -> None:
        """Count an ended wait; raises Unreachable if its stretch was too slow."""
        self._received += received
        self._waited += waited
        if self._waited < self._seconds:
            return
        if self._received < self._rate * self._seconds:
            raise Unreachable(
                f"the server sent {self._received} bytes in {self._waited:.0f} s: a "
                f"source must come with {self._rate} bytes a second or more "
                "(FRAMEMILL_EGRESS_SOURCE_RATE)"
            )
        self._waited, self._received = 0.0, 0


class _Clock:
    """A deadline; :meth:`left` raises TimeoutError when it has passed."""

    def __init__(self, seconds: float, pace: _Pace | None = None) -> None:
        self._end = time.monotonic() + seconds
        self._pace = pace

    def left(self) -> float:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("too slow")
        return left

    def receive(self, link: socket.socket, buffer: Any) -> int:
        """Receive some bytes in time, and at the least rate."""
        while True:
            left = self.left()
            link.settimeout(min(left, self._pace.left()) if self._pace else left)
            began, received = time.monotonic(), None
            with suppress(TimeoutError):
                received = link.recv_into(buffer)
            if self._pace is not None:
                self._pace.count(received or 0, time.monotonic() - began)
            if received is not None:
                return received


class _TimedSocket:
    """The part of a socket that http.client uses, with a timeout before each call."""

    def __init__(self, link: socket.socket, clock: _Clock) -> None:
        self._link = link
        self._clock = clock

    def sendall(self, data: bytes) -> None:
        self._link.settimeout(self._clock.left())
        self._link.sendall(data)

    def makefile(self, *_: Any, **__: Any) -> IO[bytes]:
        return io.BufferedReader(_TimedReader(self._link, self._clock), _CHUNK)

    def close(self) -> None:
        """Leave the socket open: the context manager that opened it closes it."""


class _TimedReader(io.RawIOBase):
    def __init__(self, link: socket.socket, clock: _Clock) -> None:
        super().__init__()
        self._link = link
        self._clock = clock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._clock.receive(self._link, buffer)


def resolve_by_system(host: str, port: int) -> list[str]:
    """Return the addresses that the system's resolver knows; raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


def _within(clock: _Clock, resolve: Resolver, host: str, port: int) -> list[str]:
    """Resolve within the deadline; the system's resolver has no timeout."""
    box: SimpleQueue[list[str] | Exception] = SimpleQueue()

    def run() -> None:
        try:
            box.put(resolve(host, port))
        except (OSError, UnicodeError) as error:
            box.put(error)

    threading.Thread(target=run, name="resolve", daemon=True).start()
    with _mapped_errors(host):
        try:
            answer = box.get(timeout=clock.left())
        except Empty as error:
            raise TimeoutError("name resolution took too long") from error
        if isinstance(answer, Exception):
            raise answer
    return answer


@contextmanager
def _mapped_errors(host: str) -> Iterator[None]:
    """Turn network errors into Unreachable; our own errors pass unchanged."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise Unreachable(
            f"{host}: certificate not valid: {error.verify_message}"
        ) from error
    except TimeoutError as error:
        raise Unreachable(f"{host} took too long") from error
    except (OSError, HTTPException, UnicodeError) as error:
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            raise DiskFull("the disk is full: the source was not saved") from error
        reason = str(error) or type(error).__name__
        raise Unreachable(f"{host}: {reason[:200]}") from error


def _headers(answer: HTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in answer.getheaders()}


def _next_url(url: str, answer: HTTPResponse) -> str:
    location = answer.getheader("Location")
    if not location:
        raise SourceError(
            f"the server answered {answer.status} without a Location header"
        )
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise refusal(
            "the redirect leads to an invalid URL", "https://host/path"
        ) from error


def _check_status(answer: HTTPResponse) -> None:
    status = answer.status
    detail = f"the server answered {status}"
    if status == 200:
        return
    if status in {404, 410}:
        raise SourceNotFound(detail)
    if status in {401, 403, 407, 451}:
        raise SourceForbidden(
            detail, hint="use a URL that needs no credentials, such as a presigned one"
        )
    if status in {408, 425, 429} or status >= 500:
        raise Unreachable(detail)
    raise SourceError(detail, hint="use a URL that answers 200 with the file")


def _span(answer: HTTPResponse) -> tuple[int, int, int] | None:
    """Return where an answer's bytes begin and end (exclusive), and the file's length.

    None if it says none, or its bytes are encoded ones.
    """
    if answer.getheader("Content-Encoding", "identity") != "identity":
        return None
    found = _CONTENT_RANGE.fullmatch(answer.getheader("Content-Range") or "")
    return found and (int(found[1]), int(found[2]) + 1, int(found[3]))


def _pin(answer: HTTPResponse, size: int) -> Pin | None:
    """Return what identifies the content; None if nothing does."""
    etag = answer.getheader("ETag") or ""
    if len(etag) > 2 and etag[0] == etag[-1] == '"':
        return Pin(size, etag=etag[1:-1])
    modified = answer.getheader("Last-Modified")
    return Pin(size, modified=modified) if modified else None


def _remote(
    answer: HTTPResponse, size: int, max_bytes: int, url: str, *, strong: bool
) -> Remote | None:
    """Return the file that an answer brings a range of; None without a good pin."""
    if size > max_bytes:
        raise _too_large(size, max_bytes)
    pin = _pin(answer, size)
    if pin is None or (strong and pin.etag is None):
        return None
    return Remote(pin, answer.getheader("Content-Type"), _name(answer, url))


def _check_range(answer: HTTPResponse, start: int, end: int, pin: Pin) -> None:
    """Raise an error unless these are the bytes asked for of the pinned content."""
    if answer.status not in {200, 206, 412, 416}:
        _check_status(answer)
    span = _span(answer)
    now = _pin(answer, span[2] if span else answer.length or pin.size)
    gone = answer.status in {412, 416}
    if gone or (now is not None and now != pin):
        raise SourceChanged("the file at the URL is no longer what it was")
    if now is None or answer.status not in _RANGED or span != (start, end, pin.size):
        raise Unreachable("the server no longer sends the range that it is asked for")


def _save(
    answer: HTTPResponse,
    path: Path,
    max_bytes: int,
    clock: _Clock,
    should_stop: Callable[[], bool],
) -> int:
    promised = answer.length
    if promised is not None and promised > max_bytes:
        raise _too_large(promised, max_bytes)
    try:
        size = _copy(answer, path, max_bytes, clock, should_stop)
        _check_whole(size, promised)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return size


def _check_whole(size: int, promised: int | None) -> None:
    """Refuse a short body: http.client reads b"" when a connection ends early."""
    if promised is not None and size != promised:
        raise Unreachable(f"the connection ended after {size} of {promised} bytes")


def _copy(
    answer: HTTPResponse,
    path: Path,
    max_bytes: int,
    clock: _Clock,
    should_stop: Callable[[], bool],
) -> int:
    size = 0
    with path.open("wb") as file:
        while chunk := answer.read1(_CHUNK):
            size += len(chunk)
            if size > max_bytes:
                raise _too_large(size, max_bytes)
            if should_stop():
                raise Interrupted("stopped while downloading")
            clock.left()
            file.write(chunk)
    return size


def _too_large(size: int, max_bytes: int) -> TooLarge:
    return TooLarge(
        f"the source has at least {size} bytes, the limit is {max_bytes}",
        hint="send a smaller file; FRAMEMILL_LIMITS_SOURCE_BYTES or the API key "
        "sets the limit",
    )


def _describe(answer: HTTPResponse, size: int, url: str) -> Downloaded:
    etag = (answer.getheader("ETag") or "").removeprefix("W/").strip('"')
    return Downloaded(
        size=size,
        content_type=answer.getheader("Content-Type"),
        etag=etag or None,
        name=_name(answer, url),
        url=url,
    )


def _name(answer: HTTPResponse, url: str) -> str | None:
    # http.client reads each byte of a header as Latin-1.
    header = (answer.getheader("Content-Disposition") or "").encode("latin-1")
    name = disposition_name(repaired(header)) or url_name(urlsplit(url).path)
    return display_name(name)
