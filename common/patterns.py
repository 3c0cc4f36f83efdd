"""The patterns of texts, each with the words that explain it to a caller."""

from __future__ import annotations

_WORDS: dict[str, str] = {}


def explained(pattern: str, words: str) -> str:
    """Return a regular expression; errors explain it by ``words``."""
    _WORDS[pattern] = words
    return pattern


def words_of(pattern: str) -> str | None:
    """Return the words that explain a pattern, None if it has none."""
    return _WORDS.get(pattern)
