"""Print how the clips of a corpus are read from S3, by container, as Markdown.

``python -m tests.corpus.access FOLDER`` serves the clips from an S3 on loopback, with
FRAMEMILL_WORKER_SPARSE_BYTES=0, so that size is no reason to fetch one whole. It probes
each as a worker does, and makes the still in the middle. A file without a container is
one that the probe refuses.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from common import storage
from common.errors import MediaError
from common.model import Source, SourceReading
from common.outputs.specs import ThumbnailSpec
from common.settings.load import Settings
from common.settings.sections import Worker
from tests.api.uploads.context import rclone
from tests.common.storage.conftest import BUCKET, KEYS, s3_settings
from tests.corpus import inventory
from worker.egress import EgressClient
from worker.media.engine import Engine, RenderJob, Watch
from worker.media.sandbox import reads
from worker.source.cache import SourceCache

_STILL = ThumbnailSpec(kind="thumbnail", time="50%", width=320)
_NONE = "none"


@dataclass(frozen=True)
class Access:
    """How one clip was read."""

    container: str
    reading: SourceReading


class Reader:
    """A worker before an S3."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._engine = Engine(settings)
        self._folder = folder
        self._sources = SourceCache(
            settings,
            storage.connect(settings),
            EgressClient(settings.egress),
            lambda: reads.refusal() is None,
        )

    def read(self, key: str) -> Access:
        """Read one object for its still; raises SourceError, StorageUnavailable."""
        source = self._sources.pin(Source(kind="s3", bucket=BUCKET, key=key))
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            made = Path(folder) / "made"
            made.mkdir()
            opened = self._sources.open(source, Path(folder) / "copy")
            try:
                container = _NONE
                media = self._engine.probe(opened.file)
                container = media.container
                job = RenderJob(_STILL, media, opened.file, made)
                self._engine.render(job, Watch())
            except MediaError:
                pass  # a still that cannot be made reads the source as well
            finally:
                opened.close()
        return Access(container, opened.reading)


@contextmanager
def reader(clips: Path) -> Iterator[Reader]:
    """Serve a folder of clips from an S3 on loopback, and yield who reads them."""
    with tempfile.TemporaryDirectory(prefix="access-") as name:
        folder = Path(name)
        shutil.copytree(clips, folder / "s3" / BUCKET)
        with rclone(folder / "s3", KEYS) as endpoint:
            worker = Worker(scratch=folder / "scratch", sparse_bytes=0)
            settings = s3_settings(endpoint).model_copy(update={"worker": worker})
            yield Reader(settings, folder)


def table(found: list[Access]) -> list[str]:
    """Return a row for each container and access, the commonest container first."""
    groups = defaultdict(list)
    for one in found:
        reason = one.reading.access_reason
        groups[one.container, one.reading.access, reason or ""].append(one)
    lines = [
        "| container | clips | access | reason |",
        "|---|---|---|---|",
    ]
    for (container, access, reason), some in sorted(
        groups.items(), key=lambda group: -len(group[1])
    ):
        lines.append(f"| {container} | {len(some)} | {access} | {reason} |")
    return lines


def main() -> None:
    """Read the corpus that the command line names, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.corpus.access")
    parser.description = __doc__
    parser.add_argument("folder", type=Path, help="with INVENTORY.tsv and clips/")
    folder = parser.parse_args().folder
    names = [entry.file.name for entry in inventory.read(folder)]
    with reader(folder / "clips") as one:
        found = [one.read(name) for name in names]
    print("\n".join(table(found)))
    print(f"\n{len(found)} clips")


if __name__ == "__main__":
    main()
