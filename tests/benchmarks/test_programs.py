from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import trio

from benchmarks import programs
from benchmarks.programs import BenchmarkError, last_words, output, running

SAYS_PORT = "print('hello'); print('{\"port\": 7}', flush=True); import time; time.sleep(60)"
DEAF = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print('deaf', flush=True); signal.pause()"
)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_program_is_waited_for_by_what_it_prints_and_ends_with_the_block(
    tmp_path: Path,
) -> None:
    async with running("app", python(SAYS_PORT), tmp_path) as program:
        assert await program.json_line("port") == {"port": 7}
        assert is_alive(program.pid)
    assert not is_alive(program.pid)


async def test_a_program_outlives_trios_idle_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trio._core._thread_cache.IDLE_TIMEOUT", 0.01)
    async with running("sleep", ["sleep", "60"], tmp_path) as program:
        with trio.move_on_after(0.2) as waiting:
            await program.wait()
        assert waiting.cancelled_caught, program


async def test_a_cancelled_block_ends_its_program_as_well(tmp_path: Path) -> None:
    with trio.CancelScope() as scope:
        async with running("app", python(SAYS_PORT), tmp_path) as program:
            await program.line("port")
            scope.cancel()
            await trio.sleep_forever()
    assert not is_alive(program.pid)


async def test_a_program_that_ignores_sigterm_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "END_S", 0.05)
    async with running("app", python(DEAF), tmp_path) as program:
        await program.line("deaf")
    assert not is_alive(program.pid)


async def test_a_program_that_ends_early_is_reported_with_its_last_error(tmp_path: Path) -> None:
    code = "import sys; print('Error: port taken'); sys.exit('goodbye')"
    async with running("app", python(code), tmp_path) as program:
        with pytest.raises(BenchmarkError, match="app ended early: Error: port taken"):
            await program.line("listening")


async def test_a_program_that_is_silent_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "START_S", 0.05)
    async with running("app", python("import time; time.sleep(60)"), tmp_path) as program:
        with pytest.raises(BenchmarkError, match=r"app: no .*'port' within 0\.05 s"):
            await program.line("port")


async def test_output_is_what_a_command_prints() -> None:
    assert await output(python("print('hello')"), 30) == "hello\n"


async def test_a_command_that_fails_gives_its_last_words() -> None:
    with pytest.raises(BenchmarkError, match=r"nothing for 10 s"):
        await output(python("raise SystemExit('receive: nothing for 10 s')"), 30)


async def test_a_command_that_takes_too_long_is_ended() -> None:
    with pytest.raises(BenchmarkError, match=r"took longer than 0\.1 s"):
        await output(python("import time; time.sleep(60)"), 0.1)


def test_last_words_are_the_last_line_with_an_error() -> None:
    assert last_words(["TypeError: x", "", "Node.js v24"]) == "TypeError: x"
    assert last_words(["one", "two", " "]) == "two"
    assert last_words([]) == ""
