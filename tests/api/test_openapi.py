"""The OpenAPI document: valid, committed, true of the routes, shown without a CDN."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from openapi_spec_validator import validate

from api import openapi
from common.errors import catalogue
from tests.api.conftest import World

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.json"


def addresses(world: World) -> set[str]:
    rules = world.client.application.url_map.iter_rules()
    return {re.sub(r"<(?:[^:>]+:)?(\w+)>", r"{\1}", rule.rule) for rule in rules}


def test_given_the_models_then_the_committed_document_is_theirs() -> None:
    assert COMMITTED.read_text() == openapi.text(), (
        "write it again: python -m api.cli openapi > docs/openapi.json"
    )


def test_given_the_document_then_it_is_valid_openapi() -> None:
    validate(json.loads(openapi.text()))


def test_given_a_documented_address_then_the_app_has_it(world: World) -> None:
    assert set(openapi.document()["paths"]) <= addresses(world)


def test_given_an_address_of_the_api_then_it_is_documented(world: World) -> None:
    of_api = {one for one in addresses(world) if one.startswith("/v1/")}
    assert of_api <= set(openapi.document()["paths"])


@pytest.mark.parametrize("path", ["/docs", "/docs/errors"])
def test_given_a_page_then_it_loads_nothing_from_elsewhere(
    world: World, path: str
) -> None:
    html = world.client.get(path).get_data(as_text=True)
    assert "://" not in html
    for address in re.findall(r'(?:src|href)="([^"]+)"', html):
        answer = world.client.get(address, buffered=True)
        assert answer.status_code == 200, address


def test_given_an_error_code_then_its_page_has_it(world: World) -> None:
    html = world.client.get("/docs/errors").get_data(as_text=True)
    for code in catalogue():
        assert f'id="{code}"' in html
