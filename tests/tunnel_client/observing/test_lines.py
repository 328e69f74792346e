from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest

from protocol.program.text import utc_time
from tunnel_client.observing.events import (
    JSON_NAMES,
    ClientEvent,
    WebSocketOpened,
)
from tunnel_client.observing.lines import JsonLines, PlainLines
from tunnel_client.observing.request_lines import SHOWN_PATH_CHARS

# 12:03:04 here, wherever that is.
CLOCK = time.mktime((2026, 11, 30, 12, 3, 4, 0, 0, -1))
TIME = utc_time(CLOCK)
REQUEST = (7, b"GET", b"/a?b=c", 200, 0, 1234, 12.3, None, 2)


KINDS: dict[str, type[ClientEvent]] = {name: kind for kind, name in JSON_NAMES.items()}


def event(kind: str, *fields: Any) -> ClientEvent:
    return KINDS[kind](*fields)


def plain(kind: str, *fields: Any) -> str:
    return PlainLines("http://localhost:3000").text(CLOCK, event(kind, *fields), 0)


@pytest.mark.parametrize(
    ("told", "record"),
    [
        (
            event("ready", "http://a.example", "a", "https://example", "auto", "random", "why"),
            {
                "event": "ready",
                "url": "http://a.example",
                "name": "a",
                "server": "https://example",
                "identity": "auto",
                "name_from": "random",
                "note": "why",
                "inspector": None,
            },
        ),
        (
            event("identity", "public", b"/", "it wants https", 2, "https://a.example", None),
            {
                "event": "identity",
                "mode": "public",
                "path": "/",
                "reason": "it wants https",
                "asks": 2,
                "origin": "https://a.example",
                "hint": None,
            },
        ),
        (
            event("request", *REQUEST),
            {
                "event": "request",
                "id": 7,
                "method": "GET",
                "path": "/a?b=c",
                "status": 200,
                "bytes_in": 0,
                "bytes_out": 1234,
                "ms": 12.3,
                "error": None,
                "open_streams": 2,
                "kind": "http",
                "messages_in": None,
                "messages_out": None,
                "closed_by": None,
                "close_code": None,
                "replay": False,
            },
        ),
        (
            event("reconnecting", 3, 1.25, "why", None),
            {
                "event": "reconnecting",
                "attempt": 3,
                "wait_s": 1.25,
                "reason": "why",
                "give_up_in_s": None,
                "code": "unreachable",
            },
        ),
        (
            event("opened", 7, "http", b"GET", b"/a?b=c", "192.0.2.1"),
            {
                "event": "opened",
                "id": 7,
                "kind": "http",
                "method": "GET",
                "path": "/a?b=c",
                "visitor": "192.0.2.1",
            },
        ),
        (
            event("origin_down", "nothing listens on http://localhost:3000", 3.0),
            {
                "event": "origin_down",
                "why": "nothing listens on http://localhost:3000",
                "wait_s": 3.0,
            },
        ),
        (event("origin_up"), {"event": "origin_up"}),
        (
            event("warning", "origin-silent", "it is busy"),
            {"event": "warning", "code": "origin-silent", "message": "it is busy"},
        ),
        (event("resumed", 12.5), {"event": "resumed", "away_s": 12.5}),
        (
            event("stopping", 2, 8, b"PUT", b"/a", 4000.5, 31, 200, 0, None),
            {
                "event": "stopping",
                "under_way": 2,
                "wait_s": 8,
                "method": "PUT",
                "path": "/a",
                "ms": 4000.5,
                "bytes_in": 31,
                "length_in": 200,
                "bytes_out": 0,
                "length_out": None,
            },
        ),
        (
            event("refused", "unauthorized", "no"),
            {"event": "refused", "code": "unauthorized", "message": "no"},
        ),
        (event("stopped", "Ctrl-C", 2), {"event": "stopped", "reason": "Ctrl-C", "cut_off": 2}),
    ],
)
def test_json_is_one_object_a_line_with_the_fixed_fields(
    told: ClientEvent, record: dict[str, Any]
) -> None:
    line = JsonLines().text(CLOCK, told, 0)
    assert line.endswith("\n")
    assert line.count("\n") == 1
    assert json.loads(line) == {"time": TIME, **record}


def test_json_says_how_many_requests_were_not_told() -> None:
    assert json.loads(JsonLines().text(CLOCK, event("request", *REQUEST), 17))["dropped"] == 17


def test_json_is_ascii_whatever_stands_in_it() -> None:
    fields = (7, b"GET", b"/\xff\x1b\n\xc3", None, 0, 0, 1.0, "gr\u00fc\u00dfe \u202e \udc80", 0)
    line = JsonLines().text(CLOCK, event("request", *fields), 0)
    assert line.isascii()
    assert line[:-1].isprintable()
    assert json.loads(line)["path"] == "/\\xff\x1b\n\\xc3"


def test_ready_shows_url_target_server_and_how_to_stop() -> None:
    shown = plain("ready", "http://a.example", "a", "https://example")
    assert shown.splitlines() == [
        "",
        "  Public URL   http://a.example",
        "  leads to     http://localhost:3000",
        "  through      https://example",
        "",
        "  Ctrl-C stops it. Requests:",
        "",
    ]


def test_ready_says_of_a_stable_name_that_it_stays_and_what_the_server_notes() -> None:
    fields = (
        "http://a.example",
        "a",
        "https://example",
        "auto",
        "folder",
        "it was taken from another",
    )
    assert plain("ready", *fields).splitlines()[1:7] == [
        "  Public URL   http://a.example",
        "               the same next time, for this folder and port",
        "  leads to     http://localhost:3000",
        "  through      https://example",
        "  note         it was taken from another",
        "",
    ]


def test_the_link_of_the_inspector_is_said_once() -> None:
    lines = PlainLines("3000", inspector="http://127.0.0.1:4040/#t=secret")
    ready = event("ready", "http://a.example", "a", "https://example")
    said = lines.text(CLOCK, ready, 0)
    assert "  inspect      http://127.0.0.1:4040/#t=secret\n" in said
    other = event("ready", "http://b.example", "b", "https://example")
    assert "secret" not in lines.text(CLOCK, other, 0)


def test_ready_again_with_the_same_url_is_one_line() -> None:
    lines = PlainLines("3000")
    first = event("ready", "http://a.example", "a", "https://example")
    other = event("ready", "http://b.example", "b", "https://example")
    lines.text(CLOCK, first, 0)
    assert lines.text(CLOCK, first, 0) == "12:03:04 connected again: http://a.example\n"
    assert "Public URL   http://b.example" in lines.text(CLOCK, other, 0)


def test_as_whom_the_app_is_asked_is_told_where_it_is_news() -> None:
    lines = PlainLines("http://localhost:3000")
    told = []
    for mode, reason, hint in [
        ("local", "it names no origin", None),
        ("local", "it was refused", "Allow it."),
        ("public", "it makes links", None),
        ("public", "it makes links", None),
        ("public", "a POST was refused", "Try it."),
        ("local", "it names no origin", None),
        ("public", "it makes links", "Reload."),
    ]:
        chosen = event("identity", mode, b"/", reason, 5, "https://a.example", hint)
        told.append(lines.text(CLOCK, chosen, 0).removeprefix("12:03:04 "))
    public = "The app is asked as a.example (--identity local: as localhost:3000): it makes links."
    assert told == [
        "",
        "Allow it.\n",
        f"{public}\n",
        "",
        "Try it.\n",
        "The app is asked as localhost:3000 again: it names no origin.\n",
        f"{public} Reload.\n",
    ]


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        (REQUEST, "12:03:04 200 GET  /a?b=c  1.2 kB  12 ms\n"),
        (
            (7, b"POST", b"/up", 201, 64_000_000, 15, 1200.4, None, 0),
            "12:03:04 201 POST /up  64.0 MB up, 15 B down  1.2 s\n",
        ),
        (
            (7, b"DELETE", b"/", 502, 0, 0, 3.0, "the app refused", 0),
            "12:03:04 502 DELETE /  0 B  3 ms: the app refused\n",
        ),
        (
            (7, b"GET", b"/", None, 0, 0, 2100.4, "the visitor went away", 0),
            "12:03:04     GET  /  failed after 2.1 s: the visitor went away\n",
        ),
        (
            (7, b"GET", b"/", None, 0, 0, 999.4, None, 0),
            "12:03:04     GET  /  failed after 999 ms\n",
        ),
        (
            (7, b"GET", b"/?token=abcdefgh", 200, 0, 7, 999.5, None, 0),
            "12:03:04 200 GET  /?token=•••  7 B  1.0 s\n",
        ),
        (
            (7, b"GET", b"/tcp", 101, 12, 34, 5.0, None, 0, "upgrade"),
            "12:03:04 101 GET  /tcp  12 B up, 34 B down  5 ms\n",
        ),
    ],
)
def test_request_is_one_line(fields: tuple[Any, ...], shown: str) -> None:
    assert plain("request", *fields) == shown


@pytest.mark.parametrize(
    ("error", "end", "shown"),
    [
        (None, (12, 48, "visitor", 1001), "closed 1001 by the visitor, 12 up, 48 down, 88 s"),
        (None, (0, 1, "app", None), "closed by the app without a Close, 0 up, 1 down, 88 s"),
        (
            "it stops",
            (1, 0, "tunnel", 1001),
            "closed 1001 by the tunnel, 1 up, 0 down, 88 s: it stops",
        ),
        (None, (None, None, None, None), "closed, 0 up, 0 down, 88 s"),
    ],
)
def test_a_websocket_is_one_line_when_it_closes(
    error: str | None, end: tuple[Any, ...], shown: str
) -> None:
    fields = (7, b"GET", b"/?token=abcdefgh", 101, 90, 91, 88_000.0, error, 0, "websocket", *end)
    assert plain("request", *fields) == f"12:03:04 101 WS   /?token=•••  {shown}\n"


def test_a_websocket_is_one_line_when_it_opens_and_none_for_programs() -> None:
    opened = WebSocketOpened(b"/?token=abcdefgh")
    lines = PlainLines("3000")
    assert lines.text(CLOCK, opened, 0) == "12:03:04 101 WS   /?token=•••  opened\n"
    assert JsonLines().text(CLOCK, opened, 0) == ""


def test_a_websocket_that_was_refused_is_a_request_as_others_are() -> None:
    fields = (7, b"GET", b"/ws", 403, 0, 5, 1.0, None, 0, "websocket")
    assert plain("request", *fields) == "12:03:04 403 GET  /ws  5 B  1 ms\n"


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        (event("request", *REQUEST), "{green}200{off} GET"),
        (event("request", 7, b"GET", b"/", 302, 0, 0, 1.0, None, 0), "{cyan}302{off} GET"),
        (event("request", 7, b"GET", b"/", 404, 0, 0, 1.0, None, 0), "{yellow}404{off} GET"),
        (event("request", 7, b"GET", b"/", 500, 0, 0, 1.0, None, 0), "{red}500{off} GET"),
        (event("request", 7, b"GET", b"/", 999, 0, 0, 1.0, None, 0), "999 GET"),
        (event("request", 7, b"GET", b"/", None, 0, 0, 1.0, None, 0), "{red}    GET"),
        (WebSocketOpened(b"/"), "{cyan}101{off} WS"),
        (event("warning", "x", "why"), "{yellow}warning: why{off}"),
        (event("stopped", "why"), "stopped: why"),
    ],
)
def test_in_colour_a_status_has_that_of_its_class(told: ClientEvent, shown: str) -> None:
    colours = {"red": "\x1b[31m", "yellow": "\x1b[33m", "green": "\x1b[32m", "cyan": "\x1b[36m"}
    said = PlainLines("3000", colour=True).text(CLOCK, told, 0)
    assert said.startswith("12:03:04 " + shown.format(off="\x1b[0m", **colours))
    assert re.sub("\x1b\\[[0-9]+m", "", said) == PlainLines("3000").text(CLOCK, told, 0)


def test_that_a_request_begins_is_for_programs_alone() -> None:
    assert plain("opened", 7, "http", b"GET", b"/", "192.0.2.1") == ""


def test_news_of_the_tunnel_is_one_line() -> None:
    assert plain("warning", "origin-silent", "it is busy") == "12:03:04 warning: it is busy\n"
    assert plain("resumed", 12.34) == "12:03:04 resumed after 12 s; nothing was lost\n"
    assert plain("refused", "unauthorized", "no such token") == (
        "12:03:04 refused by the server (unauthorized): no such token\n"
    )
    assert plain("stopped", "Ctrl-C") == "12:03:04 stopped: Ctrl-C\n"


@pytest.mark.parametrize(
    ("wait_s", "give_up_in_s", "said"),
    [
        (1.25, None, "trying again in 1.2 s (attempt 3), until it works"),
        (1.25, 57.3, "trying again in 1.2 s (attempt 3), for 57 s more"),
        (0.0, None, "trying again now (attempt 3), until it works"),
    ],
)
def test_people_read_why_there_is_no_connection_and_how_long_it_is_tried(
    wait_s: float, give_up_in_s: float | None, said: str
) -> None:
    line = plain("reconnecting", 3, wait_s, "it is down", give_up_in_s)
    assert line == f"12:03:04 it is down; {said}\n"


def test_a_reason_is_said_once_while_it_stays_the_same() -> None:
    lines = PlainLines("3000")

    def said(kind: str, *fields: Any) -> str:
        return lines.text(CLOCK, event(kind, *fields), 0)

    assert "it is full; trying" in said("reconnecting", 1, 1.0, "it is full", None)
    assert said("reconnecting", 2, 2.0, "it is full", None) == ""
    assert "it is down; trying" in said("reconnecting", 3, 1.0, "it is down", None)
    said("resumed", 1.0)
    assert "it is down; trying" in said("reconnecting", 1, 1.0, "it is down", None)
    said("ready", "http://a.example", "a", "https://example")
    assert "it is down; trying" in said("reconnecting", 1, 1.0, "it is down", None)
    said("ready", "http://a.example", "a", "https://example")
    assert "it is down; trying" in said("reconnecting", 1, 1.0, "it is down", None)


def test_a_reason_of_whole_sentences_ends_once_before_the_retry() -> None:
    reason = "the server does not take us now: It is full. Stop clients that nobody needs."
    line = plain("reconnecting", 3, 0.0, reason, None)
    assert line == f"12:03:04 {reason[:-1]}; trying again now (attempt 3), until it works\n"
    told = JsonLines().text(CLOCK, event("reconnecting", 3, 0.0, reason, None), 0)
    assert json.loads(told)["reason"] == reason


@pytest.mark.parametrize(
    ("under_way", "progress", "shown"),
    [
        (1, (0, None, 12_300_000, 10_000_000_000), "12.3 MB of 10.0 GB down"),
        (2, (3_100, 20_000, 0, None), "3.1 kB of 20.0 kB up, 0 B down"),
        (2, (0, 7, 0, None), "0 B of 7 B up, 0 B down"),
    ],
)
def test_a_stop_says_what_it_waits_for_and_how_to_end_that(
    under_way: int, progress: tuple[int | None, ...], shown: str
) -> None:
    line = plain("stopping", under_way, 8.0, b"PUT", b"/a?b", 4000.5, *progress)
    requests = "1 request" if under_way == 1 else "2 requests"
    oldest = f"the oldest is PUT /a?b, {shown}, 4.0 s"
    said = f"12:03:04 stopping: up to 8 s for {requests}; {oldest}. Ctrl-C again ends it now\n"
    assert line == said


def test_that_the_app_is_down_and_back_is_told_to_people() -> None:
    assert plain("origin_down", "nothing listens on http://localhost:3000", 3.0) == (
        "12:03:04 nothing listens on http://localhost:3000; requests wait for it, 3 s each\n"
    )
    assert plain("origin_down", "nothing listens there", 0.0) == "12:03:04 nothing listens there\n"
    assert plain("origin_up") == "12:03:04 http://localhost:3000 is back\n"


def test_requests_that_were_not_told_are_counted_in_a_line_before() -> None:
    first, second = PlainLines("x").text(CLOCK, event("request", *REQUEST), 17).splitlines()
    assert "(17 requests are not shown" in first
    assert second.startswith("12:03:04 200 GET")


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("request", (7, b"GET\x1b", b"/\x1b[2J\r\n\x9b\xe2\x80\xae", 200, 0, 0, 1.0, "\x1b\n", 0)),
        ("ready", ("http://\x1b", "\n", "\u202e\r")),
        ("reconnecting", (1, 1.0, "\x1b]0;title\x07\n", None)),
        ("stopping", (1, 8, b"GET\x1b[2J", b"/\r\x1b[2J", 1.0, 0, None, 0, None)),
        ("refused", ("\x1b", "\x1b\r\n")),
        ("stopped", ("\x1b\n",)),
        ("origin_down", ("\x1b\n", 1.0)),
    ],
)
def test_nothing_that_a_terminal_acts_on_gets_through(kind: str, fields: tuple[Any, ...]) -> None:
    harmless = tuple("x" if isinstance(field, str) else field for field in fields)
    shown = plain(kind, *fields)
    assert all(line.isprintable() for line in shown.split("\n"))
    assert shown.count("\n") == plain(kind, *harmless).count("\n")


def test_long_path_is_shortened_for_people_alone() -> None:
    def shown(length: int) -> str:
        return plain("request", 7, b"GET", b"/" * length, 200, 0, 0, 1.0, None, 0)

    assert "/  0 B" in shown(SHOWN_PATH_CHARS)
    assert "/...  0 B" in shown(SHOWN_PATH_CHARS + 1)
    assert len(shown(8000)) < 250
    long = event("request", 7, b"GET", b"/" * 8000, 200, 0, 0, 1.0, None, 0)
    assert "/" * 8000 in JsonLines().text(CLOCK, long, 0)
