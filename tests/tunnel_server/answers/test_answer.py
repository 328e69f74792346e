from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from html import unescape
from http import HTTPStatus
from typing import Any

import pytest
from hypothesis import given, strategies as st

from protocol.statuses import STATUSES
from tunnel_server.answers import pages
from tunnel_server.answers.answer import (
    MAX_CAUSE_LENGTH,
    Answer,
    HealthDetails,
    Landing,
    error_answer,
    health,
    landing_page,
    ready,
)
from tunnel_server.answers.refusal import Refusal, method_not_allowed, offline, version_refused
from tunnel_server.answers.texts import ERRORS

HTML, JSON = b"text/html", b"application/json"
FORMS = {b"": b"text/plain; charset=utf-8", HTML: b"text/html; charset=utf-8", JSON: JSON}
DETAILS = HealthDetails(
    version="1.2.3", sessions=2, streams=3, unacked_bytes=4, held_sessions=5, parked_requests=6
)


def values(answer: Answer, name: bytes) -> list[bytes]:
    return [value for field, value in answer.fields if field.lower() == name.lower()]


def members(answer: Answer) -> dict[str, Any]:
    assert values(answer, b"Content-Type") == [JSON]
    found: dict[str, Any] = json.loads(answer.body)
    return found


def check_whole(answer: Answer) -> None:
    assert values(answer, b"Content-Length") == [b"%d" % len(answer.body)]
    assert len(values(answer, b"Content-Type")) == 1
    assert values(answer, b"Cache-Control") == [b"no-store"]
    assert values(answer, b"X-Content-Type-Options") == [b"nosniff"]
    assert not values(answer, b"Transfer-Encoding")
    assert answer.reason == HTTPStatus(answer.status).phrase.encode()


@pytest.mark.parametrize("accept", FORMS)
@pytest.mark.parametrize("code", ERRORS)
def test_error_is_whole_in_each_form_and_carries_its_code(code: str, accept: bytes) -> None:
    answer = error_answer(Refusal(code, "It broke."), accept, name="brave-otter")
    check_whole(answer)
    assert answer.status == STATUSES[code]
    assert values(answer, b"Tunnel-Error") == [code.encode()]
    assert values(answer, b"Content-Type") == [FORMS[accept]]
    body = unescape(answer.body.decode()) if accept == HTML else answer.body.decode()
    for words in (code, "It broke.", ERRORS[code].title, ERRORS[code].next_step):
        assert words in body


@pytest.mark.parametrize("code", ERRORS)
def test_a_page_that_waits_has_a_policy_that_lets_it_ask(code: str) -> None:
    for method in (b"GET", b"HEAD", b"POST"):
        answer = error_answer(Refusal(code), HTML, method=method)
        waits = ERRORS[code].passes and method != b"POST"
        policy = pages.WAITING_POLICY if waits else pages.CONTENT_SECURITY_POLICY
        assert values(answer, b"Content-Security-Policy") == [policy]
        assert (b"<script>" in answer.body) is waits
        check_whole(answer)


@pytest.mark.parametrize("accept", FORMS)
def test_policy_is_on_html_alone(accept: bytes) -> None:
    assert bool(values(error_answer(Refusal("internal"), accept), b"Content-Security-Policy")) is (
        accept == HTML
    )


def test_text_names_cause_side_and_next_step_one_a_line() -> None:
    lines = (
        error_answer(Refusal("origin-refused", "Nothing is on port 3000."))
        .body.decode()
        .split("\n")
    )
    assert lines[0] == "502 The app cannot be reached (origin-refused)"
    assert lines[2] == "What happened:  Nothing is on port 3000."
    assert lines[3] == "Whose side:     the app on the developer's machine"
    assert lines[4].startswith("What to do:     Ask the person")
    assert lines[-1] == ""


def test_json_has_one_member_for_each_thing() -> None:
    answer = error_answer(Refusal("origin-refused", "It broke."), JSON, name="brave-otter")
    assert members(answer) == {
        "error": "origin-refused",
        "status": 502,
        "title": "The app cannot be reached",
        "cause": "It broke.",
        "side": "app",
        "next": ERRORS["origin-refused"].next_step,
        "next_for_owner": ERRORS["origin-refused"].owner_step,
        "tunnel": "brave-otter",
    }
    assert "tunnel" not in members(error_answer(Refusal("internal"), JSON))


@pytest.mark.parametrize("accept", FORMS)
def test_cause_of_the_code_stands_in_for_a_missing_detail(accept: bytes) -> None:
    for detail in ("", " \n "):
        assert (
            ERRORS["draining"].cause.encode()
            in error_answer(Refusal("draining", detail), accept).body
        )


@pytest.mark.parametrize("accept", FORMS)
def test_detail_from_a_stranger_stays_on_one_line_without_controls(accept: bytes) -> None:
    body = error_answer(
        Refusal("bad-request", "a\r\nb\x1b[2Jc\x00d\u2028e\u202ef\ud800"), accept
    ).body
    assert b"a b [2Jc d e f" in body
    assert b"\x1b" not in body


def test_detail_is_cut_at_its_longest() -> None:
    longest = "x" * MAX_CAUSE_LENGTH
    assert members(error_answer(Refusal("bad-request", longest), JSON))["cause"] == longest
    cut = members(error_answer(Refusal("bad-request", longest + "x"), JSON))["cause"]
    assert cut == "x" * (MAX_CAUSE_LENGTH - 3) + "..."


@given(st.text(), st.text(), st.binary(max_size=100))
def test_no_detail_name_or_accept_makes_it_raise(detail: str, name: str, accept: bytes) -> None:
    check_whole(error_answer(Refusal("bad-request", detail), accept, name=name))


def test_unknown_code_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        error_answer(Refusal("no-such-code"))


def test_401_says_which_credentials_are_wanted() -> None:
    answer = error_answer(Refusal("unauthorized"))
    assert values(answer, b"WWW-Authenticate") == [b'Bearer realm="tunnel"']


def test_426_says_what_to_upgrade_to() -> None:
    answer = error_answer(Refusal("upgrade-required"))
    assert values(answer, b"Upgrade") == [b"websocket"]
    assert values(answer, b"Connection") == [b"Upgrade"]
    assert values(answer, b"Sec-WebSocket-Version") == [b"13"]


@pytest.mark.parametrize(
    ("code", "seconds"),
    [
        ("too-many-requests", [b"10"]),
        ("tunnel-offline", [b"10"]),
        ("overloaded", [b"1"]),
        ("draining", [b"5"]),
        ("origin-refused", [b"5"]),
        ("origin-timeout", []),
    ],
)
def test_answers_for_now_say_when_to_try_again(code: str, seconds: list[bytes]) -> None:
    assert values(error_answer(Refusal(code)), b"Retry-After") == seconds


def test_given_field_takes_the_place_of_a_default_of_its_name() -> None:
    answer = error_answer(Refusal("draining", fields=((b"retry-after", b"77"), (b"X-More", b"1"))))
    assert values(answer, b"Retry-After") == [b"77"]
    assert values(answer, b"X-More") == [b"1"]


def test_refused_version_is_400_with_the_servers_own_list() -> None:
    answer = error_answer(version_refused(["trio-tunnel.2", "trio-tunnel.1"]), JSON)
    check_whole(answer)
    assert (answer.status, answer.reason) == (400, b"Bad Request")
    assert values(answer, b"Tunnel-Error") == [b"version-not-supported"]
    assert values(answer, b"Sec-WebSocket-Protocol") == [b"trio-tunnel.2, trio-tunnel.1"]
    assert members(answer)["versions"] == ["trio-tunnel.2", "trio-tunnel.1"]
    assert (
        b"speaks trio-tunnel.2, trio-tunnel.1."
        in error_answer(version_refused(["trio-tunnel.2", "trio-tunnel.1"])).body
    )


def test_405_lists_the_methods_that_are_allowed() -> None:
    answer = error_answer(method_not_allowed(b"GET, HEAD"))
    check_whole(answer)
    assert (answer.status, answer.reason) == (405, b"Method Not Allowed")
    assert values(answer, b"Allow") == [b"GET, HEAD"]
    assert values(answer, b"Tunnel-Error") == [b"method-not-supported"]
    assert b"This address takes GET, HEAD only." in answer.body


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 seconds"),
        (0, "0 seconds"),
        (1.9, "1 second"),
        (59, "59 seconds"),
        (60, "1 minute"),
        (3599, "59 minutes"),
        (3600, "1 hour"),
        (86399, "23 hours"),
        (86400, "1 day"),
        (40 * 86400, "40 days"),
    ],
)
def test_offline_says_since_when_and_for_how_long(seconds: float, words: str) -> None:
    since = datetime(2025, 11, 21, 10, 24, 3, tzinfo=UTC)
    answer = error_answer(
        offline(since, since + timedelta(seconds=seconds)), JSON, name="brave-otter"
    )
    check_whole(answer)
    assert answer.status == 503
    assert (
        members(answer)["cause"]
        == f"It has been offline since 2025-11-21 10:24:03 UTC, for {words}."
    )
    assert members(answer)["since"] == "2025-11-21T10:24:03+00:00"
    assert members(answer)["tunnel"] == "brave-otter"


@pytest.mark.parametrize("accept", FORMS)
@pytest.mark.parametrize("token_needed", [True, False])
def test_landing_page_says_how_to_share(accept: bytes, token_needed: bool) -> None:
    answer = landing_page(Landing("https://example.com", token_needed), accept)
    check_whole(answer)
    assert answer.status == 200
    assert not values(answer, b"Tunnel-Error")
    assert values(answer, b"Content-Type") == [FORMS[accept]]
    assert b"tunnel-client http 3000 --server https://example.com" in answer.body
    assert (b"--token-file" in answer.body) is token_needed


def test_landing_page_gives_two_commands() -> None:
    text = landing_page(Landing("http://localhost:8080", token_needed=False)).body.decode()
    commands = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    assert commands == ["python3 -m http.server 3000", "tunnel-client http 3000"]


def test_health_tells_strangers_nothing_but_that_it_is_well() -> None:
    answer = health()
    check_whole(answer)
    assert (answer.status, answer.body) == (200, b'{"status": "ok"}')
    assert not values(answer, b"Tunnel-Error")


def test_health_has_details_for_those_who_may_know() -> None:
    details = {"version": "1.2.3", "sessions": 2, "streams": 3, "unacked_bytes": 4}
    details |= {"held_sessions": 5, "parked_requests": 6}
    assert members(health(DETAILS)) == {"status": "ok"} | details
    assert members(ready(DETAILS, draining=True)) == {"status": "draining"} | details


def test_ready_is_health_until_the_server_drains() -> None:
    assert ready(draining=False) == health()
    assert ready(DETAILS, draining=False) == health(DETAILS)
    answer = ready(draining=True)
    check_whole(answer)
    assert (answer.status, answer.body) == (503, b'{"status": "draining"}')
    assert values(answer, b"Tunnel-Error") == [b"draining"]
    assert values(answer, b"Retry-After") == [b"5"]
