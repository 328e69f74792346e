from __future__ import annotations

from typing import Any

import pytest

from tunnel_server.admin.name_commands import Holder, NameCommands
from tunnel_server.owners.names import Change, Kept, KeptNames

DAY = 86_400.0


class World:
    def __init__(self, keep_s: float = 30 * DAY) -> None:
        self.live: dict[str, Holder] = {}
        self.written: dict[str, Change] = {}
        self.names = KeptNames(keep_s, self.live.__contains__, self.written.__setitem__)
        self.commands = NameCommands(
            self.names, lambda: self.live, lambda: 2 * DAY, {"ann", "bob"}.__contains__
        )

    def do(self, word: str, **asked: object) -> dict[str, Any]:
        return self.commands.by_word[word](asked)


@pytest.fixture
def world() -> World:
    return World()


def test_names_are_listed_with_their_owners_kept_or_held_alone(world: World) -> None:
    world.names.claimed("ann", "shop", DAY, chosen=True)
    world.names.claimed("bob", "k3", DAY, chosen=False)
    world.live.update(shop=Holder("zoe", True), made=Holder("bob", False), own=Holder("bob", True))
    assert world.do("names")["names"] == [
        {
            "name": "k3",
            "owner": "bob",
            "kept": True,
            "chosen": False,
            "live": False,
            "held_by": None,
            "seen": "1970-01-02T00:00:00+00:00",
        },
        {
            "name": "made",
            "owner": "bob",
            "kept": False,
            "chosen": False,
            "live": True,
            "held_by": "bob",
            "seen": "1970-01-03T00:00:00+00:00",
        },
        {
            "name": "own",
            "owner": "bob",
            "kept": False,
            "chosen": True,
            "live": True,
            "held_by": "bob",
            "seen": "1970-01-03T00:00:00+00:00",
        },
        {
            "name": "shop",
            "owner": "ann",
            "kept": True,
            "chosen": True,
            "live": True,
            "held_by": "zoe",
            "seen": "1970-01-02T00:00:00+00:00",
        },
    ]


def test_a_name_that_was_away_for_too_long_is_told_to_be_kept_no_more(world: World) -> None:
    world.names.claimed("ann", "shop", -28 * DAY, chosen=True)
    world.names.claimed("ann", "blog", -28 * DAY + 1, chosen=True)
    world.names.claimed("ann", "live", -99 * DAY, chosen=True)
    world.live["live"] = Holder("ann", True)
    kept = {str(each["name"]): each["kept"] for each in world.do("names")["names"]}
    assert kept == {"shop": False, "blog": True, "live": True}


def test_a_name_that_is_released_is_anybodys(world: World) -> None:
    world.names.claimed("ann", "shop", DAY, chosen=True)
    assert world.do("release", name="shop") == {"owner": "ann", "held_by": None}
    assert world.names.may_claim("bob", "shop", DAY)
    assert world.written["shop"] is None


def test_a_release_says_who_holds_the_name_still(world: World) -> None:
    world.names.claimed("ann", "shop", DAY, chosen=True)
    world.live["shop"] = Holder("ann", True)
    assert world.do("release", name="shop") == {"owner": "ann", "held_by": "ann"}


def test_a_name_that_is_given_is_that_owners_whoevers_it_was(world: World) -> None:
    world.names.claimed("ann", "shop", DAY, chosen=False)
    answer = world.do("give", name="shop", owner="bob")
    assert answer == {"owner": "bob", "held_by": None, "known": True}
    assert not world.names.may_claim("ann", "shop", DAY)
    assert world.written["shop"] == Kept("bob", chosen=True, seen_at=2 * DAY)


def test_a_gift_of_a_live_name_says_who_holds_it(world: World) -> None:
    world.live["shop"] = Holder("ann", True)
    assert world.do("give", name="shop", owner="bob")["held_by"] == "ann"


def test_a_gift_to_somebody_whom_no_token_is_for_is_made_and_told(world: World) -> None:
    assert world.do("give", name="shop", owner="bobb")["known"] is False
    assert not world.names.may_claim("bob", "shop", DAY)


@pytest.mark.parametrize(
    ("word", "asked", "said"),
    [
        ("release", {"name": "shop"}, "shop is free"),
        ("release", {"name": "live"}, "live is not kept; ann holds it now"),
        ("release", {"name": "Shop"}, "'Shop' is no name; one is 1 to 63 of a-z"),
        ("release", {"name": 7}, "7 is no name"),
        ("release", {}, "None is no name"),
        ("give", {"name": "a.b", "owner": "bob"}, "'a.b' is no name"),
        ("give", {"name": "shop"}, "an owner is the name of a token"),
        ("give", {"name": "shop", "owner": ""}, "an owner is the name of a token"),
        ("give", {"name": "shop", "owner": "x" * 65}, "an owner is the name of a token"),
        ("give", {"name": "shop", "owner": "\udcff"}, "an owner is the name of a token"),
        ("give", {"name": "shop", "owner": "key:0"}, "an owner is the name of a token"),
        ("give", {"name": "shop", "owner": ["bob"]}, "an owner is the name of a token"),
    ],
)
def test_what_cannot_be_done_is_told(
    world: World, word: str, asked: dict[str, object], said: str
) -> None:
    world.live["live"] = Holder("ann", True)
    with pytest.raises(ValueError, match=said):
        world.do(word, **asked)
    assert world.written == {}


@pytest.mark.parametrize("owner", ["x" * 64, "ann@example.com", f"key:{'0' * 64}"])
def test_an_owner_is_the_name_of_a_token_or_an_install_key(world: World, owner: str) -> None:
    world.do("give", name="shop", owner=owner)
    assert world.names.may_claim(owner, "shop", DAY)


def test_a_server_that_keeps_no_names_gives_none() -> None:
    with pytest.raises(ValueError, match="this server keeps no names"):
        World(keep_s=0).do("give", name="shop", owner="bob")
