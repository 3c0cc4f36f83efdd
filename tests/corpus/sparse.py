"""Run one clip twice, whole and as a file with holes, and compare all that comes.

The index of a storyboard tells by what ``method`` its tiles were found, which depends
on what is there of a clip; all else must be equal.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.errors import MediaError
from common.model import MediaInfo
from common.outputs.specs import OUTPUT_SPEC, OutputSpec
from common.settings.load import Settings
from tests.worker.media.holes import HoledFile
from worker.media.engine import Engine, RenderJob, Watch
from worker.media.source_file import LocalFile, SourceFile

KINDS = (
    *("thumbnail", "animation", "preview", "storyboard", "contact_sheet"),
    "snippets",
)
# How often a clip that differs is made again, whole, to see if it is ever the same.
_AGAIN = 4


@dataclass
class Comparison:
    """What differs, and of how many bytes how many were read.

    ``unsteady`` are the kinds of which each run makes other pictures, also of the whole
    clip: FFmpeg shows memory that it has not written. They cannot be compared.
    """

    file: str
    size: int
    read: int = 0
    faults: list[str] = field(default_factory=list)
    unsteady: list[str] = field(default_factory=list)


def compare(path: Path, settings: Settings, kinds: Sequence[str] = KINDS) -> Comparison:
    """Probe a clip and make outputs with their defaults, both ways."""
    found = Comparison(path.name, path.stat().st_size)
    engine = Engine(settings)
    with tempfile.TemporaryDirectory(prefix="sparse-") as folder:
        holed = HoledFile(path, Path(folder) / "source")
        whole = LocalFile(path)
        facts, same = _probe(engine, whole), _probe(engine, holed)
        if facts != same:
            found.faults.append(f"the probe: {same} instead of {facts}")
        for kind in kinds if isinstance(facts, MediaInfo) and facts == same else ():
            spec = OUTPUT_SPEC.validate_python({"kind": kind})
            made, again = (
                _render(engine, spec, facts, source) for source in (whole, holed)
            )
            if made == again:
                continue
            if _is_unsteady(engine, spec, facts, whole):
                found.unsteady.append(kind)
            else:
                found.faults.append(f"{kind}: {again} instead of {made}")
        found.read = holed.bytes
    return found


def _probe(engine: Engine, source: SourceFile) -> MediaInfo | str:
    try:
        return engine.probe(source)
    except MediaError as error:
        return f"{error.code}: {error.detail}"


def _is_unsteady(
    engine: Engine, spec: OutputSpec, media: MediaInfo, whole: SourceFile
) -> bool:
    """Return whether runs over the whole clip differ among themselves."""
    runs = [repr(_render(engine, spec, media, whole)) for _ in range(_AGAIN)]
    return len(set(runs)) > 1


def _render(
    engine: Engine, spec: OutputSpec, media: MediaInfo, source: SourceFile
) -> object:
    """Return the warnings and the digests of all files, or the error."""
    with tempfile.TemporaryDirectory(prefix="sparse-") as folder:
        try:
            done = engine.render(RenderJob(spec, media, source, Path(folder)), Watch())
        except MediaError as error:
            return f"{error.code}: {error.detail}"
        digests = {
            file.name: hashlib.sha256(_compared(file.path)).hexdigest()[:16]
            for file in done.files
        }
    return done.warnings, digests


def _compared(path: Path) -> bytes:
    written = path.read_bytes()
    if path.name != "storyboard.json":
        return written
    index = json.loads(written)
    del index["method"]
    return json.dumps(index).encode()
