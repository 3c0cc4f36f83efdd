"""Describe how a spec is made, as plain values: Plan > Alternative > Step.

A recipe turns a spec and a MediaInfo into a :class:`Plan`. A plan lists alternatives,
the best one first. An :class:`Alternative` is one way to make the files, and it
consists of steps. A :class:`Step` is one run of FFmpeg.

Which run comes next often depends on the one before: where a scene begins, whether a
file is small enough, whether a keyframe was damaged. So an alternative is a generator.
It *yields* a step, is *sent* the result (:class:`Done`), and in the end *returns* the
files it made (:class:`Made`). It runs nothing itself, opens no file, reads no clock and
draws no random number. A test can therefore drive a recipe with made-up results, and
compare its FFmpeg arguments with stored ones (tests/golden).

The engine runs the steps and checks the files. When an alternative raises, or a file
fails its check, the engine tries the next alternative.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

# Messages of ffmpeg_dec.c and libavcodec about damaged packets and frames.
_DAMAGE = (
    "Error submitting packet to decoder",
    "corrupt decoded frame",
    "error while decoding MB",
    "concealing",
)


@dataclass(frozen=True)
class Step:
    """One run of FFmpeg in the attempt's work folder.

    ``argv`` follows the program's name; outputs are relative file names. ``seconds`` is
    the media time that the run processes: it sets the deadline and the step's share of
    the progress. ``capture`` limits the bytes kept of standard output (0: none; argv
    writes ``pipe:1``). ``silent`` is the CPU seconds that encoding one picture may
    take, during which FFmpeg reports nothing, and ``reserved`` the bytes that its
    encoder allocates without using them. ``tolerant`` accepts a non-zero exit status,
    because the alternative can use what is there.

    Before the run the engine writes ``texts`` (file name to content, so that a user's
    words never enter a filter graph) and copies the named ``assets``. The ``program``
    gifsicle is optional: if it is not installed, the exit status is not 0. ``holed``
    means that the step withholds packets from the decoder, whose complaints then say
    nothing about the file.

    The program ``keyframes`` lists those of stream ``argv[0]``; see
    :mod:`worker.media.probe.keyframes`. The program ``archive`` packs files; see
    :mod:`worker.media.archives`. ``spans`` are the only bytes of the source that
    reach a decoder, as ranges of offsets. They are fetched in advance, and what else
    the run reads of a source with holes may be zeros.
    """

    argv: tuple[str, ...]
    seconds: float
    capture: int = 0
    silent: float = 0.0
    reserved: int = 0
    tolerant: bool = False
    texts: Mapping[str, str] = field(default_factory=dict)
    assets: tuple[str, ...] = ()
    program: Literal["ffmpeg", "gifsicle", "keyframes", "archive"] = "ffmpeg"
    holed: bool = False
    spans: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class FileFacts:
    """What the engine's check found in a file of the work folder.

    ``frames`` and ``duration`` (seconds) are counted, not read from a header; both are
    None for files that are not pictures.
    """

    bytes: int
    width: int | None = None
    height: int | None = None
    frames: int | None = None
    duration: float | None = None


@dataclass(frozen=True)
class Done:
    """The result of a step; ``files`` are all that exist in the work folder now."""

    returncode: int
    stdout: bytes
    log: str
    files: Mapping[str, FileFacts]

    @property
    def damaged(self) -> bool:
        """Return True if FFmpeg failed to decode some of it, or only with errors."""
        return any(words in self.log for words in _DAMAGE)


@dataclass(frozen=True)
class Made:
    """A file to publish.

    ``file`` is its name in the work folder, ``text`` the content of an index that the
    recipe wrote. The check requires ``width`` and ``height`` in pixels (None: any) and
    at least ``frames`` frames. ``warnings`` holds what only the run revealed. ``note``
    is for the task that joins the parts: it finds it among the details. ``bytes`` is
    the file's size where an index needs it; the check does not look at it. ``focus`` is
    the point that the file's crop keeps, None for that of the clip.
    """

    file: str
    name: str
    content_type: str
    width: int | None = None
    height: int | None = None
    frames: int = 1
    time: float | None = None
    text: str | None = None
    warnings: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    note: Mapping[str, Any] = field(default_factory=dict)
    bytes: int = 0
    focus: tuple[float, float] | None = None


StepRun = Generator[Step, Done, list[Made]]


@dataclass(frozen=True)
class Alternative:
    """One way to make the output; using it adds ``warnings`` to the output."""

    name: str
    run: Callable[[], StepRun]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """The alternatives, best first, and the warnings that apply to all of them."""

    alternatives: tuple[Alternative, ...]
    warnings: tuple[str, ...] = ()
