"""The hints of refused requests: they name what is right at that very place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from api.batches.schemas import BATCH, BatchRequest
from api.http.outline import outline
from api.jobs.schemas import JobRequest
from api.jobs.subscriptions import WebhookSubscription
from api.uploads.schemas import CompleteRequest, UploadRequest
from common.notify.subscriptions import EVENTS, GROUPS, Subscription
from common.patterns import words_of
from tests.api.conftest import OBJECT, Context, a_file, post_form

HOOK = {"type": "webhook", "url": "https://example.org/a"}


def faults_of(context: Context, address: str, body: Any) -> dict[str, Any]:
    answer = context.client.post(address, json=body)
    assert answer.status_code == 422, answer.json
    return {fault["pointer"]: fault for fault in answer.json["faults"]}


@pytest.mark.parametrize(
    ("address", "body", "pointer", "meant"),
    [
        ("/v1/batches", {"source": OBJECT}, "/source", "sources"),
        (
            "/v1/batches",
            {"prefix": {"s3": {"prefx": ""}}},
            "/prefix/s3/prefx",
            "prefix",
        ),
        ("/v1/jobs", {"presett": "web"}, "/presett", "preset"),
        ("/v1/jobs", {"notfy": []}, "/notfy", "notify"),
        ("/v1/jobs", {"destinaton": {}}, "/destinaton", "destination"),
        ("/v1/jobs", {"dedup": True}, "/dedup", "dedupe"),
        (
            "/v1/jobs",
            {"source": {"s3": {"bukket": "a"}}},
            "/source/s3/bukket",
            "bucket",
        ),
        ("/v1/jobs", {"notify": [HOOK | {"event": []}]}, "/notify/0/event", "events"),
        (
            "/v1/jobs",
            {"notify": [{"type": "webhook", "ulr": "x"}]},
            "/notify/0/ulr",
            "url",
        ),
        (
            "/v1/jobs",
            {"outputs": [{"kind": "animation", "widht": 3}]},
            "/outputs/0/widht",
            "width",
        ),
        ("/v1/uploads", {"job": {"output": []}}, "/job/output", "outputs"),
    ],
)
def test_given_a_misspelt_field_then_the_nearest_field_of_that_place_is_suggested(
    context: Context, address: str, body: Any, pointer: str, meant: str
) -> None:
    fault = faults_of(context, address, body)[pointer]
    assert fault["detail"].endswith("is not a known field")
    assert fault["hint"] == f"did you mean {meant!r}?"


def test_given_a_field_unlike_any_other_then_all_fields_of_that_place_are_listed(
    context: Context,
) -> None:
    body = {
        "source": OBJECT,
        "outputs": [{"kind": "animation", "seconds": 3}],
        "notify": [{"type": "email", "to": "you@example.org", "zzz": 1}],
    }
    faults = faults_of(context, "/v1/jobs", body)
    listed = faults["/outputs/0/seconds"]["hint"].removeprefix("known: ").split(", ")
    assert {"kind", "start", "end", "duration"} < set(listed)
    assert faults["/notify/0/zzz"]["hint"] == "known: events, type, to"


@pytest.mark.parametrize(
    ("subscription", "detail"),
    [
        ({"type": "webhok", "url": "https://a.b/"}, "'webhok' is not a known type"),
        ({"url": "https://a.b/"}, "'type' is missing"),
    ],
)
def test_given_no_known_type_of_subscription_then_the_types_are_listed(
    context: Context, subscription: dict[str, str], detail: str
) -> None:
    body = {"source": OBJECT, "notify": [subscription]}
    fault = faults_of(context, "/v1/jobs", body)["/notify/0/type"]
    assert (fault["detail"], fault["hint"]) == (detail, "one of webhook, email")


def test_given_no_known_kind_of_output_then_the_kinds_are_listed(
    context: Context,
) -> None:
    body = {"source": OBJECT, "outputs": [{"kind": "film"}, {}]}
    faults = faults_of(context, "/v1/jobs", body)
    assert set(faults) == {"/outputs/0/kind", "/outputs/1/kind"}
    assert faults["/outputs/0/kind"]["detail"] == "'film' is not a known kind"
    assert faults["/outputs/1/kind"]["detail"] == "'kind' is missing"
    assert all("contact_sheet" in fault["hint"] for fault in faults.values())


@pytest.mark.parametrize(
    ("event", "meant"),
    [
        ("job.complete", "job.completed"),
        ("job.canceled", "job.cancelled"),
        ("output.success", "output.succeeded"),
        ("jobs.completed", "job.completed"),
        ("job.done", None),
        ("x", None),
    ],
)
def test_given_an_event_that_does_not_exist_then_the_events_are_listed(
    context: Context, event: str, meant: str | None
) -> None:
    body = {"source": OBJECT, "notify": [HOOK | {"events": ["job.*", event]}]}
    fault = faults_of(context, "/v1/jobs", body)["/notify/0/events/1"]
    assert fault["detail"] == f"{event!r} is not an event"
    suggestion, _, listed = fault["hint"].rpartition("the events are ")
    assert suggestion == (f"did you mean {meant!r}? " if meant else "")
    assert listed.split(", ") == [*EVENTS, *GROUPS]


def test_given_all_events_that_exist_then_none_is_refused() -> None:
    for event in (*EVENTS, *GROUPS):
        WebhookSubscription.model_validate(HOOK | {"events": [event]})


def test_given_a_stored_subscription_to_no_event_then_it_still_loads() -> None:
    stored = Subscription.model_validate(HOOK | {"id": "s1", "events": ["job.done"]})
    assert stored.events == ["job.done"]


def test_given_a_start_that_is_no_time_then_the_hint_names_times_and_auto(
    context: Context,
) -> None:
    starts = ["2x", -1, {}]
    outputs = [{"kind": "animation", "start": start} for start in starts]
    body = {"source": OBJECT, "outputs": outputs}
    faults = faults_of(context, "/v1/jobs", body)
    text, negative, other = (faults[f"/outputs/{n}/start"] for n in range(3))
    assert text["detail"].startswith("'2x' is not a time; write seconds")
    assert text["hint"].startswith("write seconds")
    assert negative["detail"] == "'start' must be greater than or equal to 0"
    assert other["detail"] == "'start' is not a time"
    assert all(one["hint"].endswith(", or 'auto'") for one in (text, negative, other))


def test_given_faults_in_many_items_then_what_an_item_may_hold_is_read_once() -> None:
    sources = outline(BATCH).inside("sources")
    assert sources.inside(0) is sources.inside(20_000)
    assert sources.inside(0).inside("s3") is sources.inside(1).inside("s3")
    assert set(sources.inside(0).inside("s3").fields) == {
        *("bucket", "key", "etag", "version"),
    }
    # A caller's own names must not pile up in what is kept.
    assert sources.inside(0).inside("a") is sources.inside(0).inside("b")


def test_given_an_item_of_the_wrong_type_then_its_place_and_value_are_named(
    context: Context,
) -> None:
    body = {"source": OBJECT, "outputs": ["thumbnail"]}
    fault = faults_of(context, "/v1/jobs", body)["/outputs/0"]
    assert fault["detail"] == (
        "item 0 of 'outputs' must be an object, not a text ('thumbnail')"
    )


@pytest.mark.parametrize(
    "model",
    [JobRequest, BatchRequest, UploadRequest, CompleteRequest, WebhookSubscription],
)
def test_every_pattern_of_a_request_has_words(model: type[BaseModel]) -> None:
    def patterns(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            if isinstance(node.get("pattern"), str):
                yield node["pattern"]
            node = list(node.values())
        if isinstance(node, list):
            for one in node:
                yield from patterns(one)

    found = set(patterns(model.model_json_schema()))
    assert [one for one in found if words_of(one) is None] == []


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"outputs": [{"kind": "thumbnail", "name": "a b/c"}]}, "/outputs/0/name"),
        ({"source": {"upload": "abc"}}, "/source/upload"),
        ({"source": {"s3": {"bucket": "x", "key": "k"}}}, "/source/s3/bucket"),
    ],
)
def test_given_a_text_of_another_form_then_the_hint_is_words(
    context: Context, body: Any, pointer: str
) -> None:
    hint = faults_of(context, "/v1/jobs", body)[pointer]["hint"]
    assert "^" not in hint
    assert "0-9" in hint or "small letters" in hint


def test_given_a_body_without_a_type_then_no_python_value_is_shown(
    context: Context,
) -> None:
    for address in ("/v1/jobs", "/v1/batches"):
        answer = context.client.post(address, data=b"{}")
        assert answer.status_code == 415
        assert answer.json["detail"] == "a body without a Content-Type is not supported"


def test_given_a_string_without_end_then_its_place_is_told_once(
    context: Context,
) -> None:
    answer = context.client.post(
        "/v1/jobs", data=b'{"source', content_type="application/json"
    )
    assert "starting at line 1" in answer.json["detail"]


def test_given_no_truth_value_in_a_form_then_the_hint_names_both(
    context: Context,
) -> None:
    answer = post_form(context, {"file": a_file(), "dedupe": "yes"})
    assert (answer.status_code, answer.json["hint"]) == (400, "true or false")
    assert "'dedupe' is 'yes'" in answer.json["detail"]
