"""Print what the changelog says of a release: ``python -m deploy.release vX.Y.Z``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

_CHANGELOG = Path(__file__).resolve().parents[1] / "CHANGELOG.md"
_TAG = re.compile(r"v(\d+\.\d+\.\d+)")
_HEADING = re.compile(r"^## \[(.+?)\](?: - \d{4}-\d{2}-\d{2})?$", re.MULTILINE)


def notes(tag: str, changelog: str) -> str:
    """Return the section of the version that a tag names, without its heading.

    Raises ValueError for a tag that is not ``vX.Y.Z``, for a version without a section,
    and if another version's section is newer.
    """
    named = _TAG.fullmatch(tag)
    if named is None:
        raise ValueError(f"{tag!r} is no tag of a release: vX.Y.Z, such as v1.2.0")
    _, *parts = _HEADING.split(changelog)
    sections = dict(zip(parts[::2], parts[1::2], strict=True))
    released = [name for name in sections if name != "Unreleased"]
    if named[1] not in released:
        raise ValueError(
            f"CHANGELOG.md has no section for {tag}: name it "
            f"'## [{named[1]}] - YYYY-MM-DD', below an empty '## [Unreleased]'"
        )
    if released[0] != named[1]:
        raise ValueError(
            f"{tag} is not the newest release in CHANGELOG.md: that is v{released[0]}"
        )
    if not (text := sections[named[1]].strip()):
        raise ValueError(f"the section for {tag} in CHANGELOG.md is empty")
    return text + "\n"


def main(words: list[str]) -> int:
    """Print the notes of the release; return 2 for a tag that is none."""
    if len(words) != 1:
        print("usage: python -m deploy.release vX.Y.Z", file=sys.stderr)
        return 2
    try:
        print(notes(words[0], _CHANGELOG.read_text(encoding="utf-8")), end="")
    except ValueError as error:
        print(f"release: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
