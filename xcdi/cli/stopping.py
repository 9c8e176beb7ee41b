"""How the command stops when it is asked to: Ctrl-C, or SIGTERM from a batch system."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Timer
from types import FrameType
from typing import Any

__all__ = ["finishing", "stoppable"]

AGAIN_S = 0.05
PATIENCE_S = 5.0  # for threads that are in the middle of something


@contextmanager
def stoppable() -> Iterator[None]:
    """Turn Ctrl-C into KeyboardInterrupt and SIGTERM into SystemExit(143): finished results stay, half ones go.

    Python loses such an exception when it happens to be raised in a destructor; it is then raised again. Threads
    cannot be interrupted: if they keep us for long, the process is ended under them, as results are whole or absent.
    """
    watchdogs: list[Timer] = []

    def leave(number: int, frame: FrameType | None) -> None:
        watchdogs.append(Timer(PATIENCE_S, _end, (128 + number,)))
        watchdogs[-1].daemon = True
        watchdogs[-1].start()
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    def again(lost: Any) -> None:
        error = lost.exc_value
        if isinstance(error, KeyboardInterrupt | SystemExit):
            number = signal.SIGINT if isinstance(error, KeyboardInterrupt) else signal.SIGTERM
            Timer(AGAIN_S, os.kill, (os.getpid(), number)).start()
        else:
            hook(lost)

    hook, sys.unraisablehook = sys.unraisablehook, again
    before = {number: signal.signal(number, leave) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = hook
        for watchdog in watchdogs:
            watchdog.cancel()


def _end(status: int) -> None:
    print("stopped in the middle of a scan; what is done is written, the same command goes on from here", flush=True)
    os._exit(status)


@contextmanager
def finishing() -> Iterator[tuple[Event, list[int]]]:
    """Turn the first Ctrl-C or SIGTERM into a wish to finish; the second Ctrl-C stops at once.

    Yields
    ------
    Event, list of int
        Set when somebody asked; and the numbers of the signals that came.
    """
    stop = Event()
    asked: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        usual = before[number]
        if asked and number == signal.SIGINT and callable(usual):
            usual(number, frame)
        asked.append(number)
        stop.set()

    before: dict[int, Any] = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop, asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
