"""A local copy of a source that holds only what was asked for, and grows.

The copy is a sparse file of the source's full length. :meth:`SparseCopy.ensure` brings
what is missing of a range before it returns, so whoever calls it before each read never
sees a hole. The block map beside the file is shared: all processes that have the copy
open fill it together, and none fetches what another has or is fetching.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from common.errors import DiskFull, Interrupted, SourceError, StorageUnavailable
from common.model import SourceReading, WholeReason
from common.storage.port import RangesIgnored, disk_errors
from worker.source.block_map import BlockMap, Run
from worker.source.copies import DOING
from worker.source.origin import Origin
from worker.source.read_ahead import ReadAhead

_MIB = 1024 * 1024
# How much one request asks for: several of them share a wide window, and a large whole.
_WINDOW_SPAN, _WHOLE_SPAN = _MIB, 8 * _MIB
_LEAST_AHEAD, _EARLY, _MOST_AHEAD = 128 * 1024, 2 * _MIB, 4 * _MIB
# How often a wait looks whether the attempt was stopped, and whether another process
# has got on with the blocks that it locked.
_LOOK_SECONDS, _OTHERS_SECONDS = 0.1, 0.01


@dataclass(frozen=True)
class Surroundings:
    """What a copy gets from those who opened it.

    ``requests`` is how many requests run at once. ``should_stop`` ends every wait.
    ``grown`` is told the bytes that were written. ``make_room`` frees disk space.
    """

    requests: int
    should_stop: Callable[[], bool]
    grown: Callable[[int], None]
    make_room: Callable[[], None]


class SparseCopy:
    """An open copy at ``path``; threads may share it, and :meth:`close` ends it.

    From a storage that turns out to ignore ranges, one request brings the whole source.
    """

    def __init__(
        self,
        path: Path,
        blocks: BlockMap,
        origin: Origin,
        surroundings: Surroundings,
    ) -> None:
        self.path = path
        self._map = blocks
        self._layout = blocks.layout
        self._origin = origin
        self._around = surroundings
        self._data = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        block = self._layout.block
        self._ahead = ReadAhead(
            self._layout.blocks,
            least=max(1, _LEAST_AHEAD // block),
            early=max(1, _EARLY // block),
            most=max(1, _MOST_AHEAD // block),
        )
        self._context = copy_context()
        self._complete = False
        self._hole = 0  # a block that was missing when last looked at
        self._bytes = self._requests = 0
        # All below is guarded by one lock. Those who wait for blocks are told of every
        # change; the threads that fetch, only of work, since there are many of them.
        lock = threading.RLock()
        self._changed = threading.Condition(lock)
        self._work_came = threading.Condition(lock)
        self._whole_reason: WholeReason | None = None
        self._wanted: deque[Run] = deque()
        self._under_way: set[int] = set()
        self._failed: list[tuple[Run, Exception]] = []
        self._rest = False
        self._rest_from = 0
        self._threads = self._idle = 0
        self._closed = False

    @property
    def complete(self) -> bool:
        """Whether every byte is there."""
        if not self._complete and self._map.has((self._hole, self._hole + 1)):
            gaps = self._map.missing((0, self._layout.blocks))
            self._complete = not gaps
            if gaps:
                self._hole = gaps[-1][0]
        return self._complete

    @property
    def reading(self) -> SourceReading:
        """What was read of the source through this copy so far."""
        return SourceReading(
            access="whole" if self._whole_reason else "sparse",
            access_reason=self._whole_reason,
            bytes_read=self._bytes,
            requests=self._requests,
        )

    def ensure(self, start: int, end: int) -> None:
        """Return once the bytes from ``start`` to before ``end`` are in the file.

        What lies past the source's end does not matter. Raises SourceChanged and other
        SourceErrors, StorageUnavailable, Unreachable, DiskFull; Interrupted soon after
        the attempt was stopped.
        """
        if self._closed:
            raise Interrupted("the copy of the source was closed")
        if start >= min(end, self._layout.size) or self.complete:
            return
        run = self._layout.covering(start, end)
        if self._map.has(run):
            self._continue(run)
            return
        with self._changed:
            self._forget(run)
            self._begin(self._ahead.miss(run))
            self._await(lambda: self._map.has(run), run)
            if not self._rest and self._map.present * 2 > self._layout.blocks:
                self._begin_rest()

    def ensure_all(self, spans: Iterable[tuple[int, int]]) -> None:
        """Return once these ranges of bytes are there, and as little else as possible.

        Raises what :meth:`ensure` raises.
        """
        runs = [self._layout.covering(*span) for span in spans]
        with self._changed:
            for run in runs:
                self._forget(run)
                self._begin(run)
            for run in runs:
                self._await(partial(self._map.has, run), run)

    def ensure_whole(self, reason: WholeReason) -> None:
        """Fetch all that is missing; raises what :meth:`ensure` raises."""
        with self._changed:
            self._whole_reason = reason
            self._begin_rest()
            self._await(lambda: self.complete, (0, self._layout.blocks))

    def close(self) -> None:
        """Stop what is under way. What was written stays, and nothing more is asked."""
        with self._changed:
            released = self._closed or self._threads
            self._closed = True
            self._changed.notify_all()
            self._work_came.notify_all()
            if not released:
                self._release()

    def _continue(self, run: Run) -> None:
        """Fetch on early, if a program reads through the file."""
        with self._changed:
            further = self._ahead.hit(run)
            if further is not None:
                self._begin(further)

    def _begin(self, run: Run) -> None:
        """Ask for what is missing of ``run`` and not under way."""
        if not self._by_ranges:
            self._begin_rest()
            return
        most = max(1, _WINDOW_SPAN // self._layout.block)
        for gap in self._map.missing(run):
            for span in list(self._free(gap, most)):
                self._under_way.update(range(*span))
                self._wanted.append(span)
                self._employ()

    @property
    def _by_ranges(self) -> bool:
        return self._whole_reason != "no_ranges"

    def _give_up_ranges(self) -> None:
        """Have one request bring the whole source, in place of all that wait."""
        if self._by_ranges:
            self._whole_reason = "no_ranges"
            for span in self._wanted:
                self._under_way.difference_update(range(*span))
            self._wanted.clear()
            self._rest, self._rest_from = True, 0
            self._work_came.notify_all()

    def _begin_rest(self) -> None:
        self._rest, self._rest_from = True, 0
        for _ in range(self._around.requests):
            self._employ()

    def _free(self, gap: Run, most: int) -> Iterator[Run]:
        """Cut ``gap`` into spans of at most ``most`` blocks, none under way."""
        begin = None
        for number in range(*gap):
            if begin is not None and (
                number in self._under_way or number - begin == most
            ):
                yield begin, number
                begin = None
            if begin is None and number not in self._under_way:
                begin = number
        if begin is not None:
            yield begin, gap[1]

    def _employ(self) -> None:
        """Have a thread look for work; start one if too few are idle."""
        if self._closed:
            raise Interrupted("the copy of the source was closed")
        most = self._around.requests
        wanted = most if self._rest else len(self._wanted)
        if self._idle < wanted and self._threads < most:
            self._threads += 1
            # For the task that opened the copy, whoever asks for more of it.
            work = partial(self._context.copy().run, self._work)
            threading.Thread(target=work, name="source", daemon=True).start()
        self._work_came.notify()

    def _await(self, done: Callable[[], bool], run: Run) -> None:
        """Wait until ``done``; raise what kept blocks of ``run`` from coming."""
        while not done():
            self._raise_failure(run)
            if self._closed or self._around.should_stop():
                raise Interrupted("stopped while the source was read")
            if not self._changed.wait(_LOOK_SECONDS) and not self._busy():
                # Another call took the failure of a span that both waited for.
                self._begin(run)

    def _busy(self) -> bool:
        return bool(self._under_way) or self._rest

    def _forget(self, run: Run) -> None:
        """Forget that a fetch ahead failed, before the same is asked for in earnest."""
        self._failed = [
            (failed, error)
            for failed, error in self._failed
            if failed[0] >= run[1] or run[0] >= failed[1]
        ]

    def _raise_failure(self, run: Run) -> None:
        for place, (failed, error) in enumerate(self._failed):
            overlaps = failed[0] < run[1] and run[0] < failed[1]
            if overlaps or isinstance(error, SourceError):
                del self._failed[place]
                raise error

    def _work(self) -> None:
        """Fetch spans until the copy is closed; a thread of its own."""
        while (span := self._take()) is not None:
            failure: Exception | None = None
            try:
                self._fill(span)
            except Exception as error:  # noqa: BLE001 - raised by the call that waits
                failure = error
            with self._changed:
                self._under_way.difference_update(range(*span))
                if isinstance(failure, RangesIgnored):
                    self._give_up_ranges()
                elif failure is not None:
                    self._rest = False
                    self._failed.append((span, failure))
                self._changed.notify_all()

    def _take(self) -> Run | None:
        """Return the next span, asked for or of the rest; None after the end."""
        with self._changed:
            while not self._closed:
                if self._wanted:
                    return self._wanted.popleft()
                if self._rest and (span := self._next_of_rest()):
                    return span
                self._idle += 1
                self._work_came.wait()
                self._idle -= 1
            self._threads -= 1
            if not self._threads:
                self._release()
            return None

    def _next_of_rest(self) -> Run | None:
        everything = (0, self._layout.blocks)
        if self._by_ranges:
            most = max(1, _WHOLE_SPAN // self._layout.block)
            gaps = self._map.missing((self._rest_from, everything[1]))
            spans = (span for gap in gaps for span in self._free(gap, most))
            found = next(spans, None)
        elif self._under_way:
            return None  # the request for all of it waits for the end of the others
        else:
            found = None if self._map.has(everything) else everything
        if found is None:
            self._rest = False
            return None
        self._rest_from = found[1]
        self._under_way.update(range(*found))
        return found

    def _release(self) -> None:
        os.close(self._data)
        self._map.close()

    def _fill(self, span: Run) -> None:
        """Fetch what is missing of ``span`` and what no other process is fetching."""
        while gaps := self._map.missing(span):
            if not self._fetch_unless_claimed(gaps[0] if self._by_ranges else span):
                with self._changed:
                    self._changed.wait(_OTHERS_SECONDS)
                self._check()

    def _fetch_unless_claimed(self, run: Run) -> bool:
        """Fetch ``run`` up to where another process does; return False if nothing.

        Without ranges, nothing is fetched unless all of ``run`` is free.
        """
        claim = self._map.claim(run)
        if claim is None:
            return False
        with claim:
            # Another process may have fetched some of it before the claim.
            gaps = self._map.missing(claim.run)
            if not self._by_ranges:
                if claim.run != run:
                    return False
                gaps = gaps and [run]
            for gap in gaps:
                self._fetch(gap)
        return True

    def _fetch(self, gap: Run) -> None:
        at, end = self._layout.bytes_of(gap)
        first = gap[0]
        with self._changed:
            self._requests += 1
        for chunk in self._origin.read(at, end):
            self._check()
            self._write(at, chunk)
            at += len(chunk)
            upto = gap[1] if at >= end else at // self._layout.block
            if upto > first:
                self._map.mark((first, upto))
            first = upto
            with self._changed:
                self._bytes += len(chunk)
                self._changed.notify_all()
        if at < end:
            raise StorageUnavailable(
                f"the source's storage sent {end - at} bytes less than it was asked for"
            )

    def _check(self) -> None:
        if self._closed or self._around.should_stop():
            raise Interrupted("stopped while the source was read")

    def _write(self, at: int, chunk: bytes) -> None:
        try:
            with disk_errors(DOING):
                _write_all(self._data, chunk, at)
        except DiskFull:
            self._around.make_room()
            with disk_errors(DOING):
                _write_all(self._data, chunk, at)
        self._around.grown(len(chunk))


def _write_all(descriptor: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, at)
        view, at = view[written:], at + written
