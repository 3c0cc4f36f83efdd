"""What requests with an Idempotency-Key were answered."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from common.errors import IdempotencyMismatch
from common.jobs.store.connection import Connection


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
        """Name the record: a key counts for one owner and one address."""
        text = f"{self.owner}\0{self.address}\0{self.key}"
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Turn:
    """Whether to ``go`` and do the work, or what it was answered (``answer``).

    busy: another execution is at it.
    """

    state: Literal["go", "busy", "kept"]
    answer: str | None = None


class Answers(Connection):
    """Keeps the first answer for all that repeat the request."""

    def begin_answer(self, request: Repeatable) -> Turn:
        """Take the turn to execute a request, or learn its answer.

        Raises IdempotencyMismatch where the key was used with another request.
        """
        found = self._call(
            "answers",
            op="begin",
            digest=request.digest,
            token=request.token,
            fingerprint=request.fingerprint,
        )
        if found["state"] == "mismatch":
            raise mismatch()
        return Turn(found["state"], found.get("answer"))

    def keep_answer(self, request: Repeatable, answer: str) -> None:
        """Keep what the request was answered, for retention.idempotency_hours."""
        self._call(
            "answers",
            op="keep",
            digest=request.digest,
            token=request.token,
            answer=answer,
        )

    def drop_answer(self, request: Repeatable) -> None:
        """Let the key be used again: the request has had no effect."""
        self._call("answers", op="drop", digest=request.digest, token=request.token)


def mismatch() -> IdempotencyMismatch:
    """Make the error for a key that came with another request before."""
    return IdempotencyMismatch(
        "this Idempotency-Key was used before with another request",
        hint="use a new key for a new request",
    )
