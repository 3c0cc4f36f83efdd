"""Decide which URLs and IP addresses may be reached. Pure.

The tables follow the IANA special-purpose address registries (IPv4: RFC 6890
and later, IPv6: RFC 6890, 8215, 9637). IPv6 is an allow-list: global unicast
(2000::/3) minus its special blocks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Self
from urllib.parse import SplitResult, quote, urlsplit

from common.errors import AddressRefused
from common.settings.sections import Egress

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_CLOSED_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, cloud metadata
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
_GLOBAL_V6 = IPv6Network("2000::/3")
_CLOSED_V6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # Teredo, ORCHID, benchmarks
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "3fff::/20",
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)
_NUMBER = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")
_SCHEME_PORTS = {"https": 443, "http": 80}


def is_public(address: Address) -> bool:
    """Return True if an address belongs to the public Internet.

    An IPv4 address inside NAT64's well-known prefix is judged as itself, since
    DNS64 networks reach IPv4 hosts that way. Other IPv6 forms that carry an IPv4
    address (mapped, 6to4, Teredo) are never public: no resolver needs them.
    """
    if isinstance(address, IPv4Address):
        return address.is_global and not any(address in net for net in _CLOSED_V4)
    if address in _NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
    if address not in _GLOBAL_V6 or any(address in net for net in _CLOSED_V6):
        return False
    if (int(address) >> 32) & 0xFFFF_FFFF in _ISATAP:
        return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
    return address.is_global


@dataclass(frozen=True)
class Target:
    """An allowed URL: where to connect and what to request.

    ``host`` is ASCII, lower case and without a trailing dot: the name for DNS,
    SNI and the certificate. ``literal`` is set when the host is an IP address.
    ``path`` is the request target, query included.
    """

    scheme: str
    host: str
    port: int
    path: str
    literal: Address | None

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        standard = _SCHEME_PORTS[self.scheme] == self.port
        return host if standard else f"{host}:{self.port}"


@dataclass(frozen=True)
class AddressRules:
    """The addresses that may be reached, from the ``egress`` settings."""

    schemes: frozenset[str]
    ports: frozenset[int]
    networks: tuple[Network, ...]

    @classmethod
    def of(cls, settings: Egress) -> Self:
        """Read the settings; they were validated at start."""
        return cls(
            schemes=settings.schemes,
            ports=settings.open_ports,
            networks=tuple(ip_network(text) for text in settings.private_networks),
        )

    def check_url(self, url: str) -> Target:
        """Parse a URL; raises AddressRefused if its form is not allowed."""
        if match := _UNSAFE.search(url):
            raise refusal(f"the URL contains {match[0]!r}", "percent-encode it")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise refusal(
                f"the URL cannot be parsed: {error}", "use https://host/path"
            ) from error
        if parts.scheme not in self.schemes:
            raise refusal(
                f"scheme {parts.scheme!r} is not allowed",
                f"use {' or '.join(sorted(self.schemes))}",
            )
        if "@" in parts.netloc:
            raise refusal("the URL contains a user name or password", "leave them out")
        if port is None:
            port = _SCHEME_PORTS[parts.scheme]
        if port not in self.ports:
            raise refusal(
                f"port {port} is not allowed",
                f"use {', '.join(map(str, sorted(self.ports)))} "
                "(FRAMEMILL_EGRESS_PORTS)",
            )
        host, literal = _check_host(parts)
        return Target(parts.scheme, host, port, _request_target(parts), literal)

    def check_literal(self, url: str) -> None:
        """Raise AddressRefused if a URL is refused whatever its name resolves to.

        An address that is written out is judged; a name is by who connects to it.
        """
        target = self.check_url(url)
        if target.literal is not None:
            self.check_address(target.literal, target.host)

    def check_address(self, address: Address, host: str) -> None:
        """Raise AddressRefused unless the address may be reached."""
        inside = any(
            address.version == net.version and address in net for net in self.networks
        )
        if not inside and not is_public(address):
            raise refusal(
                f"{host} is not a public address",
                "use a public address; FRAMEMILL_EGRESS_PRIVATE_NETWORKS allows others",
            )


def refusal(detail: str, hint: str) -> AddressRefused:
    """Return the error for an address that may not be reached."""
    return AddressRefused(detail, hint=hint)


def _check_host(parts: SplitResult) -> tuple[str, Address | None]:
    raw = parts.hostname or ""
    if "[" in parts.netloc:
        return _check_v6(raw)
    try:
        # The codec normalises (NFKC): full-width digits and dots become ASCII.
        host = raw if raw.isascii() else raw.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise refusal(
            f"the host name {raw!r} is invalid", "use a name that IDNA can encode"
        ) from error
    host = host.lower().removesuffix(".")
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return host, _strict_v4(host)
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise refusal(
            f"the host name {raw!r} is invalid", "use letters, digits, - and dots"
        )
    return host, None


def _check_v6(text: str) -> tuple[str, Address]:
    if "%" in text:
        raise refusal("the IPv6 address has a zone", "leave the zone out")
    try:
        address = IPv6Address(text)
    except ValueError as error:
        raise refusal(
            f"[{text}] is not an IPv6 address", "write it as in [2606:4700::1]"
        ) from error
    return str(address), address


def _strict_v4(host: str) -> IPv4Address:
    # inet_aton also reads 2130706433, 0x7f.1 and 0177.0.0.1; ip_address does not,
    # and a host that ends in a number is never a name (WHATWG URL, host parsing).
    try:
        address = ip_address(host)
    except ValueError as error:
        raise refusal(
            f"{host!r} is not an IPv4 address", "use four decimal numbers"
        ) from error
    if isinstance(address, IPv6Address):
        raise refusal(f"{host!r} is not an IPv4 address", "use four decimal numbers")
    return address


def _request_target(parts: SplitResult) -> str:
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = quote(parts.query, safe="/%:@!$&'()*+,;=~-._?[]")
    return f"{path}?{query}" if query else path
