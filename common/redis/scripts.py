"""Lua scripts made of several files: libraries first, the script itself last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.exceptions import NoScriptError
from redis.retry import Retry

from common.errors import StoreUnavailable

# The files of one script, in order. They become one text, so a file sees the local
# names of those before it.
ScriptFiles = tuple[Path, ...]


def join_files(files: ScriptFiles) -> str:
    """Return the text of the script that these files make up."""
    return "\n".join(file.read_text("utf-8") for file in files)


def load_script(client: redis.Redis, files: ScriptFiles) -> Script:
    """Return the script, ready to be called; a server that lacks it is sent it."""
    return client.register_script(join_files(files))


def call_replicated(
    client: redis.Redis, script: Script, args: list[str], replicas: int, seconds: float
) -> Any:
    """Return a script's answer once so many replicas have all that is written by then.

    Raises StoreUnavailable if fewer have it within ``seconds``. The script was executed
    even so: its caller sends the same call again.
    """

    def call() -> list[Any]:
        # WAIT asks for what was written before the last command of its connection, so
        # both have to go by one.
        with client.pipeline(transaction=False) as both:
            script(args=args, client=both)
            both.wait(replicas, int(seconds * 1000))
            # It would put words before the server's text, which tells errors apart.
            return both.execute(raise_on_error=False)

    # A server that has become the primary since the pipeline looked lacks the script.
    answer, copies = Retry(NoBackoff(), 1, (NoScriptError,)).call_with_retry(
        lambda: _raised(call()), lambda _: None
    )
    if copies < replicas:
        raise StoreUnavailable(
            f"the job store has {copies} of {replicas} replicas that hold the job"
        )
    return answer


def _raised(answers: list[Any]) -> list[Any]:
    """Return the answers, or raise the first error among them."""
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers
