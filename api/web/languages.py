"""The texts of the pages, in every language that has a catalogue.

A catalogue is ``texts/LANGUAGE.json``: an object of keys and texts. A text names values
in braces, such as ``{name}``. Templates and scripts use the same catalogue.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from flask import Request

_FOLDER = Path(__file__).parent / "texts"
_DEFAULT = "en"
COOKIE = "language"


@cache
def catalogues() -> Mapping[str, Mapping[str, str]]:
    """Return the texts of every language, by its code."""
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(_FOLDER.glob("*.json"))
    }


def language_of(request: Request) -> str:
    """Return the language to answer in: the chosen one, else the browser's best."""
    known = list(catalogues())
    chosen = request.cookies.get(COOKIE)
    if chosen in known:
        return chosen
    return request.accept_languages.best_match(known) or _DEFAULT
