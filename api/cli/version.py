"""The version of this build, which comes from a tag of the repository."""

from __future__ import annotations

import importlib

from .server_code import IN_WHEEL, TREE

UNRELEASED = "unreleased"


def version() -> str:
    """Return the version of this build, or ``unreleased`` in a checkout.

    A wheel has it in its metadata. An image, which is built without the history, has it
    in the file VERSION beside the packages.
    """
    if not IN_WHEEL:
        if (TREE / "pyproject.toml").is_file():
            return UNRELEASED
        if (TREE / "VERSION").is_file():
            return (TREE / "VERSION").read_text(encoding="utf-8").strip()
    # Only here, since its import costs as much as the rest of a command.
    metadata = importlib.import_module("importlib.metadata")
    try:
        return str(metadata.version("framemill"))
    except metadata.PackageNotFoundError:
        return UNRELEASED
