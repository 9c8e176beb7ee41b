"""The ``xcdi`` command."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import Any

import typer

from xcdi.cli.commands import app
from xcdi.cli.stopping import stoppable
from xcdi.errors import XcdiError
from xcdi.jobs.job import one_line
from xcdi.jobs.setup import plain_warnings

__all__ = ["main"]

UsageError: Any = typer.BadParameter.__base__  # typer may bring its own click, or import it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Returns
    -------
    int
        0 all well; 1 some scans failed; 2 nothing could be done, with one line that says why;
        130 stopped by Ctrl-C and 143 by SIGTERM, finished results kept.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 loses an arrow, not the run
    try:
        with stoppable(), plain_warnings():
            return app(list(sys.argv[1:] if arguments is None else arguments) or ["--help"], prog_name="xcdi", standalone_mode=False) or 0
    except UsageError as error:
        return _complain(_message(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader of our output has gone, as `head` does
        return 141
    except (XcdiError, OSError) as error:
        return _complain(one_line(error))
    except KeyboardInterrupt:
        return 130
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1


def _complain(message: str) -> int:
    print(f"xcdi: {message}", file=sys.stderr)
    return 2


def _message(error: Any) -> str:
    command = error.ctx.command_path.removeprefix("xcdi").strip() if error.ctx else ""
    text = " ".join(error.format_message().removeprefix("Value error, ").split()).rstrip(".")
    return f"{command}{': ' if command else ''}{text[:1].lower()}{text[1:]}; see 'xcdi {command}{' ' if command else ''}--help'"
