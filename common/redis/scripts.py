"""Lua scripts made of several files: libraries first, the script itself last."""

from __future__ import annotations

from pathlib import Path

import redis
from redis.commands.core import Script

# The files of one script, in order. They become one text, so a file sees the local
# names of those before it.
ScriptFiles = tuple[Path, ...]


def join_files(files: ScriptFiles) -> str:
    """Return the text of the script that these files make up."""
    return "\n".join(file.read_text("utf-8") for file in files)


def load_script(client: redis.Redis, files: ScriptFiles) -> Script:
    """Return the script, ready to be called; a server that lacks it is sent it."""
    return client.register_script(join_files(files))
