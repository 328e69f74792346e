from __future__ import annotations

from pathlib import Path

import pytest

from tests.tools.lowest import constraints


def test_each_lower_bound_becomes_that_very_version() -> None:
    text = '[project]\ndependencies = ["trio>=0.30", "msgpack>=1.2.1"]\n'
    assert constraints(text) == ["trio==0.30", "msgpack==1.2.1"]


@pytest.mark.parametrize("bound", ["trio", "trio==1", "trio>=1,<2", "trio>=1; os_name == 'x'"])
def test_a_dependency_without_a_plain_one_is_refused(bound: str) -> None:
    with pytest.raises(ValueError, match="is no NAME>=VERSION"):
        constraints(f'[project]\ndependencies = ["{bound}"]\n')


def test_ours_have_one_each() -> None:
    pyproject = Path(__file__).resolve().parents[2] / "pyproject.toml"
    assert len(constraints(pyproject.read_text())) >= 8
