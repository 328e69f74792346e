"""The table of a stop, and that its drawings say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from protocol.http import stopping
from protocol.http.fields import BodyForm
from protocol.http.stopping import (
    CLOSED_S,
    ENDLESS_TYPES,
    FILLING_S,
    STILL_S,
    STOP_ANSWER_S,
    STUCK_S,
    VERDICTS,
    WINDOW_STEP_BYTES,
    Pace,
    UnderWay,
    Verdict,
    answered,
    asked,
    is_cut_off,
    is_waited_for,
    pace,
    patience_s,
    switched,
    verdict,
)
from tests.state_tables import drawn

CLOSING = Path(__file__).resolve().parents[3] / "docs" / "closing.md"


def test_each_kind_has_an_ending_at_each_pace() -> None:
    assert set(VERDICTS) == {(kind, how_fast) for kind in UnderWay for how_fast in Pace}


def test_the_docstring_draws_the_table() -> None:
    assert stopping.__doc__ is not None
    drawing = "\n".join(
        line
        for line in stopping.__doc__.replace("under way", "         ").splitlines()
        if line.startswith("    ")
    )
    assert {(k.name, p.name): e.name for (k, p), e in VERDICTS.items()} == drawn(drawing)


def test_the_document_has_the_same_table() -> None:
    section = CLOSING.read_text().partition("### A stop\n")[2].partition("\n#")[0]
    rows = re.findall(
        r"^\| `([A-Z]+)` \|.*\| `([A-Z]+)` \| `([A-Z]+)` \| `([A-Z]+)` \|", section, re.MULTILINE
    )
    told = {row[0]: row[1:] for row in rows}
    assert told == {
        kind.name: tuple(VERDICTS[kind, how_fast].name for how_fast in Pace) for kind in UnderWay
    }
    for number in (STILL_S, STUCK_S, STOP_ANSWER_S):
        assert f"{number:g} s" in section
    about = CLOSING.read_text().partition("#### A visitor that takes nothing\n")[2]
    assert f"{WINDOW_STEP_BYTES >> 10} KiB" in about
    assert f"{CLOSED_S:g} s at least and {STUCK_S:g} s at most" in about
    for kind in ENDLESS_TYPES:
        assert f"`{kind.decode()}`" in section


@pytest.mark.parametrize(
    ("method", "has_body", "kind"),
    [
        (b"GET", False, UnderWay.QUESTION),
        (b"HEAD", False, UnderWay.QUESTION),
        (b"GET", True, UnderWay.ORDER),
        (b"POST", False, UnderWay.ORDER),
        (b"PUT", True, UnderWay.ORDER),
        (b"OPTIONS", False, UnderWay.ORDER),
        (b"get", False, UnderWay.ORDER),
    ],
)
def test_a_question_is_a_get_or_head_without_a_body(
    method: bytes, has_body: bool, kind: UnderWay
) -> None:
    assert asked(method, has_body=has_body) is kind


@pytest.mark.parametrize(
    ("body", "value", "kind"),
    [
        (5, b"text/event-stream", UnderWay.SIZED),
        (0, b"text/plain", UnderWay.SIZED),
        (None, b"text/event-stream", UnderWay.SIZED),
        ("chunked", b"text/html", UnderWay.UNSIZED),
        ("until-close", b"text/html", UnderWay.UNSIZED),
        ("chunked", b"text/event-stream", UnderWay.ENDLESS),
        ("until-close", b"Text/Event-Stream ;charset=utf-8", UnderWay.ENDLESS),
        ("chunked", b'multipart/x-mixed-replace; boundary="a"', UnderWay.ENDLESS),
        ("chunked", b"application/x-ndjson", UnderWay.ENDLESS),
        ("chunked", b"application/json", UnderWay.UNSIZED),
        ("chunked", b"text/event-streams", UnderWay.UNSIZED),
        ("chunked", b"", UnderWay.UNSIZED),
    ],
)
def test_an_answer_is_of_a_kind_by_its_length_and_its_type(
    body: BodyForm, value: bytes, kind: UnderWay
) -> None:
    assert answered(body, ((b"X", b"text/event-stream"), (b"content-TYPE", value))) is kind


def test_an_answer_without_a_type_may_be_anything() -> None:
    assert answered("chunked", ()) is UnderWay.UNSIZED


def test_an_upgrade_is_a_websocket_or_any_other() -> None:
    assert switched("websocket") is UnderWay.WEBSOCKET
    assert switched("upgrade") is UnderWay.UPGRADE


@pytest.mark.parametrize(
    ("still_s", "held_up", "how_fast"),
    [
        (0.0, False, Pace.MOVING),
        (STILL_S - 0.01, True, Pace.MOVING),
        (STILL_S, False, Pace.STILL),
        (STILL_S, True, Pace.STILL),
        (STUCK_S - 0.01, True, Pace.STILL),
        (STUCK_S, True, Pace.STUCK),
        (3600.0, False, Pace.STILL),
    ],
)
def test_pace_is_the_time_since_something_moved(
    still_s: float, held_up: bool, how_fast: Pace
) -> None:
    assert pace(still_s, held_up=held_up) is how_fast


@pytest.mark.parametrize(
    ("taken_bytes", "taking_s", "expected_s"),
    [
        (0, 3.0, STUCK_S),  # nobody knows how fast it is
        (200_000, 0.01, CLOSED_S),
        (1, FILLING_S, CLOSED_S),
        (WINDOW_STEP_BYTES, FILLING_S + CLOSED_S - 0.01, CLOSED_S),
        (WINDOW_STEP_BYTES, FILLING_S + 2.0, 2.0),
        (10 * WINDOW_STEP_BYTES, FILLING_S + 30.0, 3.0),
        (WINDOW_STEP_BYTES, FILLING_S + STUCK_S + 1, STUCK_S),
    ],
)
def test_a_visitor_with_a_closed_window_has_the_time_that_a_step_of_it_has_taken(
    taken_bytes: int, taking_s: float, expected_s: float
) -> None:
    assert patience_s(taken_bytes, taking_s) == pytest.approx(expected_s)


def test_patience_is_for_what_is_held_up_alone() -> None:
    assert pace(0.7, held_up=True, patience_s=0.7) is Pace.STUCK
    assert pace(0.69, held_up=True, patience_s=0.7) is Pace.MOVING
    assert pace(STUCK_S, held_up=False, patience_s=0.7) is Pace.STILL


def test_an_upgrade_is_reset_after_a_moment_and_all_else_ends_when_it_is_due() -> None:
    assert verdict(UnderWay.UPGRADE, Pace.STILL, STOP_ANSWER_S - 0.01) is Verdict.WAIT
    assert verdict(UnderWay.UPGRADE, Pace.STILL, STOP_ANSWER_S) is Verdict.RESET
    assert verdict(UnderWay.WEBSOCKET, Pace.MOVING, 0.0) is Verdict.CLOSE
    assert verdict(UnderWay.QUESTION, Pace.STILL, 0.0) is Verdict.REFUSE


def test_nobody_waits_for_an_upgrade_or_an_answer_without_an_end() -> None:
    others = {UnderWay.ENDLESS, UnderWay.WEBSOCKET, UnderWay.UPGRADE}
    assert {kind for kind in UnderWay if not is_waited_for(kind)} == others


def test_cut_off_is_what_is_cut_or_reset_but_for_a_websocket() -> None:
    counted = {(kind, how) for kind in UnderWay for how in Verdict if is_cut_off(kind, how)}
    kinds = set(UnderWay) - {UnderWay.WEBSOCKET}
    assert counted == {(kind, how) for kind in kinds for how in (Verdict.CUT, Verdict.RESET)}
