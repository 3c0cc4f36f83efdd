"""What the client and the command line raise."""

from __future__ import annotations

from typing import Any


class Refused(Exception):
    """The service refused a request.

    ``status`` is the HTTP status and ``problem`` the answer's problem document
    (RFC 9457) as a dict; its ``faults`` list every invalid field.
    """

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(str(problem.get("detail") or f"HTTP status {status}"))
        self.status = status
        self.problem = problem


class Unreached(Exception):
    """The service did not answer, or something else answered in its place."""


class CommandFailed(Exception):
    """The server's code refused an operator's command; the text says why."""
