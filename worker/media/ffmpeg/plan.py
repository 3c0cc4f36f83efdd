"""Plan > Alternative > Step: how a spec is made, as pure values.

A recipe turns a spec and a MediaInfo into a :class:`Plan`: alternatives, best first. A
alternative is a generator that *yields* the FFmpeg runs it needs (:class:`Step`), is
*sent* what came of each (:class:`Done`), and *returns* the files it made
(:class:`Made`). It does no I/O, reads no clock and draws no random number, so a test
drives it with canned results. The engine runs the steps, checks the files and, when an
alternative raises or a file does not hold, goes on to the next alternative.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

# What ffmpeg_dec.c and libavcodec say of packets and frames with faults.
_DAMAGE = (
    "Error submitting packet to decoder",
    "corrupt decoded frame",
    "error while decoding MB",
    "concealing",
)


@dataclass(frozen=True)
class Step:
    """One FFmpeg run in the attempt's empty work folder.

    ``argv`` is what follows the program's name; outputs are plain relative file names.
    ``seconds`` is the media time the run has to go through: it sets the deadline and is
    this step's share of the progress. ``capture`` is how many bytes of standard output
    are wanted at most (0: none; argv writes ``pipe:1``). ``silent`` is the CPU seconds
    that one picture of the output may take to encode, in which FFmpeg reports nothing:
    it is not stuck then. ``tolerant`` accepts a non-zero exit status as long as the
    alternative can use what is there. Before the run the engine writes ``texts`` (file
    name to content: words of a user never enter a filter graph) and copies the named
    ``assets``. ``program`` gifsicle is optional: where it is not installed, the exit
    status is not 0. ``holed`` says that packets are kept from the decoder on purpose:
    its complaints tell nothing of the file then.
    """

    argv: tuple[str, ...]
    seconds: float
    capture: int = 0
    silent: float = 0.0
    tolerant: bool = False
    texts: Mapping[str, str] = field(default_factory=dict)
    assets: tuple[str, ...] = ()
    program: Literal["ffmpeg", "gifsicle"] = "ffmpeg"
    holed: bool = False


@dataclass(frozen=True)
class FileFacts:
    """What the engine's check found in a file of the work folder.

    ``frames`` and ``duration`` (seconds) are counted, not read from a header;
    both are None for files that are not pictures.
    """

    bytes: int
    width: int | None = None
    height: int | None = None
    frames: int | None = None
    duration: float | None = None


@dataclass(frozen=True)
class Done:
    """What came of a step: ``files`` are all that exist in the work folder now."""

    returncode: int
    stdout: bytes
    log: str
    files: Mapping[str, FileFacts]

    @property
    def damaged(self) -> bool:
        """Tell whether FFmpeg could not decode some of it, or only with faults."""
        return any(words in self.log for words in _DAMAGE)


@dataclass(frozen=True)
class Made:
    """A file to publish.

    ``file`` is its name in the work folder; ``text`` the content of an index file
    that the recipe wrote itself. ``width``/``height`` are what the check must find
    (None: anything), ``frames`` the least number of frames, ``warnings`` what only the
    run showed.
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


StepRun = Generator[Step, Done, list[Made]]


@dataclass(frozen=True)
class Alternative:
    """One way to make it; ``warnings`` are added to the output when it is used."""

    name: str
    run: Callable[[], StepRun]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """The alternatives, best first. ``parts`` are JSON values for other workers."""

    alternatives: tuple[Alternative, ...]
    warnings: tuple[str, ...] = ()
