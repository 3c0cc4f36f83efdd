"""What an Idempotency-Key stands for, in either of two ways.

A request that makes a job or a batch is known by its record: the call that accepts it
stores the key in the same step (:class:`Idempotency`), so that not even a crash in
between makes two. Any other request is known by its answer: one execution holds the
key at a time (:class:`Repeatable`), and its answer is kept for the repeats.

``api/http/idempotency.py`` decides which way a request goes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

from common.errors import IdempotencyMismatch
from common.jobs.store.connection import Connection


@dataclass(frozen=True)
class Idempotency:
    """The key of a request that makes a record, and what the request amounts to.

    ``hours`` is how long the key is known; None is retention.idempotency_hours.
    """

    key: str
    fingerprint: str
    hours: float | None = None


@dataclass(frozen=True)
class Repeatable:
    """One execution of a request; ``token`` is its own, the rest is any repeat's too.

    ``address`` is method and path, ``fingerprint`` what the request amounts to.
    """

    owner: str
    address: str
    key: str
    fingerprint: str
    token: str

    @property
    def digest(self) -> str:
        """Return the name of the record: a key counts for one owner and address."""
        text = f"{self.owner}\0{self.address}\0{self.key}"
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Turn:
    """What an execution is to do.

    go: the work. busy: ask again, another execution does it. kept: send ``answer``.
    """

    state: Literal["go", "busy", "kept"]
    answer: str | None = None


class IdempotencyKeys(Connection):
    """The keys of both kinds, as the scripts know them."""

    def recall(self, owner: str, known: Idempotency) -> str | None:
        """Return the id of the job that an earlier request made, None if none did.

        Raises IdempotencyMismatch where the key was used with another request.
        """
        answer = self._call("find_repeat", **identify(owner, known))
        return None if "new" in answer else read_repeat(answer)

    def begin_answer(self, request: Repeatable) -> Turn:
        """Return whether to execute a request, or its earlier answer.

        Raises IdempotencyMismatch where the key was used with another request.
        """
        found = self._call(
            "kept_answers",
            op="begin",
            digest=request.digest,
            token=request.token,
            fingerprint=request.fingerprint,
        )
        if found["state"] == "mismatch":
            raise _mismatch()
        return Turn(found["state"], found.get("answer"))

    def keep_answer(self, request: Repeatable, answer: str) -> None:
        """Store the answer to a request, for retention.idempotency_hours."""
        self._call(
            "kept_answers",
            op="keep",
            digest=request.digest,
            token=request.token,
            answer=answer,
        )

    def drop_answer(self, request: Repeatable) -> None:
        """Free the key: the request has had no effect."""
        self._call(
            "kept_answers", op="drop", digest=request.digest, token=request.token
        )


def identify(owner: str, known: Idempotency | None) -> dict[str, Any]:
    """Return the arguments by which accept knows a repeated request, and stores it."""
    if known is None:
        return {}
    digest = hashlib.sha256(f"{owner}\0{known.key}".encode()).hexdigest()
    kept_ms = None if known.hours is None else round(known.hours * 3_600_000)
    return {"idem": digest, "fingerprint": known.fingerprint, "idem_ms": kept_ms}


def read_repeat(answer: dict[str, Any]) -> str:
    """Return the id in the answer of accept or find_repeat.

    Raises IdempotencyMismatch where the key was used with another request.
    """
    if "mismatch" in answer:
        raise _mismatch()
    job_id: str = answer["job_id"]
    return job_id


def _mismatch() -> IdempotencyMismatch:
    return IdempotencyMismatch(
        "this Idempotency-Key was used before with another request",
        hint="use a new key for a new request",
    )
