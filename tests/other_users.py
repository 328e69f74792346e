"""Programs as another user, for tests that run as root.

The Python of these tests may be in a folder of root's, which nobody else may pass; another one of
the same version can then be told where the packages are.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from functools import cache
from pathlib import Path

from tests.needs import lacks, needs

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = os.pathsep.join((str(ROOT), sysconfig.get_path("purelib")))
_TRIED = "import sys, trio, msgpack, tunnel_server; print(*sys.version_info[:2])"


def be(uid: int, *privileges: str) -> list[str]:
    """What stands before a command of this user, who has no groups and no capabilities."""
    if os.geteuid() != 0:
        lacks("root, to be another user")
    [setpriv] = needs("setpriv")
    return [setpriv, f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *privileges]


@cache
def python_of(uid: int) -> str:
    """A Python that this user may run; PYTHONPATH has to be PACKAGES."""
    pythons = (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3")
    found = next((python for python in pythons if _runs(uid, python)), None)
    if found is None:
        lacks("a Python of this version that another user may run")
    return found


def _runs(uid: int, python: str) -> bool:
    # By a shell, since setpriv itself could still pass any folder.
    tried = subprocess.run(
        [*be(uid), "sh", "-c", f'exec {python} -c "{_TRIED}"'],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": PACKAGES},
        cwd="/",
        capture_output=True,
        text=True,
    )
    return tried.stdout == "{} {}\n".format(*sys.version_info)
