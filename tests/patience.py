"""How long a test waits before it says that something hangs.

On a machine that has other work all takes longer, and nothing else changes: `make busy` sets
TEST_PATIENCE=3, and limits by which a test only gives up are three times as long. What is measured
or promised is no such limit.
"""

from __future__ import annotations

import os
from typing import Final

PATIENCE: Final = int(os.environ.get("TEST_PATIENCE", "1"))
