"""Processor time and memory of running programs, from /proc (proc(5)).

A program counts with its children: sshd serves each connection in a process of its own.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Memory:
    resident_bytes: int
    peak_bytes: int


def cpu_s(pid: int) -> float:
    """Seconds of processor time, user and system, of the program and its living children.

    Raises OSError when the program has ended.
    """
    return sum(parse_stat(text) for text in read(pid, "stat"))


def waited_s(pid: int) -> float:
    """Seconds for which the program's main thread could have run, and others had its processor.

    The second number of /proc/PID/schedstat, in nanoseconds. Raises OSError when it has ended.
    """
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


def memory(pid: int) -> Memory:
    """Resident memory now and at its peak, of the program and its living children.

    Pages that they share count once for each. Raises OSError when the program has ended.
    """
    found = [parse_status(text) for text in read(pid, "status")]
    if not found[0].resident_bytes:
        raise ProcessLookupError("the program has ended")  # and we have not yet waited for it
    return Memory(sum(m.resident_bytes for m in found), sum(m.peak_bytes for m in found))


def read(pid: int, name: str) -> list[str]:
    """A file of /proc/PID for the program and for each of its children."""
    texts = [Path(f"/proc/{pid}/{name}").read_text(errors="replace")]
    for child in children(pid):
        try:
            texts += read(child, name)
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
    return texts


def children(pid: int) -> list[int]:
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for path in lists for child in path.read_text().split()]


def parse_stat(stat: str) -> float:
    """utime and stime, fields 14 and 15; the name in field 2 may hold blanks and parentheses."""
    after_name = stat.rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / TICKS_PER_S


def parse_status(status: str) -> Memory:
    """Both numbers are 0 for a process that has ended and is not yet waited for."""
    kib = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB$", status, re.MULTILINE))
    return Memory(int(kib.get("VmRSS", 0)) * 1024, int(kib.get("VmHWM", 0)) * 1024)
