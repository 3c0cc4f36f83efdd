"""Which addresses are public, in all their spellings."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from common.addresses import is_public


@pytest.mark.parametrize(
    "text",
    ["8.8.8.8", "93.184.215.14", "2606:4700::1111", "64:ff9b::8.8.8.8", "2a00::1"],
)
def test_public_addresses_are_public(text: str) -> None:
    assert is_public(ip_address(text))


@pytest.mark.parametrize(
    "text",
    [
        "192.0.0.8",
        "192.88.99.1",
        "203.0.113.9",
        "240.0.0.1",
        "::ffff:8.8.8.8",
        "2002:808:808::1",
        "2001:0:808:808::1",
        "2001:db8::1",
        "3fff::1",
        "100::1",
        "5f00::1",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::8.8.8.8",
    ],
)
def test_special_addresses_are_not_public(text: str) -> None:
    assert not is_public(ip_address(text))
