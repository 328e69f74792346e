"""The allowance for a line's noise, ack by ack: 1 MB/s, one that is usual brings 10,000 bytes."""

from __future__ import annotations

import pytest

from protocol.mux.jitter import Jitter

RATE = 1e6
USUAL = 10_000.0
SLACK_S = 0.02


class Acks:
    """Acks of a line; bulk waits for room, and the peer has no data, unless a test says else."""

    def __init__(self, *, waits: bool = True, alone: bool = True) -> None:
        self.jitter = Jitter()
        self.now = 0.0
        self.waits, self.alone = waits, alone

    def steady(self, seconds: float) -> None:
        """One each 10 ms, for what the line carries in that time."""
        for _ in range(round(seconds / 0.01)):
            self.now += 0.01
            self._ack(10_000)

    def silence(self, seconds: float) -> float:
        """Nothing for so long, and then all of it at once; returns the largest allowance."""
        self.now += seconds
        self._ack(int(RATE * seconds))
        most = 0.0
        for _ in range(round(seconds * 1200)):  # the bucket drains a tenth faster than it is filled
            self.steady(0.01)
            most = max(most, self.jitter.allowance_s)
        return most

    def _ack(self, size: int) -> None:
        self.jitter.acknowledged(
            size, self.now, RATE, USUAL, SLACK_S, waits=self.waits, alone=self.alone
        )


def test_a_steady_line_is_allowed_nothing() -> None:
    acks = Acks()
    acks.steady(10)
    assert acks.jitter.allowance_s == 0


def test_what_came_at_once_after_a_silence_raises_the_allowance() -> None:
    # 50 ms, less what is usual, is 40; 0.4 of the slack is 8; 1.5 of the difference is 48.
    assert Acks().silence(0.05) == pytest.approx(0.048)


@pytest.mark.parametrize(("silence_s", "raised"), [(0.018, False), (0.019, True)])
def test_a_burst_within_two_fifths_of_the_slack_raises_nothing(
    silence_s: float, *, raised: bool
) -> None:
    assert (Acks().silence(silence_s) > 0) is raised


def test_bulk_that_did_not_wait_for_room_lacked_none() -> None:
    assert Acks(waits=False).silence(0.2) == 0


def test_a_burst_that_was_made_by_the_peers_own_data_raises_nothing() -> None:
    acks = Acks(alone=False)
    acks.steady(0.2)
    assert acks.silence(0.2) == 0


def test_the_allowance_falls_by_80_ms_in_a_second_of_waiting() -> None:
    acks = Acks()
    acks.jitter.allowance_s = 0.2
    acks.steady(1)
    assert acks.jitter.allowance_s == pytest.approx(0.12)
    acks.steady(2)
    assert acks.jitter.allowance_s == 0


def test_the_allowance_falls_half_as_fast_while_the_kernel_is_the_limit_and_not_the_cap() -> None:
    acks = Acks(waits=False)
    acks.jitter.allowance_s = 0.2
    acks.steady(1)
    assert acks.jitter.allowance_s == pytest.approx(0.16)


def test_the_allowance_is_bounded() -> None:
    acks = Acks()
    for _ in range(20):
        assert acks.silence(1.0) <= 0.3


def test_a_pause_of_ours_is_no_silence_of_the_line() -> None:
    acks = Acks()
    acks.steady(1)
    acks.now += 5.0
    acks.jitter.restart(acks.now)
    acks.steady(1)
    assert acks.jitter.allowance_s == 0


def test_repr_tells_the_allowance() -> None:
    assert repr(Jitter()) == "<Jitter 0.0000 s, 0 bytes>"
