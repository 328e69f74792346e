from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import pytest

from tunnel_client.observing import look as module
from tunnel_client.observing.look import Look, is_same_terminal, is_terminal, look_of

FULL, COLOUR, FOOTER, PLAIN = Look(True, True), Look(True, False), Look(False, True), Look()


@pytest.mark.parametrize(
    ("environ", "on_terminal", "in_pipe"),
    [
        ({}, FULL, PLAIN),
        ({"TERM": "xterm"}, FULL, PLAIN),
        ({"TERM": "dumb"}, PLAIN, PLAIN),
        ({"CI": "true"}, COLOUR, PLAIN),
        ({"CI": ""}, FULL, PLAIN),
        ({"NO_COLOR": "1"}, FOOTER, PLAIN),
        ({"NO_COLOR": ""}, FULL, PLAIN),
        ({"FORCE_COLOR": "1"}, FULL, COLOUR),
        ({"FORCE_COLOR": "0"}, FULL, PLAIN),
        ({"FORCE_COLOR": ""}, FULL, PLAIN),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, FOOTER, PLAIN),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, COLOUR, COLOUR),
        ({"FORCE_COLOR": "1", "CI": "1"}, COLOUR, COLOUR),
    ],
)
def test_the_look_follows_from_the_environment(
    environ: Mapping[str, str], on_terminal: Look, in_pipe: Look
) -> None:
    assert look_of(environ, is_terminal=True) == on_terminal
    assert look_of(environ, is_terminal=False) == in_pipe


def test_on_windows_only_its_new_terminal_gets_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_IS_WINDOWS", True)
    assert look_of({}, is_terminal=True) == PLAIN
    assert look_of({"WT_SESSION": "1"}, is_terminal=True) == FULL


@pytest.fixture
def descriptors() -> Iterator[list[int]]:
    opened = [*os.openpty(), *os.openpty(), *os.pipe()]
    opened.append(os.dup(opened[1]))
    yield opened
    for descriptor in opened:
        os.close(descriptor)


def test_two_descriptors_are_the_same_terminal_or_not(descriptors: list[int]) -> None:
    _, one, _, other, pipe, _, again = descriptors
    assert is_same_terminal(one, one)
    assert is_same_terminal(one, again)
    assert not is_same_terminal(one, other)
    assert not is_same_terminal(one, pipe)
    assert not is_same_terminal(pipe, pipe)
    assert not is_terminal(pipe)


def test_a_descriptor_that_is_closed_is_no_terminal() -> None:
    closed, other = os.pipe()
    os.close(closed)
    os.close(other)
    assert not is_terminal(closed)
    assert not is_same_terminal(closed, closed)
