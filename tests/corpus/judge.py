"""Make a thumbnail, a GIF and a storyboard of one clip, and judge what came.

The outputs have their defaults. Errors are judged here, pictures in
:mod:`tests.corpus.verdict`.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.errors import MediaError
from common.model import MediaInfo
from common.outputs.specs import (
    AnimationSpec,
    OutputSpec,
    StoryboardSpec,
    ThumbnailSpec,
)
from common.settings.load import Settings
from tests.corpus.inventory import CLEAR_ERROR, OK, Entry
from tests.corpus.table import Row
from tests.corpus.verdict import Bench
from worker.media.engine import Engine, Rendered, RenderJob, Watch
from worker.media.ffmpeg import process
from worker.media.source_file import LocalFile

MEMORY = 1024 * 1024 * 1024
BOMB_MEMORY = 512 * 1024 * 1024
RUN_SECONDS = 30.0
ERROR_SECONDS = 5.0
SPECS: tuple[OutputSpec, ...] = (
    ThumbnailSpec(kind="thumbnail"),
    AnimationSpec(kind="animation"),
    StoryboardSpec(kind="storyboard"),
)


class _Meter:
    """Stands before process.run and remembers the largest child."""

    def __init__(self) -> None:
        self.peak = 0
        self.cpu = 0.0
        self._run = process.run

    def __call__(self, argv: Sequence[str], **words: Any) -> process.ProcessResult:
        done = self._run(argv, **words)
        self.peak = max(self.peak, done.peak_bytes)
        self.cpu += done.cpu_seconds
        return done

    def stop(self) -> None:
        process.run = self._run


def judge(entry: Entry, settings: Settings) -> Row:
    """Run one clip through the engine; what is wrong is listed in the row."""
    row = Row(entry.file.name, entry.kind, entry.expected)
    meter = _Meter()
    process.run = meter
    folder = Path(tempfile.mkdtemp(prefix="corpus-"))
    usual, tempfile.tempdir = tempfile.tempdir, str(folder / "temporary")
    Path(tempfile.tempdir).mkdir()
    try:
        media, made = _run(entry, Engine(settings), folder, row)
        if any((folder / "temporary").iterdir()):
            row.faults.append("the probe left files behind")
        meter.stop()
        row.cpu = round(meter.cpu, 2)
        _judge_run(entry, meter, row)
        if media is not None and made:
            Bench(entry, media, settings, folder, row).judge(made)
    finally:
        meter.stop()
        tempfile.tempdir = usual
        shutil.rmtree(folder)
    return row


def _run(
    entry: Entry, engine: Engine, folder: Path, row: Row
) -> tuple[MediaInfo | None, dict[str, Rendered]]:
    """Probe, and make each output by itself."""
    started = time.monotonic()
    try:
        media = engine.probe(LocalFile(entry.file))
    except MediaError as error:
        _judge_error(entry, error, time.monotonic() - started, "probe", row)
        return None, {}
    probed = time.monotonic() - started
    row.warnings = f"{' '.join(media.warnings)};"
    made = {}
    for spec in SPECS:
        workdir = folder / spec.kind
        workdir.mkdir()
        started = time.monotonic()
        try:
            found = engine.render(
                RenderJob(spec, media, LocalFile(entry.file), workdir), Watch()
            )
        except MediaError as error:
            seconds = probed + time.monotonic() - started
            _judge_error(entry, error, seconds, spec.kind, row)
            if any(workdir.iterdir()):
                row.faults.append(f"{spec.kind} left files behind")
            continue
        row.seconds = max(row.seconds, round(time.monotonic() - started, 2))
        row.warnings += f"{' '.join(found.warnings)};"
        row.alternatives += f"{'|'.join(report.rung for report in found.reports)};"
        made[spec.kind] = found
    return media, made


def _judge_error(
    entry: Entry, error: MediaError, seconds: float, what: str, row: Row
) -> None:
    """Check that an error is the one that the inventory expects, quick and final."""
    row.code = error.code
    row.seconds = max(row.seconds, round(seconds, 2))
    if entry.expected == OK:
        tried = "|".join(report.rung for report in error.reports)
        row.faults.append(f"{what}: {error.code}: {error.detail} [{tried}]")
    if entry.fitting is not None and error.code not in entry.fitting:
        row.faults.append(f"{what}: {error.code} is no word for {entry.reason!r}")
    if error.retryable:
        row.faults.append(f"{what}: {error.code} would be tried again")
    if seconds > ERROR_SECONDS:
        row.late = True
        row.faults.append(f"{what}: the error took {seconds:.1f} s")


def _judge_run(entry: Entry, meter: _Meter, row: Row) -> None:
    row.peak_mib = round(meter.peak / 2**20, 1)
    if meter.peak > (BOMB_MEMORY if entry.is_bomb else MEMORY):
        row.faults.append(f"{row.peak_mib} MiB resident")
    if row.seconds > RUN_SECONDS:
        row.late = True
        row.faults.append(f"a run took {row.seconds} s")
    if entry.expected == CLEAR_ERROR and row.alternatives:
        row.faults.append("a picture came of what must be refused")
