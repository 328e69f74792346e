"""The tables of a request and its answer, walked whole."""

from __future__ import annotations

import pytest

from protocol.errors import LocalProtocolError
from protocol.http.heads import parse_request
from tests.edge_fakes import get
from tests.tunnel_server.visitors.test_exchange import POST, FakeRelay
from tunnel_server.answers.refusal import Refusal
from tunnel_server.visitors import exchange_states as module
from tunnel_server.visitors.exchange import Exchange
from tunnel_server.visitors.exchange_states import (
    ANSWER,
    REQUEST,
    AnswerEvent,
    AnswerState,
    RequestEvent,
    RequestState,
)


def move_request(exchange: Exchange, event: RequestEvent) -> None:
    if event is RequestEvent.END:
        exchange.end_request()
    elif event is RequestEvent.BREAK:
        exchange.fail(Refusal("bad-request"))
    else:
        exchange.follow()


def move_answer(exchange: Exchange, event: AnswerEvent) -> None:
    if event is AnswerEvent.SWITCH:
        exchange.switch(FakeRelay())
    elif event is AnswerEvent.FINISH:
        exchange.finish()
    else:
        exchange.begin_answer(event)


@pytest.mark.parametrize("event", RequestEvent)
@pytest.mark.parametrize("state", RequestState)
def test_each_event_moves_a_request_as_the_table_says_or_not_at_all(
    state: RequestState, event: RequestEvent
) -> None:
    exchange = Exchange(parse_request(POST))
    exchange.request = state
    after = REQUEST.get((state, event))
    if after is not None:
        move_request(exchange, event)
        assert exchange.request is after
    else:
        with pytest.raises(
            LocalProtocolError, match=f"{event.name} of a request that is {state.name}"
        ):
            move_request(exchange, event)
        assert exchange.request is state
        assert exchange.failure is None


@pytest.mark.parametrize("event", AnswerEvent)
@pytest.mark.parametrize("state", AnswerState)
def test_each_event_moves_an_answer_as_the_table_says_or_not_at_all(
    state: AnswerState, event: AnswerEvent
) -> None:
    exchange = Exchange(parse_request(get()))
    exchange.answered = state
    after = ANSWER.get((state, event))
    if after is not None:
        move_answer(exchange, event)
        assert exchange.answered is after
    else:
        with pytest.raises(
            LocalProtocolError, match=f"{event.name} of an answer that is {state.name}"
        ):
            move_answer(exchange, event)
        assert exchange.answered is state
        assert exchange.upgrade is None


def drawings(text: str) -> list[dict[tuple[str, str], str]]:
    """The tables of a docstring: each is indented, and the first word of its head is its name."""
    tables = []
    for block in text.split("\n\n"):
        if block.startswith("    "):
            head, *rows = (line.split() for line in block.splitlines())
            cells = [
                (state, event, after)
                for state, *row in rows
                for event, after in zip(head[1:], row, strict=True)
            ]
            tables.append({(state, event): after for state, event, after in cells if after != "-"})
    return tables


def test_the_tables_stand_at_the_top_of_the_module() -> None:
    request, answer = drawings(module.__doc__ or "")
    told_requests = {
        (RequestState[state], RequestEvent[event]): RequestState[after]
        for (state, event), after in request.items()
    }
    told_answers = {
        (AnswerState[state], AnswerEvent[event]): AnswerState[after]
        for (state, event), after in answer.items()
    }
    assert told_requests == REQUEST
    assert told_answers == ANSWER
