"""The hints of refused requests: they name what is right at that very place."""

from __future__ import annotations

from typing import Any

import pytest

from api.jobs.subscriptions import WebhookSubscription
from common.notify.subscriptions import EVENTS, GROUPS, Subscription
from tests.api.conftest import OBJECT, Context

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
