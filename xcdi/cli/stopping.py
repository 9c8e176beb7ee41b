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


@contextmanager
def stoppable() -> Iterator[None]:
    """Turn SIGTERM into SystemExit(143), as Ctrl-C is KeyboardInterrupt: finished results stay, half ones go.

    Python loses such an exception when it happens to be raised in a destructor; it is then raised again.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)  # through every 'finally' and past every 'except'

    def again(lost: Any) -> None:
        error = lost.exc_value
        if isinstance(error, KeyboardInterrupt | SystemExit):
            number = signal.SIGINT if isinstance(error, KeyboardInterrupt) else signal.SIGTERM
            Timer(AGAIN_S, os.kill, (os.getpid(), number)).start()
        else:
            hook(lost)

    hook, sys.unraisablehook = sys.unraisablehook, again
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        sys.unraisablehook = hook


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
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.append(number)
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop, asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
