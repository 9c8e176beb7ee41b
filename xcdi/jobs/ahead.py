"""An iterator that is read ahead in a thread, with bounded memory and a way to stop waiting."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, Queue
from threading import Event, Thread
from typing import Any

from xcdi.jobs.job import MENDABLE

__all__ = ["Ahead"]

LOOK_S = 0.1  # between two looks at `stop`
CLOSE_S = 2.0  # that a thread which waits for the detector is given to end


class Ahead:
    """Items of a slow source, fetched while the last one is worked on.

    Parameters
    ----------
    source : iterator
        Waits for the outside world, perhaps for long.
    stop : Event
        Once set, what was fetched is still given, and nothing is waited for.
    most : int
        Items fetched but not given; the source waits when there are more.
    fetch : callable
        Applied to every item in the thread of the source: reading and decoding.
    size : callable
        What an item counts for in `fetched` and `given`.

    Attributes
    ----------
    fetched, given : int
        Sum of `size` over the items that came, and that were handed on.
    fetched_at : float
        When the item handed on last had come, on the monotonic clock [s].
    last : object
        The item handed on last.
    error : exception or None
        What ended the source early, where a user can mend it.

    Examples
    --------
    >>> list(Ahead(iter("abc"), Event()))
    ['a', 'b', 'c']
    """

    def __init__(
        self,
        source: Iterator[Any],
        stop: Event,
        *,
        most: int = 4,
        fetch: Callable[[Any], Any] = lambda item: item,
        size: Callable[[Any], int] = lambda item: 1,
    ) -> None:
        self._source, self._fetch, self._size = source, fetch, size
        self._queue: Queue[tuple[float, Any] | None] = Queue(maxsize=most)
        self._ended = self._closed = False
        self.stop = stop
        self.fetched = self.given = 0
        self.fetched_at = time.monotonic()
        self.last: Any = None
        self.error: BaseException | None = None
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Any]:
        while True:
            try:
                item = self._queue.get(timeout=LOOK_S)
            except Empty:
                if self.stop.is_set():
                    return
                continue
            if item is None:
                break
            self.fetched_at, self.last = item
            self.given += self._size(self.last)
            yield self.last
        if not self._ended:
            raise RuntimeError("reading ahead failed: a bug, its traceback is above")

    def close(self) -> None:
        """Give up: what was fetched is dropped, and the thread is waited for, so that nothing is read while the process ends."""
        self._closed, begin = True, time.monotonic()
        while self._thread.is_alive():
            with suppress(Empty):
                self._queue.get_nowait()
            self._thread.join(LOOK_S)
            if time.monotonic() - begin > CLOSE_S:
                return

    def _run(self) -> None:
        try:
            for item in self._source:
                value = self._fetch(item)
                self.fetched += self._size(value)
                self._queue.put((time.monotonic(), value))
                if self.stop.is_set() or self._closed:
                    break
            self._ended = True
        except MENDABLE as error:
            self.error, self._ended = error, True
        finally:
            self._queue.put(None)
