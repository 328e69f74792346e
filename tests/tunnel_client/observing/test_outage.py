from __future__ import annotations

from tunnel_client.observing.events import Reconnecting
from tunnel_client.observing.lines import PlainLines
from tunnel_client.observing.outage import PAUSES_S, Outage

START = 1_790_000_000.0


def down(reason: str = "it is down", give_up_in_s: float | None = None) -> Reconnecting:
    return Reconnecting(1, 1.0, reason, give_up_in_s)


def test_an_hour_of_attempts_each_second_is_a_line_after_growing_pauses() -> None:
    outage = Outage()
    told = {at: said for at in range(3600) if (said := outage.says(START + at, down()))}
    assert list(told) == [0, 10, 40, *range(100, 3600, 60)]
    assert list(told.values())[:5] == [
        "it is down",
        "still no connection after 10 s",
        "still no connection after 40 s",
        "still no connection after 100 s",
        "still no connection after 3 min",
    ]


def test_another_reason_is_told_at_once_and_the_time_goes_on() -> None:
    outage = Outage()
    assert outage.says(START, down()) == "it is down"
    assert outage.says(START + 1, down("it is full")) == "it is full"
    assert outage.says(START + 1 + PAUSES_S[1] - 0.1, down("it is full")) is None
    assert outage.says(START + 1 + PAUSES_S[1], down("it is full")) == (
        "still no connection after 31 s"
    )


def test_each_outage_begins_with_its_reason() -> None:
    outage = Outage()
    for at in (START, START + 1):
        assert outage.says(at, down()) == "it is down"
        outage.over()
    assert outage.says(START + 2, down()) == "it is down"
    assert outage.says(START + 12, down()) == "still no connection after 10 s"


def test_an_earlier_end_of_the_attempts_is_news() -> None:
    """A person who has pressed Ctrl-C reads the line that follows."""
    outage = Outage()
    outage.says(START, down())
    assert outage.says(START + 1, down(give_up_in_s=600)) == "still no connection after 1.0 s"
    assert outage.says(START + 2, down(give_up_in_s=599.001)) is None
    assert outage.says(START + 3, down(give_up_in_s=8)) == "still no connection after 3.0 s"


def test_a_clock_that_is_set_back_silences_nothing() -> None:
    outage = Outage()
    outage.says(START, down())
    assert outage.says(START - 3600, down()) == "still no connection after 0.0 s"


def test_the_line_has_the_next_attempt_as_well() -> None:
    lines = PlainLines("3000")
    lines.text(START, down(), 0)
    assert lines.text(START + 1, down(), 0) == ""
    said = "still no connection after 10 s; trying again in 1.0 s (attempt 1), until it works\n"
    assert lines.text(START + 10, down(), 0).endswith(said)
