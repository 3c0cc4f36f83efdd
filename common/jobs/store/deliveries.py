"""The log of deliveries to subscribers."""

from __future__ import annotations

import json
from typing import Any

from pydantic import TypeAdapter

from common.errors import Conflict, NotFound
from common.jobs.store.connection import Connection, new_call
from common.jobs.store.decoding import (
    notice_event,
    read_cursor,
    read_error,
    read_time,
    write_cursor,
)
from common.jobs.store.jobs import read_outcome
from common.jobs.store.records import NoticeRecord, Outcome

_RECORD = TypeAdapter(NoticeRecord)


def _read_notice(answer: dict[str, Any]) -> NoticeRecord:
    fields = answer["piece"]
    result = fields.get("result")
    return _RECORD.validate_python(
        {
            "id": answer["id"],
            "job_id": fields["job"],
            "owner": fields["owner"],
            "state": fields["state"],
            "event": notice_event(fields),
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


class Notices(Connection):
    """Reading notices and sending one again. Workers claim them like any piece."""

    def notices(
        self, owner: str | None = None, *, limit: int = 50, cursor: str | None = None
    ) -> tuple[list[NoticeRecord], str | None]:
        """Read deliveries, newest first; ``owner`` None is everybody's.

        Gives the next page's cursor too. Raises Invalid for one that is not ours.
        """
        answer = self._call(
            "deliveries",
            op="list",
            owner=owner,
            before=read_cursor(cursor),
            limit=limit,
        )
        found = [_read_notice(one) for one in answer["notices"] or []]
        return found, write_cursor(answer.get("next"))

    def notice(self, notice_id: str) -> NoticeRecord | None:
        """Read one delivery; None when there is none (any more)."""
        answer = self._call("deliveries", op="get", id=notice_id)
        return None if "gone" in answer else _read_notice(answer)

    def replay_notice(self, notice_id: str) -> Outcome:
        """Deliver an ended notice again, with renewed attempts.

        Raises NotFound; Conflict while it has not ended.
        """
        if self.notice(notice_id) is None:
            raise NotFound(f"there is no delivery {notice_id!r}")
        answer = self._call(
            "dead_letters", call=new_call(), op="redrive", piece=notice_id
        )
        if "gone" in answer:
            raise NotFound(f"there is no delivery {notice_id!r}")
        if "none" in answer:
            raise Conflict(
                f"delivery {notice_id} is still {answer['none']}",
                hint="wait until it has succeeded or failed",
            )
        return read_outcome(answer)
