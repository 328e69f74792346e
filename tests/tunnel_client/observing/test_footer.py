"""What the footer says, and how it stands on a terminal."""

from __future__ import annotations

import pytest

from tunnel_client.observing.events import (
    ClientEvent,
    ClientStopping,
    OriginCameUp,
    OriginWentDown,
    ProgramStopped,
    Reconnecting,
    RequestEnded,
    SessionResumed,
    TunnelReady,
    TunnelRefused,
)
from tunnel_client.observing.footer import Footer, FooterNumbers, Shown, Transfer
from tunnel_client.observing.footer_layout import lay_out
from tunnel_client.observing.painter import footer_rows
from tunnel_client.observing.widths import width

URL = "https://brisk-otter-k3v9q2mz.tunnel.example.com"
READY = TunnelReady(URL, "brisk-otter-k3v9q2mz", "https://tunnel.example.com")
DOWN = OriginWentDown("nothing listens on http://localhost:3000", 3.0)
LOST = Reconnecting(1, 3.0, "the server does not answer.")
STOPPING = ClientStopping(2, 8.0, b"GET", b"/", 1.0, 0, None, 0, None)
VIDEO = Transfer(b"GET", b"/video.mp4?token=abcdefgh", 41_900_000, 100_000_000, 12_300_000.0)
BACKUP = Transfer(b"PUT", b"/backup", 5_000_000, None, 999.6)


class Seen:
    """A sight of numbers that stay as they are."""

    def __init__(self, numbers: FooterNumbers) -> None:
        self._numbers = numbers

    def numbers(self) -> FooterNumbers:
        return self._numbers


def footer(*told: ClientEvent, numbers: FooterNumbers | None = None) -> Footer:
    """A footer that heard all of it at 100 s."""
    made = Footer("http://localhost:3000")
    if numbers is not None:
        made.sight = Seen(numbers)
    for event in told:
        made.heard(100.0, event)
    return made


def shown(made: Footer, now: float = 100.0) -> Shown:
    words = made.shown(now)
    assert words is not None
    return words


def texts(made: Footer, now: float = 100.0, columns: int = 80, rows: int = 24) -> list[str]:
    return [line.text for line in lay_out(shown(made, now), columns, rows)]


def test_a_footer_stands_from_ready_to_the_last_event() -> None:
    assert footer().shown(0.0) is None
    assert footer(RequestEnded(1, b"GET", b"/", 200, 0, 0, 1.0, None, 0)).shown(0.0) is None
    assert footer(READY).shown(0.0) is not None
    assert footer(READY, TunnelRefused("taken-over", "x")).shown(0.0) is None
    assert footer(READY, ProgramStopped("x")).shown(0.0) is None


def test_it_says_where_to_how_and_how_much() -> None:
    made = footer(READY, numbers=FooterNumbers(0.0413, 1234, 2))
    made.inspector = "http://127.0.0.1:4040"
    assert texts(made) == [
        "-" * 79,
        f"{URL} -> localhost:3000",
        "connected, 41 ms | 1,234 requests, 2 open | inspect http://127.0.0.1:4040",
    ]


@pytest.mark.parametrize(
    ("round_trip_s", "said"),
    [(None, "connected"), (0.00031, "connected, 0.3 ms"), (0.0413, "connected, 41 ms")],
)
def test_the_round_trip_is_said_once_it_is_known(round_trip_s: float | None, said: str) -> None:
    assert shown(footer(READY, numbers=FooterNumbers(round_trip_s))).state == said


def test_one_request_is_one() -> None:
    assert shown(footer(READY, numbers=FooterNumbers(None, 1, 1))).facts == ("1 request, 1 open",)


def test_offline_says_for_how_long_why_and_what_is_next() -> None:
    made = footer(READY, LOST)
    why = "the server does not answer"
    assert shown(made, 100.0).state == f"offline for 0 s: {why}; next try in 3 s, until it works"
    assert shown(made, 101.2).state == f"offline for 1 s: {why}; next try in 2 s, until it works"
    assert shown(made, 103.0).state == f"offline for 3 s: {why}; trying now, until it works"
    made.heard(112.0, Reconnecting(2, 3.0, why, 57.0))
    assert shown(made, 112.0).state == f"offline for 12 s: {why}; next try in 3 s, for 57 s more"
    assert shown(made, 400.0).state == f"offline for 5 min: {why}; trying now, for 0 s more"
    made.heard(401.0, SessionResumed(301.0))
    assert shown(made, 401.0).state == "connected"


def test_a_reason_that_is_a_question_gets_no_other_mark() -> None:
    made = footer(READY, LOST._replace(reason="is it running?"))
    assert shown(made).state.startswith("offline for 0 s: is it running? next try in 3 s")


@pytest.mark.parametrize("url", ["https://a.example", URL])
@pytest.mark.parametrize("reason", ["x" * 500, "why " * 100, "日本 " * 100])
def test_what_happens_next_stands_on_the_smallest_terminal_whatever_the_reason(
    reason: str, url: str
) -> None:
    lost = LOST._replace(reason=reason, wait_s=119.0, give_up_in_s=119.0)
    made = footer(READY._replace(url=url), lost, numbers=FooterNumbers(None, 10**6, 10**3))
    said = " ".join(texts(made, columns=40, rows=12))
    assert url in said
    assert "next try in 119 s, for 119 s more" in said


def test_before_the_first_connection_there_is_no_url() -> None:
    made = footer(LOST)
    assert texts(made) == [
        "-" * 79,
        "not connected yet: the server does not answer; next try in 3 s, until it works",
    ]


def test_it_says_that_the_app_is_down_until_it_is_back() -> None:
    made = footer(READY, DOWN)
    said = "nothing listens on http://localhost:3000; requests wait for it, 3 s each"
    assert texts(made)[-1] == said
    made.heard(101.0, OriginCameUp())
    assert texts(made)[-1] == "connected"


def test_a_stop_counts_down() -> None:
    made = footer(READY, STOPPING)
    assert texts(made, 102.5)[-1] == "stopping within 6 s; Ctrl-C again ends it now"
    assert texts(made, 200.0)[-1] == "stopping within 0 s; Ctrl-C again ends it now"


def test_long_transfers_have_a_line_each_without_secrets() -> None:
    made = footer(READY, numbers=FooterNumbers(transfers=(VIDEO, BACKUP)))
    assert texts(made)[1:3] == [
        "GET /video.mp4?token=•••  41 %  12.3 MB/s",
        "PUT /backup  5.0 MB  1.0 kB/s",
    ]


def test_on_a_narrow_terminal_the_url_is_whole_and_the_rest_fits() -> None:
    path = b"/" + b"x" * 100
    made = footer(
        READY,
        LOST,
        DOWN,
        numbers=FooterNumbers(0.0413, 1234, 2, (VIDEO._replace(path=path),)),
    )
    made.inspector = "http://127.0.0.1:4040"
    lines = texts(made, columns=40, rows=24)
    assert lines == [
        "-" * 39,
        "GET /xxxxxxxxxxxxxx...  41 %  12.3 MB/s",
        URL,
        "offline for 0 s: the server does not",
        "answer; next try in 3 s, until it works",
        "1,234 requests, 2 open",
        "inspect http://127.0.0.1:4040",
        "nothing listens on",
        "http://localhost:3000; requests wait",
        "for it, 3 s each",
    ]


@pytest.mark.parametrize("rows", range(1, 25))
@pytest.mark.parametrize("columns", [1, 2, 3, 10, 39, 40, 80, 300])
def test_it_never_takes_the_whole_terminal(columns: int, rows: int) -> None:
    reason = "日本 " * 50 + "x" * 500
    numbers = FooterNumbers(0.1, 10**9, 10**6, (VIDEO, BACKUP))
    made = footer(READY, LOST._replace(reason=reason), DOWN, STOPPING, numbers=numbers)
    lines = lay_out(shown(made), columns, rows)
    assert footer_rows(lines, columns) <= max(0, rows - 3)
    assert all(line.text == URL or width(line.text) < columns for line in lines)


def test_a_low_terminal_shows_what_matters_most() -> None:
    made = footer(READY, numbers=FooterNumbers(0.0413, 3, 0, (VIDEO,)))
    below = [f"{URL} -> localhost:3000", "connected, 41 ms | 3 requests, 0 open"]
    assert texts(made, rows=7)[2:] == below
    assert texts(made, rows=6) == ["-" * 79, *below]
    assert texts(made, rows=5) == below
    assert texts(made, rows=4) == below[:1]
    assert texts(made, rows=3) == []


def test_nothing_that_a_terminal_acts_on_gets_into_it() -> None:
    evil = "\x1b[2J\r\n\u202e\x9b"
    ready = READY._replace(url=f"http://{evil}")
    down, lost = DOWN._replace(why=evil), LOST._replace(reason=evil)
    transfer = VIDEO._replace(method=evil.encode(), path=b"/\x1b[2J\xe2\x80\xae" * 900)
    made = footer(ready, down, lost, numbers=FooterNumbers(transfers=(transfer,)))
    made.inspector = evil
    assert all(line.isprintable() for line in texts(made, rows=90))


def test_repr_says_what_state_it_is_in() -> None:
    assert repr(footer()) == "<Footer not ready, down=False>"
    assert repr(footer(READY, LOST, DOWN)) == "<Footer offline, down=True>"
