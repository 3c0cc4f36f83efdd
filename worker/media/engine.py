"""Probe a file, split a spec into parts, and render one task.

This is the only interface of :mod:`worker.media` that the rest of the worker uses. A
render goes through three stages:

1. A recipe (:data:`RECIPES`) turns the spec and the probe's facts into a plan, see
   :mod:`worker.media.ffmpeg.plan`. A plan lists alternatives, best first.

2. The engine runs the first alternative. A recipe yields one FFmpeg run at a time (a
   step), the engine executes it in the sandbox and sends the result back.

3. The engine checks every file that the alternative made: it must exist, decode to its
   end and have the promised size. If an alternative fails, or one of its files does not
   pass, the engine empties the work folder and runs the next alternative.

Each alternative leaves a report with its error, so that a user sees what was tried.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from common.errors import (
    CannotFit,
    DecodeError,
    DiskFull,
    ErrorDict,
    InternalError,
    MediaError,
    ResourceLimit,
    SeekPastEnd,
)
from common.model import AttemptReport, ErrorInfo, MediaInfo, PartFile, PartSpec
from common.outputs.specs import OutputSpec
from common.settings.load import Settings
from worker.media import index_names, warning_codes
from worker.media.ffmpeg import binary, process, timeline, verify
from worker.media.ffmpeg.clip import Clip, decoding_seconds
from worker.media.ffmpeg.plan import Alternative, Done, Made, Plan, Step
from worker.media.probe import media_info
from worker.media.recipes import animation, preview, snippets, thumbnail
from worker.media.recipes.contact_sheet import recipe as contact_sheet
from worker.media.recipes.storyboard import parts as storyboard
from worker.media.source_file import LocalFile, SourceFile

Recipe = Callable[[Any, Clip, PartSpec | None, Sequence[Sequence[PartFile]]], Plan]
Splitter = Callable[[Any, MediaInfo], list[PartSpec]]
RECIPES: dict[str, Recipe] = {
    "thumbnail": thumbnail.plan,
    "animation": animation.plan,
    "preview": preview.plan,
    "storyboard": storyboard.plan,
    "snippets": snippets.plan,
    "contact_sheet": contact_sheet.plan,
}
SPLITTERS: dict[str, Splitter] = {
    "snippets": snippets.split,
    "storyboard": storyboard.split,
}
_DECODED_WHOLE = ("snippets",)
_STEP_SHARE = 0.9
_LARGE_PIXELS = 4096 * 2304
_SOURCE = "source"
# Programs of ours that a step may name.
_MAINS = {
    "archive": "worker.media.archives",
    "keyframes": "worker.media.probe.keyframes",
}
_ASSETS = Path(__file__).with_name("assets")


def _ignore(_: float) -> None:
    """Accept a progress report and do nothing with it."""


Ended = Callable[[process.ProcessResult], None]


@contextmanager
def _unwatched(_program: str) -> Iterator[Ended]:
    yield lambda _: None


@dataclass(frozen=True)
class Watch:
    """Callbacks of a render: ``progress`` takes 0 to 1, ``should_stop`` ends it.

    ``run`` is entered around each run of a program, with its name; it gives a function
    that takes the run's result. A run that raises has none.
    """

    progress: Callable[[float], None] = _ignore
    should_stop: Callable[[], bool] = lambda: False
    run: Callable[[str], AbstractContextManager[Ended]] = _unwatched


@dataclass(frozen=True)
class RenderJob:
    """One task to render: a spec, a source and an empty work folder.

    ``part`` is the part of a split spec that this task makes. ``parts`` holds the
    results of all parts, for the task that joins them. ``title`` is the source's
    display name, ``attempt`` the number that reports carry.
    """

    spec: OutputSpec
    media: MediaInfo
    source: SourceFile
    workdir: Path
    part: PartSpec | None = None
    parts: list[list[PartFile]] = field(default_factory=list)
    title: str | None = None
    attempt: int = 1


@dataclass(frozen=True)
class RenderedFile:
    """A checked file, ready to be stored; ``names`` are the files an index lists.

    ``note`` is only for the task that joins the parts.
    """

    path: Path
    name: str
    content_type: str
    width: int | None = None
    height: int | None = None
    frames: int | None = None
    duration: float | None = None
    time: float | None = None
    details: dict[str, Any] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    note: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Rendered:
    """The files of a render; ``result`` is what the joining task gets of this part."""

    files: list[RenderedFile]
    result: list[PartFile]
    warnings: list[str]
    reports: list[AttemptReport]


class Engine:
    """The interface to FFmpeg: :meth:`probe`, :meth:`split` and :meth:`render`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def probe(
        self, source: SourceFile, should_stop: Callable[[], bool] = lambda: False
    ) -> MediaInfo:
        """Return what a file holds; raise a MediaError if it cannot be used.

        Raises what ``source.ensure`` raises, too.
        """
        media = media_info.probe(source, self._settings, should_stop)
        if not timeline.jumps(media):
            return media
        with tempfile.TemporaryDirectory(prefix="timeline-") as folder:
            copy = Path(folder) / _SOURCE
            timeline.rewrite(source, copy, self._settings, should_stop)
            facts = media_info.probe(LocalFile(copy), self._settings, should_stop)
        return timeline.as_of(media, facts)

    def split(self, spec: OutputSpec, media: MediaInfo) -> list[PartSpec]:
        """Return the parts of a spec that several workers share; empty for one task.

        Snippets over the decoding limit are not split: they then fail once, and not
        once a part.
        """
        split = SPLITTERS.get(spec.kind)
        if split is None or media.video is None:
            return []
        most = self._settings.limits.decoded_seconds
        if spec.kind in _DECODED_WHOLE and decoding_seconds(media) > most:
            return []
        return split(spec, media)

    def render(self, job: RenderJob, watch: Watch) -> Rendered:
        """Render the files of a task.

        Raises MediaError with the ``reports`` of all alternatives if none succeeded,
        Interrupted if ``watch`` says stop, DiskFull if there is no space left, and what
        ``job.source.ensure`` raises.
        """
        settings = self._settings
        # A fixed name without an extension: FFmpeg would open "x.png" as an image
        # sequence, and its messages must not reveal where our files are.
        link = job.workdir / _SOURCE
        link.unlink(missing_ok=True)
        if job.media.rewritten:
            timeline.rewrite(job.source, link, settings, watch.should_stop)
        else:
            link.symlink_to(job.source.path.resolve())
        clip = Clip(
            _SOURCE,
            job.media,
            _threads(job.media, settings),
            settings.limits.source_pixels,
            job.title,
            settings.limits.decoded_seconds,
            holed=not job.media.rewritten and not job.source.complete,
        )
        try:
            plan = RECIPES[job.spec.kind](job.spec, clip, job.part, job.parts)
            return _PlanRunner(settings, job, watch).run(plan)
        except MediaError:
            link.unlink()
            _empty(job.workdir)
            raise


def _threads(media: MediaInfo, settings: Settings) -> int:
    """Return the decoder's threads. Each holds its own frames, so 8K gets one."""
    video = media.video
    if video and video.coded_width * video.coded_height > _LARGE_PIXELS:
        return 1
    return settings.engine.threads


class _PlanRunner:
    """One run through the alternatives of a plan."""

    def __init__(self, settings: Settings, job: RenderJob, watch: Watch) -> None:
        self._settings = settings
        self._job = job
        self._watch = watch
        self._checks = verify.Checks(settings, watch.should_stop)
        self._done = 0.0
        self._damaged = False
        self._reports: list[AttemptReport] = []
        self._errors: list[MediaError] = []

    def run(self, plan: Plan) -> Rendered:
        for alternative in plan.alternatives:
            started = time.monotonic()
            try:
                made = self._alternative(alternative)
                files = [self._publish(one) for one in made]
            except MediaError as error:
                self._report(alternative, started, error)
                if isinstance(error, CannotFit):
                    break
                continue
            self._report(alternative, started, None)
            shown = [code for one in made for code in one.warnings]
            damage = [warning_codes.DAMAGED] if self._damaged else []
            found = dict.fromkeys(
                [*plan.warnings, *alternative.warnings, *shown, *damage]
            )
            result = [_summary(file) for file in files]
            self._check_names(files)
            return Rendered(files, result, list(found), self._reports)
        failure = _most_specific(self._errors)
        failure.reports = tuple(self._reports)
        raise failure

    def _check_names(self, files: Sequence[RenderedFile]) -> None:
        """Raise InternalError if an index names a file that does not exist."""
        known = {file.name for file in files}
        known |= {file.name for part in self._job.parts for file in part}
        for file in files:
            for name in file.names:
                if name not in known:
                    raise InternalError(
                        f"{file.name} refers to {name}, which does not exist"
                    )

    def _alternative(self, alternative: Alternative) -> list[Made]:
        _empty(self._job.workdir)
        self._damaged = False
        run = alternative.run()
        try:
            step = next(run)
            while True:
                step = run.send(self._step(step))
        except StopIteration as end:
            made: list[Made] = end.value
            return made
        finally:
            run.close()

    def _step(self, step: Step) -> Done:
        settings, workdir = self._settings, self._job.workdir
        base = self._done

        def report(seconds: float) -> None:
            share = min(1.0, seconds / step.seconds) if step.seconds > 0 else 0.0
            self._watch.progress(base + (1 - base) * _STEP_SHARE * share)

        _write_inputs(workdir, step)
        job = self._job
        program: Sequence[str] | process.Main
        if main := _MAINS.get(step.program):
            program = process.Main(main, step.argv)
        else:
            program = binary.command(settings, step.program, step.argv)
        job.source.ensure_all(step.spans)
        limits = binary.bounds(settings, step.seconds, step.silent, step.reserved)
        with self._watch.run(step.program) as ended:
            done = process.run(
                program,
                cwd=workdir,
                bounds=replace(limits, stdout_bytes=step.capture),
                progress=report,
                should_stop=self._watch.should_stop,
                source=self._read_by(step),
            )
            ended(done)
        self._done = base + (1 - base) * _STEP_SHARE / 2
        if done.returncode != 0:
            failure = _failure(done)
            if not step.tolerant or isinstance(failure, ResourceLimit):
                raise failure
        files = verify.CheckedFiles(workdir, self._checks)
        came = Done(done.returncode, done.stdout, done.log, files)
        self._damaged |= came.damaged and not step.holed
        return came

    def _read_by(self, step: Step) -> SourceFile | None:
        """Return what a step may read beside the work folder."""
        if self._job.media.rewritten:
            return None
        # With spans, all that the decoder needs is there by now.
        source = self._job.source
        return LocalFile(source.path) if step.spans else source

    def _publish(self, made: Made) -> RenderedFile:
        """Check a file against what the recipe promised, and return it."""
        path = self._job.workdir / made.file
        if made.text is not None:
            _anew(path).write_text(made.text, encoding="utf-8")
        # A link may lead out of the folder: no step makes one.
        if path.is_symlink() or not path.is_file() or not path.stat().st_size:
            raise DecodeError(f"{made.file} was not written")
        facts = self._checks.facts(path)
        for side in ("width", "height"):
            wanted, found = getattr(made, side), getattr(facts, side)
            if wanted is not None and wanted != found:
                raise DecodeError(f"{made.file}: {side} is {found}, expected {wanted}")
        if verify.is_picture(made.file) and (facts.frames or 0) < made.frames:
            raise DecodeError(
                f"{made.file} has {facts.frames} frames, expected {made.frames}"
            )
        return RenderedFile(
            path,
            made.name,
            made.content_type,
            facts.width,
            facts.height,
            facts.frames,
            facts.duration,
            made.time,
            dict(made.details),
            index_names.read(made.content_type, made.text or ""),
            dict(made.note),
        )

    def _report(
        self, alternative: Alternative, started: float, error: MediaError | None
    ) -> None:
        if error is not None:
            self._errors.append(error)
        self._reports.append(
            AttemptReport(
                attempt=self._job.attempt,
                rung=alternative.name,
                error=None if error is None else ErrorInfo(**_plain(error.as_dict())),
                seconds=round(time.monotonic() - started, 3),
                at=round(time.time() * 1000),
            )
        )


def _write_inputs(workdir: Path, step: Step) -> None:
    """Write the texts and copy the assets that a step reads into the work folder."""
    for name, text in step.texts.items():
        _anew(workdir / name).write_text(text, encoding="utf-8")
    for name in step.assets:
        shutil.copyfile(_ASSETS / name, _anew(workdir / name))


def _anew(path: Path) -> Path:
    """Return the path of a file to write, where nothing is now.

    A decoder that was taken over may have left a link there, for example by another
    name for that to the source, and the link's file would be written.
    """
    path.unlink(missing_ok=True)
    return path


def _plain(error: ErrorDict) -> dict[str, Any]:
    return dict(error)


def _summary(file: RenderedFile) -> PartFile:
    """Describe a file for the task that joins the parts."""
    return PartFile(
        name=file.name,
        bytes=file.path.stat().st_size,
        width=file.width,
        height=file.height,
        frames=file.frames,
        duration=file.duration,
        time=file.time,
        details=file.details | file.note,
    )


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.name == _SOURCE:
            continue
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _failure(done: process.ProcessResult) -> Exception:
    """Return the error that the log of a failed run indicates."""
    log = done.log
    if "No space left on device" in log:
        return DiskFull("no space left in the work folder")
    if "File too large" in log:
        return ResourceLimit(
            "the output is larger than the limit for one file",
            hint="ask for a smaller or shorter output; the setting is "
            "FRAMEMILL_ENGINE_OUTPUT_BYTES",
        )
    if "Cannot allocate memory" in log:
        return ResourceLimit(
            "the decoder needed more memory than its limit",
            hint="ask for a smaller output, or send a smaller video; the setting is "
            "FRAMEMILL_ENGINE_MEMORY_BYTES",
        )
    if "cannot start" in log or "Unrecognized option" in log:
        return InternalError(f"FFmpeg could not be run: {_last_line(log)}")
    return DecodeError(
        f"FFmpeg exited with status {done.returncode}: {_last_line(log)}"
    )


def _last_line(log: str) -> str:
    """Return the last message of a log, skipping the frame times in it."""
    lines = [
        line.strip()
        for line in log.splitlines()
        if line.strip() and not line.startswith(("frame:", "m=1"))
    ]
    return lines[-1][-200:] if lines else "no message"


_SPECIFIC: tuple[type[MediaError], ...] = (SeekPastEnd, ResourceLimit)


def _most_specific(errors: list[MediaError]) -> MediaError:
    """Return the most specific error: a named cause before a failed decode."""
    for kind in _SPECIFIC:
        for error in errors:
            if isinstance(error, kind):
                return error
    return next((e for e in errors if type(e) is not DecodeError), errors[0])
