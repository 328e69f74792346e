"""A Python without `fcntl`, `resource` and `pwd`, as on Windows: both programs are loaded and run.

The rest of the system is Linux's all the same; this shows that nothing needs what those modules do.
"""

from __future__ import annotations

import pkgutil
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import protocol
import tunnel_client
import tunnel_server
from tests.programs import isolated

ROOT = Path(__file__).resolve().parents[2]
MISSING = ("fcntl", "resource", "pwd", "grp")
BLOCK = f"import sys\nfor name in {MISSING}: sys.modules[name] = None\n"


def modules() -> list[str]:
    packages = (protocol, tunnel_server, tunnel_client)
    found = [
        module.name
        for package in packages
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    ]
    return sorted(name for name in found if not name.endswith("__main__"))


def test_every_module_is_loaded() -> None:
    names = modules()
    assert "tunnel_server.owners.auth_file" in names
    code = f"{BLOCK}import importlib\nfor name in {names}: importlib.import_module(name)\n"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", MISSING)
def test_the_block_holds(name: str) -> None:
    done = subprocess.run([sys.executable, "-c", f"{BLOCK}import {name}"], capture_output=True)
    assert b"ModuleNotFoundError" in done.stderr


def test_the_demo_runs(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(BLOCK)  # in all that it starts, too
    env = isolated(tmp_path / "home") | {"PYTHONPATH": str(tmp_path)}
    demo = (sys.executable, str(ROOT / "examples" / "demo.py"))
    with subprocess.Popen(
        demo, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as started:
        assert started.stdout is not None
        said = ""
        while (found := re.search(r"Public URL +http://(\S+?)\.localhost:(\d+)", said)) is None:
            line = started.stdout.readline()
            assert line, said
            said += line
        ask = f"http://127.0.0.1:{found[2]}/"
        host = f"Host: {found[1]}.localhost"
        curl = ("curl", "-sS", "--noproxy", "*", "-H", host, ask)
        page = subprocess.run(curl, capture_output=True, text=True, check=True).stdout
        assert "Hello from your own machine." in page
        started.send_signal(signal.SIGINT)
        _, stderr = started.communicate()
    assert started.returncode == 0
    assert "Traceback" not in stderr


def test_a_token_is_made(tmp_path: Path) -> None:
    code = f"{BLOCK}from tunnel_server.cli import main\nsys.exit(main())"
    made = subprocess.run(
        [
            sys.executable,
            "-c",
            code,
            "token",
            "create",
            "ann",
            "--init",
            "--state-dir",
            str(tmp_path),
        ],
        cwd=ROOT,
        env=isolated(tmp_path / "home"),
        capture_output=True,
        text=True,
    )
    assert (made.returncode, made.stdout[:3]) == (0, "tt_")
