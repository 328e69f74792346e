from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tunnel_server.owners import names as module
from tunnel_server.owners.names import (
    _FORGOTTEN_AT_ONCE,
    IN_ALL_MAX,
    OF_ADDRESS_MAX,
    OF_OWNER_MAX,
    SEEN_EVERY_S,
    Change,
    Kept,
    KeptNames,
    Seen,
)

DAY = 86_400.0
MONTH = 30 * DAY


class World:
    """Kept names, the sessions that hold some, and what was written down."""

    def __init__(self, keep_s: float = MONTH) -> None:
        self.live: set[str] = set()
        self.written: dict[str, Kept] = {}
        self.writes = 0
        self.names = KeptNames(keep_s, self.live.__contains__, self.write)

    def write(self, name: str, change: Change) -> None:
        self.writes += 1
        match change:
            case Kept():
                self.written[name] = change
            case Seen(owner, seen_at):
                assert self.written[name].owner == owner
                self.written[name] = self.written[name]._replace(seen_at=seen_at)
            case None:
                del self.written[name]

    def claim(
        self, owner: str, name: str, now: float = 0.0, *, chosen: bool = True, address: str = ""
    ) -> bool:
        if not self.names.may_claim(owner, name, now):
            return False
        self.live.add(name)
        self.names.claimed(owner, name, now, chosen=chosen, address=address or None)
        return True

    def leave(self, name: str, now: float = 0.0) -> None:
        self.live.discard(name)
        self.names.seen(name, now)

    def see(self, now: float) -> None:
        """What the directory does once an hour."""
        for name in self.names.all():
            if self.names.is_to_be_seen(name, now):
                self.names.seen(name, now)


@pytest.fixture
def world() -> World:
    return World()


def test_a_clock_that_was_behind_makes_no_name_look_forgotten(world: World) -> None:
    world.claim("ann", "shop", 40 * DAY)
    world.leave("shop", 40 * DAY)
    world.claim("ann", "shop", 0.0)  # a machine without a battery for its clock
    world.leave("shop", 1.0)
    assert not world.claim("bob", "shop", 41 * DAY)


def test_strangers_forget_no_name_of_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IN_ALL_MAX", 10)
    world = World()
    for number in range(8):
        world.claim("ann", f"a{number}")
        world.leave(f"a{number}")
    for number in range(30):
        world.claim(f"key:{number}", f"k{number}", address=f"192.0.2.{number}")
        world.leave(f"k{number}")
    kept = dict(world.names)
    assert sum(each.owner == "ann" for each in kept.values()) == 8
    assert set(kept) >= {"k28", "k29"}
    assert len(kept) == 10
    world.claim("bob", "b1")  # a token's takes a stranger's place first
    world.claim("bob", "b2")
    world.claim("bob", "b3")  # and then that of the one that was away longest
    assert "a0" not in dict(world.names)
    assert len(world.names) == 10
    assert world.claim("key:99", "late", address="192.0.2.99")
    assert "late" not in dict(world.names)  # there is nobody's to take the place of
    assert len(world.names) == 10
    assert len(world.written) == 10


def test_a_claim_is_noted_where_the_last_note_is_old(world: World) -> None:
    world.claim("ann", "shop", 0.0)
    world.claim("ann", "shop", DAY - 1)
    assert world.written["shop"].seen_at == 0
    world.claim("ann", "shop", 3 * DAY)
    assert world.written["shop"].seen_at == 3 * DAY


# --- whose a name is -----------------------------------------------------------------------------


def test_a_name_that_went_is_its_owners_and_no_others(world: World) -> None:
    assert world.claim("ann", "shop")
    world.leave("shop")
    assert not world.claim("bob", "shop", MONTH - 1)
    assert world.claim("ann", "shop", MONTH - 1)


@pytest.mark.parametrize("chosen", [True, False])
def test_after_its_time_it_is_whose_who_asks(world: World, chosen: bool) -> None:
    world.claim("ann", "shop", chosen=chosen)
    world.leave("shop", 5.0)
    assert not world.claim("bob", "shop", 5.0 + MONTH - 0.1)
    assert world.claim("bob", "shop", 5.0 + MONTH)
    assert world.written == {"shop": Kept("bob", True, 5.0 + MONTH)}


def test_a_live_one_is_its_owners_however_long(world: World) -> None:
    world.claim("ann", "shop")
    assert not world.names.may_claim("bob", "shop", 100 * MONTH)


def test_a_clock_that_jumps_frees_nothing_by_itself(world: World) -> None:
    world.claim("ann", "shop")
    world.leave("shop", 10.0)
    world.see(100 * MONTH)
    assert world.names.may_claim("ann", "shop", 100 * MONTH)
    assert not world.claim("bob", "shop", 10.0)  # it was set right again
    assert not world.claim("bob", "shop", -100 * MONTH)


def test_nothing_is_kept_where_names_are_not(world: World) -> None:
    world = World(keep_s=0)
    world.claim("ann", "shop")
    world.leave("shop")
    assert (len(world.names), world.writes) == (0, 0)
    assert world.claim("bob", "shop")


def test_what_was_chosen_once_stays_so_for_its_owner(world: World) -> None:
    world.claim("ann", "shop", chosen=True)
    world.claim("ann", "shop", 1.0, chosen=False)
    assert world.names.get("shop") == Kept("ann", True, 1.0)
    world.claim("ann", "otter", chosen=False)
    world.claim("ann", "otter", chosen=True)
    assert world.names.get("otter") == Kept("ann", True, 0.0)


def test_releasing_and_giving(world: World) -> None:
    world.claim("ann", "shop")
    world.leave("shop")
    assert world.names.release("shop")
    assert not world.names.release("shop")
    assert world.written == {}
    assert world.claim("bob", "shop")
    world.leave("shop")
    world.names.give("shop", "carol", 7.0)
    assert world.written == {"shop": Kept("carol", True, 7.0)}
    assert not world.claim("bob", "shop", 8.0)


# --- what is written -----------------------------------------------------------------------------


def test_what_changes_nothing_is_not_written(world: World) -> None:
    world.claim("ann", "shop")
    assert world.writes == 1
    for now in range(100):
        world.claim("ann", "shop", now)
    assert world.writes == 1
    world.leave("shop", 100.0)
    assert (world.writes, world.written["shop"].seen_at) == (2, 100.0)


def test_live_names_are_written_once_a_day(world: World) -> None:
    world.claim("ann", "shop")
    world.claim("ann", "blog")
    world.leave("blog", 1.0)
    for hour in range(49):
        world.see(hour * 3600.0)
    assert world.written["shop"].seen_at == 2 * SEEN_EVERY_S
    assert world.written["blog"].seen_at == 1.0
    assert world.writes == 5


def test_live_names_are_written_four_times_while_one_would_be_kept() -> None:
    """So that a crash gives nobody's name to somebody else who asks right after it."""
    world = World(keep_s=3_600.0)
    world.claim("ann", "shop")
    for minute in range(61):
        world.see(60.0 * minute)
    assert world.written["shop"].seen_at == 3_600.0
    assert world.writes == 5


def test_what_was_written_down_is_taken(world: World) -> None:
    written = {"shop": Kept("ann", True, 5.0), "otter": Kept("bob", False, 6.0)}
    world.names.read(written)
    assert dict(world.names) == written
    assert not world.claim("bob", "shop", 7.0)
    assert world.writes == 0


def test_what_another_program_wrote_is_taken_of_live_names_too(world: World) -> None:
    """Somebody may have given them away; who holds one goes on until its client goes."""
    for name in ("live", "gone", "given", "released"):
        world.claim("ann", name)
    world.leave("gone")
    written = {
        "live": Kept("ann", True, 0.0),
        "given": Kept("bob", True, 9.0),
        "new": Kept("bob", True, 9.0),
    }
    world.names.read(written)
    assert dict(world.names) == written
    world.written = written
    world.leave("given", 10.0)
    assert not world.claim("ann", "given", 10.0)


# --- shares --------------------------------------------------------------------------------------


def fill(world: World, count: int, *, chosen: bool = True, address: str = "") -> None:
    for number in range(count):
        world.claim("ann", f"n{number}", float(number), chosen=chosen, address=address)
        world.leave(f"n{number}", float(number))


@pytest.mark.parametrize(("address", "most"), [("", OF_OWNER_MAX), ("192.0.2.1", OF_ADDRESS_MAX)])
def test_of_a_full_share_the_one_that_was_away_longest_goes(
    world: World, address: str, most: int
) -> None:
    fill(world, most, address=address)
    assert len(world.names) == most
    world.claim("ann", "one more", 1e6, address=address)
    assert len(world.names) == most
    assert world.names.get("n0") is None
    assert "n0" not in world.written
    assert world.names.get("n1") is not None


def test_made_up_ones_go_first_and_live_ones_never(world: World) -> None:
    fill(world, OF_OWNER_MAX - 2)
    world.claim("ann", "made-up", 1e6, chosen=False)
    world.claim("ann", "away", 1e6 + 1, chosen=False)
    world.leave("away", 1e6 + 2)
    world.live.add("n0")
    world.claim("ann", "more-1", 1e6 + 3)
    assert world.names.get("away") is None  # made up, and away
    world.claim("ann", "more-2", 1e6 + 4)
    assert world.names.get("made-up") is not None  # made up, and live
    assert world.names.get("n0") is not None  # the oldest, and live
    assert world.names.get("n1") is None
    assert len(world.names) == OF_OWNER_MAX


@pytest.mark.parametrize(("address", "most"), [("", OF_OWNER_MAX), ("192.0.2.1", OF_ADDRESS_MAX)])
def test_a_claim_is_never_refused_for_want_of_room_and_one_too_many_is_not_kept(
    world: World, address: str, most: int
) -> None:
    for number in range(most + 1):
        assert world.claim("ann", f"n{number}", address=address)
    assert len(world.names) == len(world.written) == most  # all of them are live
    assert world.names.get(f"n{most}") is None
    world.leave(f"n{most}", 1.0)
    assert len(world.names) == most
    assert world.claim("ann", "still too many", 2.0, address=address)
    assert len(world.names) == most
    world.leave("n0", 3.0)
    assert world.claim("ann", "still too many", 4.0, address=address)  # as its client comes back
    assert world.names.get("still too many") is not None
    assert world.names.get("n0") is None
    assert len(world.names) == most


def test_a_claim_that_one_share_has_no_room_for_costs_none_of_another(world: World) -> None:
    fill(world, OF_OWNER_MAX)
    for number in range(OF_ADDRESS_MAX):
        world.claim("bob", f"b{number}", address="192.0.2.1")
    world.claim("ann", "one more", 1e6, address="192.0.2.1")
    assert world.names.get("one more") is None
    assert world.names.get("n0") is not None


def test_a_kept_name_stays_so_at_an_address_that_is_full(world: World) -> None:
    world.claim("ann", "shop", address="192.0.2.2")
    world.leave("shop", 1.0)
    for number in range(OF_ADDRESS_MAX):
        world.claim("bob", f"b{number}", address="192.0.2.1")
    world.claim("ann", "shop", 2.0, address="192.0.2.1")
    assert len(world.names) == OF_ADDRESS_MAX + 1
    world.leave("b0", 3.0)
    world.claim("ann", "shop", 4.0, address="192.0.2.1")
    assert world.names.get("b0") is None
    assert world.names.get("shop") is not None


def written_down(count: int, seen_at: float = 0.0) -> dict[str, Kept]:
    """What a version wrote that kept all that were live, however many."""
    return {f"n{number}": Kept("ann", True, seen_at) for number in range(count)}


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_a_claim_forgets_so_many_at_most_and_the_next_one_the_rest(
    world: World, extra: int, again: bool
) -> None:
    """Of an owner thousands may be written down; `again`: of a name that is kept already."""
    count = OF_OWNER_MAX + _FORGOTTEN_AT_ONCE + extra
    world.written = written_down(count)
    world.names.read(world.written)
    name = f"n{count - 1}" if again else "more"
    world.claim("ann", name, 2.0)
    after = count + (not again) - _FORGOTTEN_AT_ONCE
    assert len(world.names) == max(after, OF_OWNER_MAX)
    assert world.names.get(name) is not None
    world.claim("ann", "still more", 3.0)
    assert len(world.names) == OF_OWNER_MAX


def test_of_an_owner_that_has_too_many_live_ones_one_goes_as_each_leaves(world: World) -> None:
    count = OF_OWNER_MAX + 100
    world.live.update(written_down(count))
    world.written = written_down(count)
    world.names.read(written_down(count))
    world.claim("ann", "more")
    assert len(world.names) == count
    assert world.names.get("more") is None
    for number in range(100):
        world.leave(f"n{number}", 1.0)
        assert world.names.get(f"n{number}") is None
    assert len(world.names) == OF_OWNER_MAX
    world.leave("n100", 1.0)
    assert len(world.names) == OF_OWNER_MAX


def test_an_owner_with_more_live_names_than_all_may_keep_costs_no_other_one_any(
    world: World,
) -> None:
    for number in range(10):
        world.claim("alice", f"shop{number}", -2.0)
        world.leave(f"shop{number}", -1.0)
    for number in range(IN_ALL_MAX + 1):
        assert world.claim("mallory", f"m{number}")
    assert not world.claim("bob", "shop1", 1.0)
    assert world.claim("carol", "blog", 1.0)
    owners = Counter(kept.owner for _, kept in world.names)
    assert owners == {"alice": 10, "mallory": OF_OWNER_MAX, "carol": 1}
    for number in range(IN_ALL_MAX + 1):
        world.leave(f"m{number}", 2.0)
    assert Counter(kept.owner for _, kept in world.names) == owners
    assert world.written == dict(world.names)


@pytest.mark.parametrize("kind", ["token", "stranger"])
def test_where_all_are_taken_the_heaviest_pays_and_nobody_who_has_as_few(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(module, "IN_ALL_MAX", 30)
    world = World()

    def claim(who: str, name: str, now: float) -> None:
        if kind == "token":
            world.claim(who, name, now)
        else:  # owners cost it nothing: each name is another one's, of the same address
            world.claim(f"key:{name}", name, now, address=who)

    def kept_of(who: str) -> list[str]:
        return [name for name, _ in world.names if name.startswith(who)]

    for number in range(5):
        claim("ann", f"ann{number}", 0.0)
        world.leave(f"ann{number}", 0.0)
    for number in range(25):
        claim("bob", f"bob{number}", 1.0 + number)
        world.leave(f"bob{number}", 1.0 + number)
    claim("bob", "bob25", 50.0)
    assert (len(kept_of("ann")), len(kept_of("bob"))) == (5, 25)
    assert world.names.get("bob0") is None
    claim("carol", "carol0", 51.0)
    assert (len(kept_of("ann")), len(kept_of("bob"))) == (5, 24)
    for number in range(2, 25):
        world.live.add(f"bob{number}")
    for number in range(1, 5):
        claim("carol", f"carol{number}", 52.0)
    # Bob's are live, so ann pays while she has more than carol. What came then is not kept.
    assert (kept_of("ann"), kept_of("carol")) == (
        ["ann2", "ann3", "ann4"],
        ["carol0", "carol1", "carol2"],
    )
    world.leave("carol1", 53.0)
    claim("carol", "carol5", 54.0)  # her own pays
    assert kept_of("ann") == ["ann2", "ann3", "ann4"]
    assert kept_of("carol") == ["carol0", "carol2", "carol5"]
    assert len(world.names) == len(world.written) == 30


def test_an_owner_that_is_full_costs_no_other_one(world: World) -> None:
    world.claim("bob", "shop", -1.0)
    world.leave("shop", -1.0)
    fill(world, OF_OWNER_MAX + 10)
    assert world.names.get("shop") == Kept("bob", True, -1.0)


def test_addresses_are_counted_over_their_owners(world: World) -> None:
    for number in range(OF_ADDRESS_MAX + 5):
        world.claim(f"key:{number}", f"n{number}", number, address="192.0.2.1")
        world.leave(f"n{number}", number)
    world.claim("key:x", "elsewhere", address="192.0.2.2")
    assert len(world.names) == OF_ADDRESS_MAX + 1


def test_all_owners_together_have_their_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IN_ALL_MAX", 50)
    world = World()
    for number in range(60):
        world.claim(f"o{number}", f"n{number}", number, chosen=number != 20)
        world.leave(f"n{number}", number)
    assert len(world.names) == 50
    gone = [number for number in range(60) if world.names.get(f"n{number}") is None]
    assert gone == [*range(9), 20]
    assert IN_ALL_MAX == 10_000


class CountedLive(set[str]):
    """Live names, and how often anybody asks for one."""

    asked = 0

    def __repr__(self) -> str:
        return f"<CountedLive {len(self)}, asked {self.asked}>"

    def __contains__(self, name: object) -> bool:
        self.asked += 1
        return super().__contains__(name)


def test_a_claim_walks_no_live_names() -> None:
    """Forty owners hold all that may be kept, so that nothing can go for one more."""
    world = World()
    live = world.live = CountedLive()
    world.names = KeptNames(MONTH, live.__contains__, world.write)
    for number in range(IN_ALL_MAX):
        world.claim(f"o{number % 40}", f"n{number}")
    live.asked = 0
    for owner in ("o1", "o39", "late"):
        assert world.claim(owner, f"one more of {owner}")
        assert world.names.get(f"one more of {owner}") is None
    assert live.asked < 10
    assert len(world.names) == IN_ALL_MAX
    world.leave("n39")
    assert world.claim("late", "one more", 1.0)
    assert world.names.get("one more") is not None
    assert world.names.get("n39") is None


# --- any order of all of it ----------------------------------------------------------------------

OWNERS = st.sampled_from(["ann", "bob", "key:c"])
NAMES = st.sampled_from([f"n{number}" for number in range(12)])
TIMES = st.floats(-1e9, 1e9)


class AnyOrder(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World(keep_s=1_000.0)
        self.holder: dict[str, str] = {}

    @rule(
        owner=OWNERS,
        name=NAMES,
        now=TIMES,
        chosen=st.booleans(),
        address=st.sampled_from(["", "a"]),
    )
    def claim(self, owner: str, name: str, now: float, chosen: bool, address: str) -> None:
        holder = self.holder.get(name)
        if holder is not None and holder != owner:
            assert not self.world.names.may_claim(owner, name, now)
        elif self.world.claim(owner, name, now, chosen=chosen, address=address):
            self.holder[name] = owner

    @rule(name=NAMES, now=TIMES)
    def leave(self, name: str, now: float) -> None:
        if self.holder.pop(name, None) is not None:
            self.world.leave(name, now)

    @rule(name=NAMES)
    def release(self, name: str) -> None:
        if name not in self.holder:
            self.world.names.release(name)

    @rule(now=TIMES)
    def see(self, now: float) -> None:
        self.world.see(now)

    @rule()
    def read(self) -> None:
        self.world.names.read(dict(self.world.written))

    @invariant()
    def what_is_kept_is_what_is_written(self) -> None:
        kept = dict(self.world.names)
        written = self.world.written
        assert {name: each[:2] for name, each in kept.items()} == {
            name: each[:2] for name, each in written.items()
        }
        for name, owner in self.holder.items():
            assert kept[name].owner == owner

    @invariant()
    def shares_agree(self) -> None:
        names = self.world.names
        for share, holds in (
            (names._of_owner, Counter(kept.owner for _, kept in names)),
            (names._of_address, Counter(names._addresses.values())),
            (names._of_stranger, Counter(map(self.stranger, self.strangers()))),
        ):
            assert dict(share._tally.by_weight()) == holds
            assert len(share) == len(holds)

    def strangers(self) -> list[str]:
        return [name for name, kept in self.world.names if ":" in kept.owner]

    def stranger(self, name: str) -> str:
        return self.world.names._addresses.get(name, "key:c")


TestAnyOrder = AnyOrder.TestCase


@given(st.text(max_size=20))
def test_no_owner_shows_more_of_itself_than_a_log_may(secret: str) -> None:
    assert f"{secret}-hidden" not in repr(Kept("key:" + 10 * "0" + f"{secret}-hidden", True, 0.0))
