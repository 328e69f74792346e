"""What acks tell, message by message."""

from __future__ import annotations

from protocol.mux.delivery import Delivery


def sending(*sizes: int, every_s: float = 0.1) -> Delivery:
    """A message each `every_s`, the first at 0."""
    delivery = Delivery()
    for number, size in enumerate(sizes):
        delivery.message_sent(size, number * every_s, probing=False)
    return delivery


def test_the_rate_is_what_came_over_the_time_from_sending_to_ack() -> None:
    delivery = sending(1000, 1000)
    first = delivery.acknowledged(1000, 0.5)
    assert first is not None
    assert (first.end, first.round_trip_s, delivery.rate) == (1000, 0.5, 2000)
    second = delivery.acknowledged(1000, 0.8)
    assert second is not None
    assert round(second.round_trip_s, 9) == 0.7
    assert delivery.rate == 2000 / 0.8 > 1000 / 0.7  # nothing was acked when it was sent


def test_acks_that_were_held_back_are_no_rate_since_sending_took_longer() -> None:
    delivery = sending(1000, 1000, every_s=1.0)
    delivery.acknowledged(1000, 2.9)
    delivery.message_sent(1000, 3.0, probing=False)
    delivery.acknowledged(2000, 3.1)
    assert delivery.rate == 2000 / 3.0 < 2000 / (3.1 - 2.9)


def test_the_largest_of_ten_rounds_counts_and_the_eleventh_forgets_it() -> None:
    delivery = Delivery()
    now = 0.0
    for took_s, rate in [(0.1, 10_000), *[(1.0, 10_000)] * 9, (1.0, 1000)]:
        delivery.restart(now)
        delivery.message_sent(1000, now, probing=False)
        now += took_s
        delivery.acknowledged(1000, now)
        assert round(delivery.rate) == rate


def test_a_probe_and_a_sender_with_nothing_more_never_lower_the_rate() -> None:
    for probing, idle in ((True, False), (False, True)):
        delivery = sending(1000)
        delivery.acknowledged(1000, 0.1)
        now = 0.1
        for _ in range(20):
            if idle:
                delivery.idle()
            delivery.message_sent(100, now, probing=probing)
            now += 1.0
            sample = delivery.acknowledged(100, now)
            assert sample is not None
            assert sample.limited
        assert delivery.rate == 10_000


def test_a_round_ends_with_what_was_sent_after_the_last_had_ended() -> None:
    delivery = sending(1000, 1000, 1000)
    ends = []
    for number in range(6):
        sample = delivery.acknowledged(1000, 1.0 + number)
        assert sample is not None
        ends.append(sample.ends_round)
        delivery.message_sent(1000, 1.0 + number, probing=False)
    assert ends == [True, False, False, True, False, False]


def test_repr_tells_how_far_it_is() -> None:
    delivery = sending(1000, 1000)
    delivery.acknowledged(1000, 0.5)
    assert repr(delivery) == "<Delivery 1000 of 2000 bytes, 2000 B/s>"
