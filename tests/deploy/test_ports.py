"""The ports that the parts of ``./dev`` get."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.allinone import ports


def test_a_part_whose_port_is_taken_gets_one_that_no_connection_is_given(
    tmp_path: Path,
) -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    known = ports.Ports(tmp_path / "ports.json")
    with ports.listen(ports.LOOPBACK, 0) as taken:
        preferred = taken.getsockname()[1]

        found = known.choose("flower", preferred)

    assert 10240 <= found < first
    assert ports.is_free(found)
    assert ports.Ports(tmp_path / "ports.json").last("flower", 1) == found


def test_where_every_port_is_taken_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(host: str, port: int) -> None:
        raise OSError(98, "Address already in use")

    monkeypatch.setattr(ports, "listen", refuse)
    with pytest.raises(ports.PortTaken, match=r"no port of 127\.0\.0\.1 is free"):
        ports.draw()
