from __future__ import annotations

import contextlib
import io
import logging
import re
import sys
from collections.abc import Callable

import pytest

from protocol import FRAMES
from protocol.drivers.session_log import SessionLog
from protocol.program.logs import LEVELS, set_up_logging
from protocol.program.settings import LOG_LEVELS

SESSION = bytes.fromhex("4f1c9a03") + bytes(12)


@pytest.fixture
def stderr(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """What the program wrote to stderr since it was last asked."""
    set_up_logging()
    return lambda: capsys.readouterr().err


def test_record_is_time_level_logger_and_message(stderr: Callable[[], str]) -> None:
    logging.getLogger("tunnel_server.visitors.edge").info("listening on %s", "[::1]:80")
    time, _, rest = stderr().partition(" ")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time)
    assert rest == "INFO tunnel_server.visitors.edge: listening on [::1]:80\n"


def test_time_is_utc(stderr: Callable[[], str]) -> None:
    record = logging.LogRecord("protocol.x", logging.INFO, "", 0, "m", None, None)
    record.created = 1763720643.1239
    logging.getLogger("protocol.x").handle(record)
    assert stderr() == "2025-11-21T10:24:03.123Z INFO protocol.x: m\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_a_record_looks_like_the_lines_for_people(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    set_up_logging()
    SessionLog(logging.getLogger("tunnel_server.x"), SESSION).info("bob is online")
    logging.getLogger("tunnel_client.x").warning("look\x1b[2J")
    first, second = terminal.getvalue().splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d session 4f1c9a03: bob is online", first)
    assert re.fullmatch(r"\d\d:\d\d:\d\d warning: look\\x1b\[2J", second)


def test_record_of_a_session_carries_its_id(stderr: Callable[[], str]) -> None:
    log = SessionLog(logging.getLogger("tunnel_server.visitors.edge"), SESSION)
    log.warning("took %d %%", 50)
    assert stderr().endswith("tunnel_server.visitors.edge: session 4f1c9a03: took 50 %\n")


def test_what_a_stranger_sends_cannot_begin_a_line_or_drive_a_terminal(
    stderr: Callable[[], str],
) -> None:
    logging.getLogger("tunnel_server").info(
        "path %s", "/\r\n2025 ERROR forged\x1b[2J\x9b1m\u2028\u202eé"
    )
    line = stderr()
    assert line.count("\n") == 1
    assert "/\\r\\n2025 ERROR forged\\x1b[2J\\x9b1m\\u2028\\u202eé\n" in line


def test_traceback_stands_on_lines_of_its_own(stderr: Callable[[], str]) -> None:
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        logging.getLogger("tunnel_server").exception("one connection ended")
    first, *rest = stderr().splitlines()
    assert first.endswith("ERROR tunnel_server: one connection ended")
    assert rest[0] == "Traceback (most recent call last):"
    assert rest[-1] == "RuntimeError: broken"


def test_libraries_are_heard_from_warning_on_and_ours_from_info_on(
    stderr: Callable[[], str],
) -> None:
    for name in ("trio-websocket", "protocol.mux", "tunnel_client"):
        logging.getLogger(name).info("%s info", name)
        logging.getLogger(name).debug("%s debug", name)
    logging.getLogger("trio-websocket").warning("library warning")
    messages = [line.partition(": ")[2] for line in stderr().splitlines()]
    assert messages == ["protocol.mux info", "tunnel_client info", "library warning"]


def test_level_of_ours_can_be_another(stderr: Callable[[], str]) -> None:
    set_up_logging(logging.DEBUG)
    logging.getLogger("protocol").debug("seen")
    assert "DEBUG protocol: seen" in stderr()


def test_the_level_of_frames_has_a_name_and_a_warning(stderr: Callable[[], str]) -> None:
    set_up_logging(FRAMES)
    logging.getLogger("protocol.drivers.attachment").log(FRAMES, "-> 12 DATA 1400")
    warning, frame = stderr().splitlines()
    assert "WARNING protocol.program.logs: every frame is logged" in warning
    assert frame.endswith("FRAMES protocol.drivers.attachment: -> 12 DATA 1400")


@pytest.mark.parametrize("level", [FRAMES + 1, logging.DEBUG, logging.INFO])
def test_another_level_has_no_warning(stderr: Callable[[], str], level: int) -> None:
    set_up_logging(level)
    assert stderr() == ""


def test_setting_up_twice_prints_each_record_once(stderr: Callable[[], str]) -> None:
    set_up_logging()
    logging.getLogger("protocol").info("once")
    assert stderr().count("once") == 1


def test_records_go_to_the_stderr_of_their_moment(stderr: Callable[[], str]) -> None:
    later = io.StringIO()
    with contextlib.redirect_stderr(later):
        logging.getLogger("protocol").info("later")
    assert "later" in later.getvalue()
    assert stderr() == ""


@pytest.mark.parametrize("word", LOG_LEVELS)
def test_every_level_of_the_setting_shows_what_is_as_grave_and_no_more(
    stderr: Callable[[], str], word: str
) -> None:
    set_up_logging(LEVELS[word])
    for level in LEVELS.values():
        logging.getLogger("protocol").log(level, "ours")
        logging.getLogger("trio-websocket").log(level, "theirs")
    lines = [line.split()[1:] for line in stderr().splitlines()]
    shown = LOG_LEVELS[: LOG_LEVELS.index(word) + 1]
    assert [line[0] for line in lines if line[-1] == "ours"] == [name.upper() for name in shown]
    # A library is heard from WARNING on, whatever is asked for; in silence it is silent, too.
    assert len([line for line in lines if line[-1] == "theirs"]) == min(len(shown), 2)


def test_levels_are_those_of_the_setting() -> None:
    assert tuple(LEVELS) == LOG_LEVELS
    assert LEVELS["frames"] == FRAMES < logging.DEBUG
