"""Copy a file whose clock restarts or jumps, so that the copy has one clock.

In containers whose clock usually jumps, FFmpeg corrects the jumps while it reads from
the start; in others a filter does. After a seek, neither can know of them. So the
packets are copied once, in the order of the file, and every output is made from the
copy. Nothing is decoded.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from common.errors import DecodeError, DiskFull
from common.model import MediaInfo
from common.settings.load import Settings
from worker.media import warning_codes
from worker.media.ffmpeg import binary, process
from worker.media.ffmpeg.formats import FORMATS, MAX_STREAMS, PROTOCOLS
from worker.media.source_file import LocalFile, SourceFile

# How many bytes larger than the file the copy may be.
_ROOM = 16 * 1024 * 1024
# In Ogg, FFmpeg passes on the headers of a second stream as if they were frames.
_PAGE, _SEGMENTS_AT = b"OggS", 26
_STREAM_HEADS, _TABLES = (b"\x80theora", b"OVP80\x01"), b"\x82theora"
_HEADS = (*_STREAM_HEADS, b"\x81theora", _TABLES, b"OVP80\x02")
# The expressions that join the clocks of consecutive files. FFmpeg's setts keeps
# registers between packets: 0 is the shift of the times, 1 the latest time of this
# file, 2 the end of everything so far. A packet further back than frames are ever
# reordered starts the next file. Matroska's decoding times are useless after that, so
# all are rewritten: they increase, and never come after the presentation times.
_MOVED = (
    "if(eq(N,0),st(1,PTS);st(2,PTS),"
    "if(lt((PTS-ld(1))*TB,-{back}),st(0,ld(2)-PTS);st(1,PTS)));"
    "st(1,max(ld(1),PTS));st(2,max(ld(2),PTS+ld(0)+max(DURATION,1)));PTS+ld(0)"
)
_DECODED = "max(PREV_OUTDTS+1,({moved})-{back}/TB)"
_REORDERED, _NO_ORDER = "(17*max(DURATION*TB,0.04))", "0.1"
_EBML, _FTYP = b"\x1a\x45\xdf\xa3", b"ftyp"


def jumps(media: MediaInfo) -> bool:
    """Return True if the file's own clock cannot be used."""
    return warning_codes.CLOCK_JUMPS in media.warnings and not media.rewritten


def rewrite(
    source: SourceFile,
    target: Path,
    settings: Settings,
    should_stop: Callable[[], bool],
) -> None:
    """Copy the video of ``source`` to a NUT file with one clock.

    Every packet is copied, so all of ``source`` is fetched. Raises DecodeError,
    DiskFull, Timeout, Interrupted, and what ``source.ensure`` raises.
    """
    path = source.path
    size = path.stat().st_size
    source.ensure(0, size)
    limits = binary.bounds(settings, settings.limits.source_seconds)
    bounds = replace(limits, output_bytes=2 * size + _ROOM)
    before, after = _corrections(path)
    argv = [
        binary.path(settings),
        *("-hide_banner", "-nostdin", "-loglevel", "warning", "-y"),
        *("-protocol_whitelist", PROTOCOLS, "-format_whitelist", FORMATS),
        *("-max_streams", str(MAX_STREAMS), "-fflags", "+genpts"),
        *before,
        *("-i", f"file:{path.resolve()}", "-map", "0:V"),
        *("-c", "copy", *after, "-f", "nut", f"file:{target.name}"),
    ]
    done = process.run(
        argv,
        cwd=target.parent,
        bounds=bounds,
        should_stop=should_stop,
        source=LocalFile(path),
    )
    if "No space left on device" in done.log:
        raise DiskFull(
            "no space left for the copy of the source with a corrected clock"
        )
    if done.returncode != 0 or not target.is_file():
        raise DecodeError("the recordings in the file could not be joined")


def _corrections(path: Path) -> tuple[list[str], list[str]]:
    """Return options before and after ``-i`` that give the file one clock.

    Empty if FFmpeg corrects the times itself.
    """
    with path.open("rb") as file:
        head = file.read(8)
        if head.startswith(_EBML):
            return [], ["-bsf:v", _one_clock(_REORDERED)]
        if head[4:] == _FTYP:
            # Edit lists would drop times that occur again.
            return ["-ignore_editlist", "1"], ["-bsf:v", _one_clock(_REORDERED)]
        if not head.startswith(_PAGE):
            return [], []
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            heads = "+".join(f"eq(pos,{at})" for at in _head_pages(data))
    drop = f"noise=drop='{heads}'," if heads else ""
    # The filter sees the restart of the clock only with -copyts.
    return ["-copyts"], ["-bsf:v", f"{drop}{_one_clock(_NO_ORDER)}"]


def _one_clock(back: str) -> str:
    """Return the filter; ``back`` is how far back the next file starts, in seconds."""
    moved = _MOVED.format(back=back)
    decoded = _DECODED.format(moved=moved, back=back)
    return f"setts=pts='{moved}':dts='{decoded}'"


def _head_pages(data: mmap.mmap) -> list[int]:
    """Return the offsets of the pages that hold a video stream's headers.

    None if the headers differ: the decoder needs those of the next stream then, and
    the warning about damage is true of what it shows meanwhile.
    """
    pages = list(_headers(data))
    # Comments may differ: the size and the tables are what matters.
    starts = {page for _, page in pages if page.startswith(_STREAM_HEADS)}
    tables = {page[page.index(_TABLES) :] for _, page in pages if _TABLES in page}
    return [at for at, _ in pages] if max(len(starts), len(tables)) <= 1 else []


def _headers(data: mmap.mmap) -> Iterator[tuple[int, bytes]]:
    """Yield the offset and the content of each page of headers."""
    at = data.find(_PAGE)
    while 0 <= at < len(data) - _SEGMENTS_AT:
        count = data[at + _SEGMENTS_AT]
        sizes = data[at + _SEGMENTS_AT + 1 : at + _SEGMENTS_AT + 1 + count]
        content = at + _SEGMENTS_AT + 1 + count
        page = data[content : content + sum(sizes)]
        if page.startswith(_HEADS):
            yield at, page
        at = data.find(_PAGE, at + 1)


def as_of(media: MediaInfo, copy: MediaInfo) -> MediaInfo:
    """Return the facts of the copy, with the name, size and warnings of the file."""
    # The copy is whole, whatever the file is.
    cut = [one for one in media.warnings if one == warning_codes.CUT_OFF]
    warnings = dict.fromkeys([*cut, warning_codes.CLOCK_JUMPS, *copy.warnings])
    warnings.pop(warning_codes.DURATION_CORRECTED, None)
    return copy.model_copy(
        update={
            "container": media.container,
            "size": media.size,
            "bit_rate": media.bit_rate,
            "streams": media.streams,
            "audio": media.audio,
            "rewritten": True,
            "by_fragments": False,
            "warnings": list(warnings),
        }
    )
