from __future__ import annotations

import re

from protocol.program.process import version


def test_version_is_that_of_the_installed_distribution() -> None:
    assert re.match(r"[0-9]+\.[0-9]+\.[0-9]+", version())
