"""The log of deliveries to subscribers."""

from __future__ import annotations

import json
from typing import Any

from pydantic import TypeAdapter

from common.errors import Conflict, NotFound
from common.jobs.store.connection import Connection, new_call
from common.jobs.store.decoding import (
    delivery_event,
    read_cursor,
    read_error,
    read_time,
    write_cursor,
)
from common.jobs.store.jobs import read_outcome
from common.jobs.store.records import DeliveryRecord, Outcome

_RECORD = TypeAdapter(DeliveryRecord)


def _read_delivery(answer: dict[str, Any]) -> DeliveryRecord:
    fields = answer["task"]
    result = fields.get("result")
    return _RECORD.validate_python(
        {
            "id": answer["id"],
            "job_id": fields["job"],
            "owner": fields["owner"],
            "state": fields["state"],
            "event": delivery_event(fields),
            "subscription": json.loads(fields["subscription"]),
            "attempts": json.loads(fields["attempts"]),
            "result": json.loads(result) if result else None,
            "error": read_error(fields),
            "created_at": int(fields["created"]),
            "updated_at": int(fields["updated"]),
            "finished_at": read_time(fields, "finished"),
            "not_before": read_time(fields, "not_before"),
        }
    )


class Deliveries(Connection):
    """Reads deliveries and sends one again; workers claim them like any task."""

    def deliveries(
        self, owner: str | None = None, *, limit: int = 50, cursor: str | None = None
    ) -> tuple[list[DeliveryRecord], str | None]:
        """Read deliveries, newest first, and the next page's cursor.

        ``owner`` None reads every owner's. Raises Invalid for a cursor that is not
        ours.
        """
        return self._page(op="list", owner=owner, cursor=cursor, limit=limit)

    def deliveries_of(
        self, job_id: str, owner: str, *, limit: int = 50, cursor: str | None = None
    ) -> tuple[list[DeliveryRecord], str | None]:
        """Read the deliveries of a job or a batch, newest first, by pages.

        There are none where the owner has no such job (any more). Raises Invalid for a
        cursor that is not ours.
        """
        return self._page(
            op="of_job", job=job_id, owner=owner, cursor=cursor, limit=limit
        )

    def _page(
        self, *, cursor: str | None, **what: Any
    ) -> tuple[list[DeliveryRecord], str | None]:
        answer = self._call("deliveries", before=read_cursor(cursor), **what)
        found = [_read_delivery(one) for one in answer["deliveries"] or []]
        return found, write_cursor(answer.get("next"))

    def delivery(self, delivery_id: str) -> DeliveryRecord | None:
        """Read one delivery; None when there is none (any more)."""
        answer = self._call("deliveries", op="get", id=delivery_id)
        return None if "gone" in answer else _read_delivery(answer)

    def replay_delivery(self, delivery_id: str) -> Outcome:
        """Send a delivery that has ended again, with renewed attempts.

        Raises NotFound; Conflict while it has not ended.
        """
        if self.delivery(delivery_id) is None:
            raise NotFound(f"there is no delivery {delivery_id!r}")
        answer = self._call(
            "dead_letters", call=new_call(), op="redrive", task=delivery_id
        )
        if "gone" in answer:
            raise NotFound(f"there is no delivery {delivery_id!r}")
        if "none" in answer:
            raise Conflict(
                f"delivery {delivery_id} is still {answer['none']}",
                hint="wait until it has succeeded or failed",
            )
        return read_outcome(answer)
