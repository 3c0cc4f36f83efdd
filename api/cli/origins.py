"""What ``framemill batch`` is given: files, folders, S3 keys, URLs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any


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
    """Return what the texts name, a folder's files in order of their names.

    ``suffix`` narrows folders. Hidden files are passed over. Raises ValueError when a
    folder holds nothing that fits or there is none to narrow, OSError when a file is
    not there.
    """
    if suffix and texts and not any(Path(text).is_dir() for text in texts):
        raise ValueError("--suffix narrows a folder or --prefix; none is named")
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
            raise ValueError(f"{text}: the folder holds no file {suffix}".rstrip())
        found += inside
    return _each_once(found)


def _each_once(origins: list[Origin]) -> list[Origin]:
    """Return each video under the name that came first, with the others as copies."""
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


def s3_place(text: str) -> dict[str, str]:
    """Read ``s3://BUCKET/KEY``; raises ValueError for anything else."""
    bucket, slash, key = text.removeprefix("s3://").partition("/")
    if not (text.startswith("s3://") and bucket and slash):
        raise ValueError(f"{text!r} is not s3://BUCKET/KEY")
    return {"bucket": bucket, "key": key}


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
    if text.startswith("s3://"):
        return Origin(text, text, source={"s3": s3_place(text)})
    return Origin(text, text, source={"url": text})
