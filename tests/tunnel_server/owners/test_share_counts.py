from __future__ import annotations

from collections.abc import Callable

import pytest

from protocol.mux.memory import Memory
from tunnel_server.owners.held import HeldShare
from tunnel_server.owners.share_counts import Counted, ShareCount, count
from tunnel_server.owners.shares import MemoryShare, Share
from tunnel_server.owners.waiting import RoomShare

MOST = 8


def places(*keys: str | None) -> Counted:
    share = Share(MOST)
    for key in keys:
        share.take(key)
    return share


def rooms(*keys: str | None) -> Counted:
    share = RoomShare(MOST)
    for key in keys:
        share.take(key)
    return share


def held(*keys: str | None) -> Counted:
    share: HeldShare[int] = HeldShare(MOST)
    for number, key in enumerate(keys):
        assert share.add(number, key) == []
    return share


def memory(*keys: str | None) -> Counted:
    share = MemoryShare(MOST)
    for key in keys:
        share.lender(key).take(Memory(), 1)
    return share


@pytest.mark.parametrize("taken_by", [places, rooms, held, memory])
def test_each_kind_says_what_is_taken_and_who_has_most(
    taken_by: Callable[..., Counted],
) -> None:
    assert count(taken_by()) == ShareCount(MOST, 0, None, 0, at_its_share=False)
    assert count(taken_by(None)) == ShareCount(MOST, 1, None, 0, at_its_share=False)
    counted = count(taken_by("ann", "bob", None, None, "bob"))
    assert counted == ShareCount(MOST, 5, "bob", 2, at_its_share=False)


@pytest.mark.parametrize("taken_by", [places, rooms, held, memory])
@pytest.mark.parametrize(("own", "full"), [(5, False), (6, True)])
def test_it_says_who_may_take_no_more(
    taken_by: Callable[..., Counted], own: int, full: bool
) -> None:
    counted = count(taken_by(*["ann"] * own))
    assert counted == ShareCount(MOST, own, "ann", own, at_its_share=full)


def test_an_install_key_is_named_as_in_the_log() -> None:
    assert count(places("key:" + "0" * 64)).heaviest == "key:0000000000..."
