from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.programs import Programs, open_programs


@pytest.fixture
async def programs(tmp_path: Path) -> AsyncIterator[Programs]:
    async with open_programs(tmp_path) as programs:
        yield programs
