"""The sources of ``framemill batch``: files, folders, S3 keys, URLs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .client import remote_source


@dataclass(frozen=True)
class Origin:
    """One video: a local ``file``, or a ``source`` as the API takes it.

    ``text`` is how the user named it. ``identity`` is the same for the same video in
    every run: the SHA-256 of a file, the address of anything else. ``copies`` are other
    names of the same video.
    """

    text: str
    identity: str
    file: Path | None = None
    source: dict[str, Any] = field(default_factory=dict)
    copies: tuple[str, ...] = ()


def find_origins(texts: list[str], suffix: str) -> list[Origin]:
    """Return the videos that the texts name, a folder's in the order of their names.

    Of folders only files that end in ``suffix`` count, and no hidden ones. Raises
    ValueError for a folder without any, or a suffix without a folder; OSError for a
    file that is not there.
    """
    if suffix and texts and not any(Path(text).is_dir() for text in texts):
        raise ValueError(
            "--suffix selects files of a folder or of --prefix; you named neither"
        )
    found: list[Origin] = []
    for text in texts:
        if "://" in text:
            found.append(_remote(text))
            continue
        path = Path(text)
        if not path.is_dir():
            path.stat()
            found.append(_local(path))
            continue
        inside = [_local(one) for one in _files(path, suffix)]
        if not inside:
            raise ValueError(_nothing_in(text, suffix))
        found += inside
    return _each_once(found)


def _nothing_in(folder: str, suffix: str) -> str:
    return f"{folder}: no file in this folder" + (
        f" ends in {suffix}" if suffix else ""
    )


def _each_once(origins: list[Origin]) -> list[Origin]:
    """Return each video once, under its first name, with the others as copies."""
    names: dict[str, list[str]] = {}
    for origin in origins:
        texts = names.setdefault(origin.identity, [])
        if origin.text not in texts:
            texts.append(origin.text)
    firsts = {origin.identity: origin for origin in reversed(origins)}
    return [
        replace(firsts[identity], copies=tuple(texts[1:]))
        for identity, texts in names.items()
    ]


def identity_of(source: dict[str, Any]) -> str:
    """Return the identity of a job's source, as its document describes it.

    An upload that no worker has looked at yet has none that a file could have.
    """
    if source["kind"] == "upload":
        return f"sha256:{source['sha256']}" if source["sha256"] else "upload"
    if source["kind"] == "s3":
        return f"s3://{source['bucket']}/{source['key']}"
    return str(source["url"])


def _files(folder: Path, suffix: str) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path.name.endswith(suffix)
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def _local(path: Path) -> Origin:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Origin(str(path), f"sha256:{digest}", file=path)


def _remote(text: str) -> Origin:
    return Origin(text, text, source=remote_source(text))
