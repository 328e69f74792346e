from __future__ import annotations

import os
import subprocess
import sys

import pytest

from benchmarks.usage import TICKS_PER_S, Memory, children, cpu_s, memory, parse_stat, parse_status


def test_processor_time_is_user_and_system_of_any_name() -> None:
    fields = ["R", "1", *["0"] * 9, "250", "50", "0", "0"]

    assert parse_stat(f"42 (a ) (b) {' '.join(fields)}") == pytest.approx(300 / TICKS_PER_S)


def test_memory_is_the_resident_set_now_and_at_its_peak() -> None:
    status = "Name:\tnode\nVmPeak:\t  999 kB\nVmHWM:\t   70 kB\nVmRSS:\t   57 kB\nRssAnon:\t 1 kB\n"

    assert parse_status(status) == Memory(57 * 1024, 70 * 1024)


def test_a_process_that_has_ended_has_no_memory() -> None:
    assert parse_status("Name:\tnode\nState:\tZ (zombie)\n") == Memory(0, 0)


def test_a_program_counts_with_its_children() -> None:
    alone = memory(os.getpid())
    code = "import sys; print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()  # it runs

        assert child.pid in children(os.getpid())
        together = memory(os.getpid())
        assert together.peak_bytes >= alone.peak_bytes + memory(child.pid).resident_bytes // 2
        assert cpu_s(os.getpid()) >= cpu_s(child.pid)


def test_a_program_that_has_ended_is_an_error_before_and_after_it_is_waited_for() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(ProcessLookupError):
            memory(ended.pid)
    with pytest.raises(FileNotFoundError):
        memory(ended.pid)
