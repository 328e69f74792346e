"""Fuzzes by coverage: `python -m tests.fuzz TARGET SECONDS`, which `make fuzz` calls for each.

Needs atheris (the extra `fuzz`). New inputs that cover more stay in a folder of their own under
.fuzz/; what breaks a target is written to its corpus, where the tests find it from then on.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

LONGEST_BYTES = 4096
UNIT_S = 5  # one input: longer is a fault


def main(name: str, seconds: str) -> None:
    atheris: Any = import_module("atheris")
    with atheris.instrument_imports(include=["protocol", "tunnel_client", "tunnel_server", "h11"]):
        targets: Any = import_module("tests.fuzz.targets")
    found = Path(".fuzz") / name
    found.mkdir(parents=True, exist_ok=True)
    corpus = targets.CORPUS / name
    flags = [
        f"-max_total_time={int(seconds)}",
        f"-max_len={LONGEST_BYTES}",
        f"-timeout={UNIT_S}",
        f"-artifact_prefix={corpus}/",
    ]
    atheris.Setup([sys.argv[0], *flags, str(found), str(corpus)], targets.TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
