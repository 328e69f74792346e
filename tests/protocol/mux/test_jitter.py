"""The allowance for a line's noise, ack by ack: 1 MB/s, one that is usual brings 10,000 bytes."""

from __future__ import annotations

import pytest

from protocol.mux.jitter import Jitter

RATE = 1e6
USUAL = 10_000.0
SLACK_S = 0.02


class Acks:
    """Acks of a line; bulk waits for room, and the peer has no data, unless a test says else."""

    def __init__(
        self, *, waits: bool = True, ridden: float = 0.0, slack_s: float = SLACK_S
    ) -> None:
        self.jitter = Jitter()
        self.now = 0.0
        self.waits, self.ridden, self.slack_s = waits, ridden, slack_s
        self._count = 0

    def steady(self, seconds: float) -> None:
        """One each 10 ms, for what the line carries in that time."""
        for _ in range(round(seconds / 0.01)):
            self.now += 0.01
            self.ack(10_000)

    def silence(self, seconds: float) -> float:
        """Nothing for so long, and then all of it at once; returns the largest allowance."""
        self.now += seconds
        self.ack(int(RATE * seconds))
        most = 0.0
        for _ in range(round(seconds * 1200)):  # the bucket drains a tenth faster than it is filled
            self.steady(0.01)
            most = max(most, self.jitter.allowance_s)
        return most

    def ack(self, size: int) -> None:
        self._count += 1
        alone = int(self._count * self.ridden) == int((self._count - 1) * self.ridden)
        self.jitter.acknowledged(
            size, self.now, RATE, USUAL, self.slack_s, waits=self.waits, alone=alone
        )


def test_a_steady_line_is_allowed_nothing() -> None:
    acks = Acks()
    acks.steady(10)
    assert acks.jitter.allowance_s == 0


def test_what_came_at_once_after_a_silence_raises_the_allowance() -> None:
    # 30 ms, less what is usual, is 20; 0.4 of the slack is 8; 1.5 of the difference is 18.
    assert Acks().silence(0.03) == pytest.approx(0.018)


def test_one_burst_raises_the_allowance_by_the_slack_at_most() -> None:
    assert Acks().silence(0.5) == pytest.approx(SLACK_S)
    assert Acks(slack_s=0.1).silence(0.5) == pytest.approx(0.1)


@pytest.mark.parametrize(("silence_s", "raised"), [(0.018, False), (0.019, True)])
def test_a_burst_within_two_fifths_of_the_slack_raises_nothing(
    silence_s: float, *, raised: bool
) -> None:
    assert (Acks().silence(silence_s) > 0) is raised


def test_bulk_that_did_not_wait_for_room_lacked_none() -> None:
    assert Acks(waits=False).silence(0.2) == 0


@pytest.mark.parametrize(("ridden", "two_ways", "hears"), [(0.2, 0, 1), (0.5, 1, 1), (0.75, 1, 0)])
def test_nothing_is_learnt_while_most_acks_ride_on_data_of_the_peers(
    ridden: float, *, two_ways: bool, hears: bool
) -> None:
    acks = Acks(ridden=ridden)
    acks.steady(2)
    assert acks.jitter.two_ways == two_ways
    assert (acks.silence(0.2) > 0) == hears


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
    assert Acks(slack_s=0.3).silence(1.0) == pytest.approx(0.3)
    assert Acks(slack_s=0.4).silence(1.0) == pytest.approx(0.3)


def test_a_pause_of_ours_is_no_silence_of_the_line_and_ages_what_was_learnt() -> None:
    acks = Acks()
    acks.jitter.allowance_s = 0.2
    acks.steady(1)
    acks.now += 1.0
    acks.steady(0.01)
    assert acks.jitter.allowance_s == pytest.approx(0.2 - 2.01 * 0.08)
    acks.now += 5.0
    acks.steady(1)
    assert acks.jitter.allowance_s == 0


def test_a_burst_that_empties_the_line_counts_although_a_pause_follows() -> None:
    acks = Acks()
    acks.now += 0.03
    acks.ack(30_000)
    acks.now += 0.1
    acks.steady(0.01)
    assert acks.jitter.allowance_s == pytest.approx(0.018, abs=0.001)


def test_repr_tells_the_allowance() -> None:
    jitter = Jitter()
    assert repr(jitter) == "<Jitter 0.0000 s, 0 of 0 bytes, 0.00 ridden>"
    jitter.acknowledged(50_000, 1.0, RATE, USUAL, SLACK_S, waits=True, alone=False)
    assert repr(jitter) == "<Jitter 0.0000 s, 40000 of 50000 bytes, waited, 0.03 ridden>"
