"""Virtual environments for apps whose packages cannot, or should not, stand beside ours.

Each is named after a file of tests/apps/environments/, which pins what the apps ask for by
themselves, and is made on first use in .venv-apps/. It is made anew when that file has changed. A
project of Node's has a copy there, installed as its lockfile says.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

import trio

from tests.needs import needs
from tests.patience import PATIENCE

HERE = Path(__file__).parent
MADE = HERE.parents[1] / ".venv-apps"
INSTALL_S = 300 * PATIENCE  # Gradio brings numpy and pandas


async def environment(name: str) -> Path:
    """The folder of the environment's programs, `python` among them."""
    pinned = HERE / "environments" / f"{name}.txt"
    made = MADE / name
    stamp = made / f"made-{hashlib.sha256(pinned.read_bytes()).hexdigest()[:16]}"
    if not stamp.exists():
        shutil.rmtree(made, ignore_errors=True)
        await _make(made, pinned)
        stamp.touch()
    return made / "bin"


async def node_project(folder: Path) -> Path:
    """A copy of the project with what it depends on. What a test writes there stays."""
    lock = (folder / "package-lock.json").read_bytes()
    made = MADE / folder.name
    stamp = made / f"made-{hashlib.sha256(lock).hexdigest()[:16]}"
    if not stamp.exists():
        shutil.rmtree(made, ignore_errors=True)
    ignored = shutil.ignore_patterns("node_modules")
    shutil.copytree(folder, made, ignore=ignored, dirs_exist_ok=True)
    if not stamp.exists():
        (npm,) = needs("npm")
        with trio.fail_after(INSTALL_S):
            await trio.run_process([npm, "ci", "--no-audit", "--no-fund"], cwd=made)
        stamp.touch()
    return made


async def _make(made: Path, pinned: Path) -> None:
    with trio.fail_after(INSTALL_S):
        await trio.run_process([sys.executable, "-m", "venv", str(made)])
        pip = [str(made / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        await trio.run_process([*pip, "--disable-pip-version-check", "-r", str(pinned)])
