"""Runs the unit tests that a change concerns, each time a Python file is saved: make watch

Concerned are the changed tests, those that import what has changed, and those that are named after
it. It looks twice a second, since what tells of changes is another on each system.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import trio

ROOT: Final = Path(__file__).parents[2]
FOLDERS: Final = ("protocol", "tunnel_server", "tunnel_client", "tests", "examples", "benchmarks")
# What starts real programs is for `make test`.
SLOW_FOLDERS: Final = (
    "tests/system",
    "tests/e2e",
    "tests/apps",
    "tests/conformance",
    "tests/faults",
)
LOOK_EVERY_S: Final = 0.5
PYTEST: Final = (sys.executable, "-bb", "-m", "pytest", "-q", "-m", "not slow")

Times = dict[Path, int]


def python_files(root: Path) -> list[Path]:
    """Those of FOLDERS, without what npm has brought."""
    found = (path for folder in FOLDERS for path in (root / folder).rglob("*.py"))
    return [path for path in found if "node_modules" not in path.parts]


def times(root: Path) -> Times:
    """When each file was last written; one that is just being replaced is left out."""
    seen: Times = {}
    for path in python_files(root):
        try:
            seen[path] = path.stat().st_mtime_ns
        except FileNotFoundError:
            continue
    return seen


def changed(before: Times, now: Times) -> set[Path]:
    """What is new or was written anew."""
    return {path for path, time_ns in now.items() if before.get(path) != time_ns}


def concerned(root: Path, files: Iterable[Path]) -> list[Path]:
    """The unit tests that a change of these files concerns."""
    tests = [path for path in python_files(root) if is_unit_test(root, path)]
    wanted: set[Path] = set()
    for file in files:
        module = ".".join(file.relative_to(root).with_suffix("").parts)
        imports = re.compile(rf"^(from|import) {re.escape(module)}\b", re.MULTILINE)
        wanted |= {
            test
            for test in tests
            if test == file
            or re.match(rf"test_{re.escape(file.stem)}(_|\.)", test.name)
            or imports.search(test.read_text())
        }
    return sorted(wanted)


def is_unit_test(root: Path, path: Path) -> bool:
    inside = path.relative_to(root).as_posix()
    return path.name.startswith("test_") and not inside.startswith(SLOW_FOLDERS)


async def main() -> None:
    before = times(ROOT)
    print(f"watching {len(before)} files; Ctrl-C ends it", flush=True)
    while True:
        await trio.sleep(LOOK_EVERY_S)
        now = times(ROOT)
        tests = concerned(ROOT, changed(before, now))
        before = now
        if tests:
            await trio.run_process([*PYTEST, *map(str, tests)], cwd=ROOT, check=False)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        trio.run(main)
