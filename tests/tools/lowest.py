"""The lowest versions that pyproject.toml allows, as constraints for pip: `make lowest`."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

_BOUND = re.compile(r"([A-Za-z0-9._-]+)>=([0-9][0-9a-z.]*)")


def constraints(pyproject: str) -> list[str]:
    """A line for each dependency of the programs.

    Raises:
        ValueError: one of them has no lower bound.
    """
    found = []
    for dependency in tomllib.loads(pyproject)["project"]["dependencies"]:
        match = _BOUND.fullmatch(dependency)
        if match is None:
            raise ValueError(f"{dependency} is no NAME>=VERSION")
        found.append(f"{match[1]}=={match[2]}")
    return found


def main() -> None:
    pyproject = Path(__file__).resolve().parents[2] / "pyproject.toml"
    sys.stdout.writelines(f"{line}\n" for line in constraints(pyproject.read_text()))


if __name__ == "__main__":
    main()
