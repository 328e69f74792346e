"""Windows on whole lines in virtual time: two real cores above a model of TCP."""

from __future__ import annotations

import pytest

from protocol.limits import KIB, START_WINDOW_BYTES
from protocol.mux.windows import ReceiveWindow
from tests.protocol.mux.lines.trial import BYTES_PER_MBIT, Line, Trial

HEADERS = 0.965  # what the headers of TCP and IP leave of a line


def window_of(trial: Trial) -> ReceiveWindow:
    """Of the download, at the server; the echo is the first stream."""
    return trial.session.server.core.streams[2].receiving.window


def promised(trial: Trial) -> int:
    window = window_of(trial)
    return window.granted - window.consumed


def test_a_line_that_has_become_long_is_filled_within_eight_seconds() -> None:
    """A VPN that is switched on: the round trip that is known is 5 ms, and pings are 15 s apart."""
    trial = Trial(Line(5, 50), downloads=1)
    trial.timeline.run(3)
    trial.change(rtt_ms=100)
    trial.timeline.run(11)
    assert trial.rate(13) > 0.9 * HEADERS * 50 * BYTES_PER_MBIT


@pytest.mark.slow
def test_window_does_not_grow_where_the_line_is_the_limit() -> None:
    trial = Trial(Line(40, 10), downloads=1)
    trial.timeline.run(20)  # a ping beside bulk tells a longer round trip
    assert promised(trial) <= START_WINDOW_BYTES


def test_window_does_not_grow_for_a_slow_reader() -> None:
    trial = Trial(Line(40, 100), downloads=1)
    trial.session.server.reader_bytes_per_s = 1e6
    trial.timeline.run(10)
    assert promised(trial) <= START_WINDOW_BYTES


def test_window_shrinks_when_its_reader_became_slow() -> None:
    trial = Trial(Line(100, 100), downloads=1)
    trial.timeline.run(5)
    assert promised(trial) > 2048 * KIB
    trial.session.server.reader_bytes_per_s = 1e6
    trial.timeline.run(15)
    assert promised(trial) <= 512 * KIB


@pytest.mark.slow
def test_window_grows_again_when_its_reader_became_fast() -> None:
    trial = Trial(Line(100, 50), downloads=1)
    trial.session.server.reader_bytes_per_s = 1e6
    trial.timeline.run(5)
    trial.session.server.reader_bytes_per_s = 1e9
    trial.timeline.run(8)
    assert trial.rate(10) > 0.9 * HEADERS * 50 * BYTES_PER_MBIT
