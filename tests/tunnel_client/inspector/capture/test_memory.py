from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("budget_mib", [8, 32])
def test_a_gb_of_mixed_traffic_stays_within_the_budget(budget_mib: int) -> None:
    """Small GETs, a body a byte at a time, large ones, and WebSockets of 100,000 frames."""
    command = [sys.executable, str(HERE / "traffic.py"), str(budget_mib), "1000"]
    environ = {**os.environ, "PYTHONPATH": str(HERE.parents[3])}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
