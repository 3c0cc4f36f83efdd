"""API keys that the settings declare."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from typing import Any

import pytest

from api.admin.keys import _changeable
from common.access.keys import KeyRecord, Keys, digest
from common.notify.subscriptions import Subscription
from common.settings.load import SettingsError
from tests.api.conftest import Context

Make = Callable[..., Context]
PREFIX = "declared:"
SHOP = {"id": "shop", "name": "web shop", "sha256": digest("fm_shop"), "burst": 7}


def serve(make_context: Make, *keys: dict[str, Any]) -> Context:
    return make_context(
        api={"auth": True, "keys": list(keys)}, store={"prefix": PREFIX}
    )


def status(context: Context, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return context.client.get("/v1/jobs", headers=headers).status_code


def test_given_a_declared_key_then_it_opens_and_has_its_limits(
    make_context: Make,
) -> None:
    context = serve(make_context, SHOP)
    assert (status(context, "fm_shop"), status(context, "fm_other")) == (200, 401)
    (record,) = Keys.connect(context.runtime.settings).list()
    assert (record.owner, record.burst, record.declared) == ("shop", 7, True)


def test_given_another_digest_at_the_next_start_then_the_old_key_is_refused(
    make_context: Make,
) -> None:
    assert status(serve(make_context, SHOP), "fm_shop") == 200
    context = serve(make_context, SHOP | {"sha256": digest("fm_new")})
    assert (status(context, "fm_new"), status(context, "fm_shop")) == (200, 401)


def test_given_a_key_that_is_no_longer_declared_then_it_is_ended_and_no_other(
    make_context: Make,
) -> None:
    context = serve(make_context, SHOP)
    keys = Keys.connect(context.runtime.settings)
    other = KeyRecord(id="other", name="other", owner="other")
    made = keys.create(other)
    assert status(context, "fm_shop") == 200
    later = serve(make_context)
    assert (status(later, made), status(later, "fm_shop")) == (200, 401)
    assert [one.id for one in keys.list()] == ["other"]
    keys.revoke("other")


def test_given_a_webhook_of_the_key_at_the_next_start_then_it_is_still_there(
    make_context: Make,
) -> None:
    context = serve(make_context, SHOP)
    status(context, "fm_shop")
    keys = Keys.connect(context.runtime.settings)
    hook = Subscription(id="h", url="https://a.test/", secret="s")
    keys.change("shop", lambda old: old.model_copy(update={"webhooks": [hook]}))
    again = serve(make_context, SHOP | {"burst": 9})
    assert status(again, "fm_shop") == 200
    record = keys.find("shop")
    assert (record.webhooks, record.burst) == ([hook], 9)


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        (SHOP | {"sha256": "x"}, "key 1: sha256"),
        (SHOP | {"bursts": 1}, "key 1: 'bursts'"),
        (SHOP | {"webhooks": [{}]}, "key 1: webhooks"),
        ({"name": "n"}, "key 1: 'id'"),
    ],
)
def test_given_a_wrong_declaration_then_the_start_fails_and_says_where(
    make_context: Make, key: dict[str, Any], fault: str
) -> None:
    with pytest.raises(SettingsError, match=fault):
        serve(make_context, key)


def test_given_one_id_twice_then_the_start_fails(make_context: Make) -> None:
    with pytest.raises(
        SettingsError, match="key 2: another key has the same id or sha256"
    ):
        serve(make_context, SHOP, SHOP | {"sha256": digest("fm_2")})


def test_given_a_declared_key_then_the_commands_leave_it_alone(
    make_context: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = serve(make_context, SHOP)
    status(context, "fm_shop")
    keys = Keys.connect(context.runtime.settings)
    monkeypatch.setattr("api.admin.keys._keys", lambda _: keys)
    with pytest.raises(ValueError, match="FRAMEMILL_API_KEYS"):
        _changeable(Namespace(id="shop"))
    assert _changeable(Namespace(id="another")) is keys
