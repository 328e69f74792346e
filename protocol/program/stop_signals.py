"""The signals that ask a program to stop, from the first one until the program has ended.

trio's receiver puts back what it found when it closes, and sends once more what nobody has read. So
a person who presses Ctrl-C five times, or a supervisor that is in a hurry, would end a program that
is just about to end by itself with exit code 0. Here what is found is a handler that keeps
numbers: what comes in the moment before the receiver listens reaches it, and what comes behind its
end changes nothing.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final

import trio

STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stop_signals() -> Iterator[AsyncIterator[int]]:
    """Receive SIGINT and SIGTERM inside; behind it they change nothing any more."""
    early: list[int] = []
    for number in STOP_SIGNALS:
        signal.signal(number, lambda received, _: early.append(received))
    with trio.open_signal_receiver(*STOP_SIGNALS) as signals:
        for received in early:
            signal.raise_signal(received)
        yield signals
