from __future__ import annotations

import pytest

from protocol import SUBPROTOCOLS, VERSION, VERSIONS, best_version, subprotocol_of, version_of


def test_the_newest_version_is_offered_first() -> None:
    assert SUBPROTOCOLS == ("trio-tunnel.2", "trio-tunnel.1")
    assert sorted(VERSIONS, reverse=True) == [*VERSIONS]
    assert VERSIONS[0] == VERSION


@pytest.mark.parametrize("version", VERSIONS)
def test_a_version_and_its_name_are_one_another(version: int) -> None:
    assert version_of(subprotocol_of(version)) == version


@pytest.mark.parametrize(
    "name", [None, "", "trio-tunnel", "trio-tunnel.3", "trio-tunnel.02", "x.trio-tunnel.2"]
)
def test_another_name_is_no_version_of_ours(name: str | None) -> None:
    assert version_of(name) is None


@pytest.mark.parametrize(
    ("offered", "best"),
    [
        (["trio-tunnel.2", "trio-tunnel.1"], 2),
        (["trio-tunnel.1", "trio-tunnel.2"], 2),
        (["trio-tunnel.3", "trio-tunnel.1"], 1),
        (["trio-tunnel.1"], 1),
        (["trio-tunnel.3", "graphql-ws"], None),
        ([], None),
    ],
)
def test_the_newest_of_what_is_offered_is_taken(offered: list[str], best: int | None) -> None:
    assert best_version(offered) == best
