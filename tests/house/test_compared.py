"""The comparison names a source for each peer's word, and a test for each of ours."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT
from tests.house.test_promises import functions_of

PAGE = (ROOT / "docs/explanation/compared.md").read_text("utf-8")
PEERS = (
    *("Mux", "Cloudinary", "Transloadit", "imgproxy Pro"),
    *("Immich", "PeerTube", "Jellyfin"),
)
_SOURCE = re.compile(
    r'^\[([\w-]+)\]: https://\S+ "read 20\d\d-\d\d-\d\d"$', re.MULTILINE
)
_CELL = re.compile(r"\[(?:yes|partly|no)\]\[([\w-]+)\](?: \((\d+)\))?")
_OURS = re.compile(r"(yes|partly|no)(?: \((\d+)\))?")
_PROOF = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
SOURCES = set(_SOURCE.findall(PAGE))


def rows(part: str) -> list[list[str]]:
    """Return the cells of the first table in a part of the page, its head first."""
    lines = [line for line in part.splitlines() if line.startswith("|")]
    table = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    return [table[0], *table[2:]]


HEAD, *FEATURES = rows(PAGE.split("## ")[0])
PROOFS = dict(rows(PAGE.split("## ")[1])[1:])


def test_every_peer_has_a_column():
    assert ["", "Framemill", *PEERS] == HEAD
    assert len(FEATURES) >= 10


@pytest.mark.parametrize("row", FEATURES, ids=lambda row: row[0])
def test_every_word_on_a_peer_has_a_source_with_its_date(row):
    assert len(row) == len(HEAD)
    found = [_CELL.fullmatch(cell) for cell in row[2:]]
    assert None not in found, row
    assert {one[1] for one in found} <= SOURCES
    notes = {one[2] for one in [*found, _OURS.fullmatch(row[1])]} - {None}
    assert all(re.search(rf"^{note}\. ", PAGE, re.MULTILINE) for note in notes)


@pytest.mark.parametrize("row", FEATURES, ids=lambda row: row[0])
def test_what_we_claim_is_proved_by_tests_that_are_there(row):
    proof = PROOFS.get(row[0], "")
    named = _PROOF.findall(proof)
    assert bool(named) == (not row[1].startswith("no"))
    assert ", ".join(f"`{path}::{name}`" for path, name in named) == proof
    assert [one for one in named if one[1] not in functions_of(one[0])] == []


def test_every_proof_is_of_a_feature():
    assert PROOFS.keys() <= {row[0] for row in FEATURES}
