"""The rules for what may be on its way, by name, and the programs with one of them.

Nothing in the products knows of it: `scripts_of` makes a folder with the programs' names, and what
is called by them puts the rule in the place of `InFlight` before it runs the program.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Final

from protocol.limits import KIB
from protocol.mux import acks
from protocol.mux.inflight import InFlight

ROOT: Final = Path(__file__).resolve().parents[3]
PACKAGES: Final = {"tunnel-server": "tunnel_server", "tunnel-client": "tunnel_client"}
_SCRIPT: Final = """\
#!{python}
import sys
sys.path.insert(0, {root!r})
from tests.faults.lines.rules import run
sys.exit(run({rule!r}, {package!r}))
"""


class SwitchedOff(InFlight):
    """Everything may go, and the kernel has what the line has no room for."""

    def may_go(self, now: float) -> bool:
        return True

    @property
    def cap_bytes(self) -> float:
        return math.inf

    @property
    def message_bytes(self) -> int:
        return 16 * KIB


LANDED: Final = "landed"  # what stands in protocol/mux/inflight.py
NONE: Final = "none"
RULES: Final[dict[str, Callable[[], InFlight]]] = {LANDED: InFlight, NONE: SwitchedOff}


def scripts_of(rule: str, folder: Path) -> Path:
    """Make the programs with this rule, in a folder of their own."""
    folder.mkdir()
    for name, package in PACKAGES.items():
        script = folder / name
        script.write_text(
            _SCRIPT.format(python=sys.executable, root=str(ROOT), rule=rule, package=package)
        )
        script.chmod(0o755)
    return folder


def run(rule: str, package: str) -> int:
    """Run a program with a rule; its exit code."""
    vars(acks)["InFlight"] = RULES[rule]
    code: int = import_module(f"{package}.__main__").main()
    return code
