"""The OpenAPI document: valid, committed, true of the routes, shown without a CDN."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from api.openapi import document as openapi
from common.errors import catalogue
from tests.api.conftest import Context

COMMITTED = Path(__file__).parents[3] / "docs" / "openapi.json"


def addresses(context: Context) -> set[str]:
    rules = context.client.application.url_map.iter_rules()
    return {re.sub(r"<(?:[^:>]+:)?(\w+)>", r"{\1}", rule.rule) for rule in rules}


def test_given_the_models_then_the_committed_document_is_theirs() -> None:
    assert COMMITTED.read_text() == openapi.text(), (
        "write it again: python -m api.cli openapi > docs/openapi.json"
    )


def test_given_the_document_then_it_is_valid_openapi() -> None:
    validate(json.loads(openapi.text()))


def keywords(node: Any, name: str) -> list[Any]:
    """Return all values of a keyword, wherever it stands."""
    if isinstance(node, list):
        return [value for each in node for value in keywords(each, name)]
    if not isinstance(node, dict):
        return []
    found = [node[name]] if name in node else []
    return found + [value for each in node.values() for value in keywords(each, name)]


def test_given_a_reference_then_it_names_a_component() -> None:
    references = set(keywords(openapi.document(), "$ref"))

    assert references
    # Programs that generate clients know no name for what lies deeper.
    assert [one for one in references if one.count("/") != 3] == []


def test_given_a_request_then_its_defaults_are_told_in_words() -> None:
    schemas = openapi.document()["components"]["schemas"]
    fields = {
        (name, field): inner
        for name, schema in schemas.items()
        for field, inner in schema.get("properties", {}).items()
    }
    moving = schemas["AnimationSpec"]["properties"]

    assert [place for place, field in fields.items() if "default" in field] == []
    assert moving["fps"]["description"] == "Frames a second. Default: 15."
    assert moving["boomerang"]["description"].endswith(" Default: false.")
    assert "Default" not in moving["duration"]["description"]


def test_given_an_operation_with_a_file_then_its_body_has_one_form() -> None:
    bodies = {
        path: set(item["post"]["requestBody"]["content"])
        for path, item in openapi.document()["paths"].items()
        if path.startswith("/v1/jobs") and "requestBody" in item.get("post", {})
    }

    assert bodies["/v1/jobs"] == {"application/json"}
    assert bodies["/v1/jobs/file"] == {"multipart/form-data"}


def _answers_of(operation: Any) -> list[Any]:
    return list(operation["responses"].values()) if "responses" in operation else []


def answers() -> dict[str, tuple[Any, Any]]:
    """Return schema and example of each answer in JSON, by the schema's name."""
    document = openapi.document()
    found: dict[str, tuple[Any, Any]] = {}
    for item in document["paths"].values():
        for operation in item.values():
            for answer in _answers_of(operation):
                content = answer.get("content", {}).get("application/json", {})
                name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
                if name:
                    schema = document["components"]["schemas"][name]
                    found[name] = schema, schema.get("examples", [None])[0]
    for status, answer in document["components"]["responses"].items():
        (content,) = answer["content"].values()
        found[status] = content["schema"], content["example"]
    return found


@pytest.mark.parametrize("name", answers())
def test_given_an_answer_then_its_example_is_one(name: str) -> None:
    schema, example = answers()[name]
    components = {"components": openapi.document()["components"]}
    Draft202012Validator(schema | components).validate(example)


def test_given_a_documented_address_then_the_app_has_it(context: Context) -> None:
    assert set(openapi.document()["paths"]) <= addresses(context)


def test_given_an_address_of_the_api_then_it_is_documented(context: Context) -> None:
    of_api = {one for one in addresses(context) if one.startswith("/v1/")}
    assert of_api <= set(openapi.document()["paths"])


def test_given_a_refused_post_then_its_status_is_documented(context: Context) -> None:
    open_upload = context.client.post("/v1/uploads", json={"size": 3}).json["id"]
    source = {"upload": open_upload}
    tus = {
        "Tus-Resumable": "1.0.0",
        "Upload-Length": "3",
        "Upload-Checksum": "sha1 AAAA",
        "Content-Type": "application/offset+octet-stream",
    }
    answers = {
        "/v1/jobs": context.client.post("/v1/jobs", json={"source": source}),
        "/v1/batches": context.client.post("/v1/batches", json={"sources": [source]}),
        "/v1/tus": context.client.post("/v1/tus", data=b"abc", headers=tus),
    }
    told = [one.status_code for one in answers.values()]
    assert told == [409, 409, 460]
    for path, answer in answers.items():
        responses = openapi.document()["paths"][path]["post"]["responses"]
        assert str(answer.status_code) in responses, path


@pytest.mark.parametrize("path", ["/docs", "/docs/errors"])
def test_given_a_page_then_it_loads_nothing_from_elsewhere(
    context: Context, path: str
) -> None:
    html = context.client.get(path).get_data(as_text=True)
    assert "://" not in html
    for address in re.findall(r'(?:src|href)="([^"]+)"', html):
        answer = context.client.get(address, buffered=True)
        assert answer.status_code == 200, address


def test_given_an_error_code_then_its_page_has_it(context: Context) -> None:
    html = context.client.get("/docs/errors").get_data(as_text=True)
    for code in catalogue():
        assert f'id="{code}"' in html
