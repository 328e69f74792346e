from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from protocol.program.line_writer import write_to_stderr
from tunnel_client.observing import output as module
from tunnel_client.observing.events import TunnelReady
from tunnel_client.observing.lines import JsonLines
from tunnel_client.observing.output import ClientOutput, output_for

READY = TunnelReady("http://a.example", "a", "http://s")


class Chosen(NamedTuple):
    json: bool = False
    plain: bool = False
    qr: bool = False
    target: object = "http://localhost:3000"


@contextmanager
def terminals(count: int) -> Iterator[list[int]]:
    opened = [os.openpty() for _ in range(count)]
    try:
        yield [terminal for _, terminal in opened]
    finally:
        for pair in opened:
            for descriptor in pair:
                os.close(descriptor)


@contextmanager
def standing_on(monkeypatch: pytest.MonkeyPatch, stdout: int, stderr: int) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setattr(module, "STDOUT", stdout)
        patched.setattr(module, "STDERR", stderr)
        yield


def has_footer(output: ClientOutput) -> bool:
    assert (output.screen is None) == (output.footer is None)
    return output.screen is not None


def test_on_a_terminal_the_log_goes_above_the_footer_where_it_is_the_same_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with terminals(2) as (one, other):
        with standing_on(monkeypatch, one, one):
            output = output_for(Chosen(), {})
            assert output.screen is not None
            assert output.write_log == output.screen.log
        with standing_on(monkeypatch, one, other):
            output = output_for(Chosen(), {})
            assert has_footer(output)
            assert output.write_log is write_to_stderr


@pytest.mark.parametrize(
    ("chosen", "environ"),
    [
        (Chosen(plain=True), {}),
        (Chosen(plain=True), {"FORCE_COLOR": "1"}),
        (Chosen(json=True), {"FORCE_COLOR": "1"}),
        (Chosen(), {"TERM": "dumb"}),
    ],
)
def test_without_a_footer_nothing_acts_on_the_terminal(
    monkeypatch: pytest.MonkeyPatch, chosen: Chosen, environ: dict[str, str]
) -> None:
    with terminals(1) as (one,), standing_on(monkeypatch, one, one):
        output = output_for(chosen, environ)
        assert not has_footer(output)
        assert output.write_log is write_to_stderr
        assert "\x1b" not in output.lines.text(0.0, READY, 0)
        assert isinstance(output.lines, JsonLines) is chosen.json


def test_a_pipe_gets_colour_by_force_and_never_a_footer(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    try:
        with standing_on(monkeypatch, writer, writer):
            assert not has_footer(output_for(Chosen(), {}))
            output = output_for(Chosen(), {"FORCE_COLOR": "1"})
            assert not has_footer(output)
            output.lines.text(0.0, READY, 0)
            assert "\x1b[32m" in output.lines.text(0.0, READY, 0)
            assert "\x1b" not in output_for(Chosen(qr=True), {}).lines.text(0.0, READY, 0)
    finally:
        os.close(reader)
        os.close(writer)


def test_the_code_stands_below_the_url_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminals(1) as (one,), standing_on(monkeypatch, one, one):
        lines = output_for(Chosen(qr=True), {"NO_COLOR": "1"}).lines
    first, again = lines.text(0.0, READY, 0), lines.text(0.0, READY, 0)
    assert "\x1b[30;107m" in first
    assert first.endswith("\x1b[0m\n\n")
    assert again.count("\n") == 1


@pytest.mark.skipif(not hasattr(signal, "SIGCONT"), reason="there is no Ctrl-Z")
def test_a_program_that_goes_on_draws_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGCONT)
    with terminals(1) as (one,), standing_on(monkeypatch, one, one):
        output = output_for(Chosen(), {})
    assert output.screen is not None
    output.screen.show("", None)
    assert output.screen.is_current(None)
    with output.drawn_anew():
        signal.raise_signal(signal.SIGCONT)
    assert not output.screen.is_current(None)
    assert signal.getsignal(signal.SIGCONT) == before
    with output_for(Chosen(plain=True), {}).drawn_anew():
        assert signal.getsignal(signal.SIGCONT) == before
