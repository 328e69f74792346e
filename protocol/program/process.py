"""Both programs as processes: exit codes, lines on stdout and stderr, version, garbage."""

from __future__ import annotations

import errno
import gc
import os
import signal
import sys
from typing import Final

from protocol.program.text import printable

EXIT_STOPPED: Final = 0  # by the user
EXIT_FAILED: Final = 1  # could not start
EXIT_BAD_USAGE: Final = 2  # a flag, a variable or a file that is not allowed
EXIT_REFUSED: Final = 3  # by the server, for good
EXIT_GAVE_UP: Final = 4  # no connection for as long as --give-up-after says


def complain(program: str, line: str) -> None:
    """Print a line on stderr that is safe for a terminal."""
    print(f"{program}: {printable(line)}", file=sys.stderr)


def say(program: str, text: str) -> int:
    """Print what was asked for on stdout. Returns the exit code: 0, or 1 if that fails."""
    try:
        if sys.__stdout__ is None:  # started without one; print() would say nothing about it
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        print(text, flush=True)
    except (OSError, UnicodeEncodeError) as error:
        return cannot_say(program, error)
    return EXIT_STOPPED


def cannot_say(program: str, error: OSError | UnicodeEncodeError) -> int:
    """Tell that stdout takes no more, if there was somebody who reads. Returns the exit code."""
    if isinstance(error, UnicodeEncodeError):
        complain(program, f"stdout is {error.encoding}, which cannot say all of it")
    elif not isinstance(error, BrokenPipeError):  # `config show | head`
        complain(program, f"stdout cannot be written: {error.strerror}")
    # What is left in the buffer goes nowhere: Python would complain once more when it ends.
    if sys.__stdout__ is not None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    return EXIT_FAILED


def open_files_max(*, raised: bool = False) -> int:
    """The number of descriptors that this process may have, by the limit that holds now.

    Args:
        raised: as far as it may raise that itself.
    """
    try:
        import resource  # of Unix; the client asks nobody
    except ImportError:
        return 1 << 30
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = hard if raised else soft
    return 1 << 30 if limit == resource.RLIM_INFINITY else limit


def version() -> str:
    """The version that is installed."""
    from importlib import metadata  # it loads the parsers of e-mail, 10 ms

    return metadata.version("trio-tunnel")


def end_quietly() -> None:
    """Let signals that ask for an end change nothing any more: the program is about to.

    A person who presses Ctrl-C once too often would else read a traceback of Python's own end.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def collect_rarely() -> None:
    """Collect circular garbage less often, once all is imported.

    What is imported lives for ever; and a tunnel makes garbage, but hardly any in circles. The
    usual 700 objects between collections cost 3 % of a request.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
