"""Sealed texts: read back under their secret alone."""

from __future__ import annotations

import pytest

from common.sealing import SealBroken, seal, unseal
from common.settings.load import SettingsError
from common.settings.sections import Api

SECRET, OTHER = "x" * 32, "y" * 32
TEXT = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


def test_a_sealed_text_shows_nothing_and_is_read_back():
    sealed = seal(TEXT, SECRET)

    assert TEXT not in sealed
    assert TEXT.removeprefix("whsec_") not in sealed
    assert unseal(sealed, [SECRET]) == TEXT


def test_a_text_is_sealed_once_and_each_time_differently():
    sealed = seal(TEXT, SECRET)

    assert seal(sealed, SECRET) == sealed
    assert seal(TEXT, SECRET) != sealed


def test_a_text_of_an_earlier_version_is_read_as_it_is():
    assert unseal(TEXT, [SECRET]) == TEXT
    assert unseal(TEXT, [""]) == TEXT


@pytest.mark.parametrize(
    ("secret", "reason"),
    [(OTHER, "another FRAMEMILL_API_SECRET"), ("", "has no FRAMEMILL_API_SECRET")],
)
def test_under_another_secret_the_reason_is_said(secret, reason):
    with pytest.raises(SealBroken, match=reason) as caught:
        unseal(seal(TEXT, SECRET), [secret])

    assert TEXT not in str(caught.value)


def test_a_changed_text_is_refused():
    sealed = seal(TEXT, SECRET)

    with pytest.raises(SealBroken):
        unseal(sealed[:-8] + "AAAAAAA=", [SECRET])


def test_nothing_is_sealed_without_a_secret():
    with pytest.raises(SettingsError, match="FRAMEMILL_API_SECRET"):
        seal(TEXT, "")


def test_after_a_change_of_the_secret_an_earlier_one_still_reads():
    sealed = seal(TEXT, OTHER)

    assert unseal(sealed, Api(secret=SECRET, previous_secrets=[OTHER]).secrets) == TEXT
    with pytest.raises(SealBroken, match="FRAMEMILL_API_PREVIOUS_SECRETS"):
        unseal(sealed, Api(secret=SECRET).secrets)
