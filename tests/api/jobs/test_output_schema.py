"""What a form of outputs is made from: true of what requests are checked by."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from common.outputs.specs import KINDS
from tests.api.conftest import OBJECT, Context
from tests.api.http.test_auth import a_key

ADDRESS = "/v1/outputs/schema"


@pytest.fixture
def shown(context: Context) -> dict[str, Any]:
    answer: dict[str, Any] = context.client.get(ADDRESS).json
    return answer


def test_each_kind_has_a_schema_that_stands_alone(shown: dict[str, Any]) -> None:
    assert list(shown["kinds"]) == list(KINDS)
    for kind, schema in shown["kinds"].items():
        Draft202012Validator.check_schema(schema)
        assert schema["properties"]["kind"]["const"] == kind
        # No reference leads out of the schema itself.
        for one in json.dumps(schema).split('"$ref": "')[1:]:
            assert one.startswith("#/$defs/")


def test_a_form_finds_bounds_defaults_and_descriptions(shown: dict[str, Any]) -> None:
    fields = shown["kinds"]["snippets"]["properties"]
    assert (fields["window"]["minimum"], fields["window"]["maximum"]) == (1, 600)
    assert fields["window"]["default"] == 30
    assert fields["window"]["description"].startswith("Seconds of each window")


@pytest.mark.parametrize(
    "output",
    [
        {"kind": "thumbnail", "width": 100},
        {"kind": "thumbnail", "width": 1},
        {"kind": "thumbnail", "widht": 100},
        {"kind": "snippets", "window": 0.5},
        {"kind": "animation", "format": "bmp"},
        {"kind": "storyboard", "interval": 5},
    ],
)
def test_the_schema_refuses_what_a_request_would(
    context: Context, shown: dict[str, Any], output: dict[str, Any]
) -> None:
    schema = Draft202012Validator(shown["kinds"][output["kind"]])
    body = {"source": OBJECT, "outputs": [output]}
    taken = context.client.post("/v1/jobs", json=body).status_code == 202
    assert schema.is_valid(output) == taken


def test_every_preset_is_a_valid_request(
    context: Context, shown: dict[str, Any]
) -> None:
    assert {"default", "web", "social"} <= shown["presets"].keys()
    for name, outputs in shown["presets"].items():
        body = {"source": OBJECT, "outputs": outputs}
        assert context.client.post("/v1/jobs", json=body).status_code == 202, name


def test_the_presets_and_the_limit_are_those_of_the_service(
    make_context: Callable[..., Context],
) -> None:
    outputs = [{"kind": "thumbnail", "name": "own", "width": 64}]
    context = make_context(presets={"mine": outputs}, limits={"outputs_per_job": 3})
    shown = context.client.get(ADDRESS).json
    assert shown["presets"]["mine"] == outputs
    assert shown["outputs_per_job"] == 3


def test_it_is_sent_once(context: Context) -> None:
    first = context.client.get(ADDRESS)
    again = context.client.get(
        ADDRESS, headers={"If-None-Match": first.headers["ETag"]}
    )
    assert (first.status_code, again.status_code, again.data) == (200, 304, b"")


def test_it_needs_a_key(make_context: Callable[..., Context]) -> None:
    context = make_context(api={"auth": True})
    assert context.client.get(ADDRESS).status_code == 401
    assert context.client.get(ADDRESS, headers=a_key(context)).status_code == 200
