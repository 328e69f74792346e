from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, strategies as st

from tunnel_server.owners.held import HeldShare, Tally
from tunnel_server.owners.shares import Share

OWNERS, ADDRESSES = ("ann", "bob", None), ("192.0.2.1/32", "192.0.2.2/32", None)
Keys = tuple[str | None, str | None]


class Model:
    """The rule, found by looking at all that waits."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.waiting: dict[int, Keys] = {}

    def counts(self) -> Counter[str]:
        return Counter(key for keys in self.waiting.values() for key in keys if key is not None)

    def may_go(self, keys: Keys) -> tuple[set[int], set[str | None]] | None:
        """The things one of which has to go for these, and the keys that may be too heavy."""
        free = self.most - len(self.waiting)
        counts = self.counts()
        full = [key for key in keys if key is not None and counts[key] >= max(3 * free, 1)]
        if not full and free > 0:
            return None
        most = max(counts.values(), default=0)
        # Where both an owner and an address have their share it is the address's.
        heavy = {key for key in counts if counts[key] == most} if free <= 0 else {full[-1]}
        if not heavy:
            return {min(self.waiting)}, {None}
        return set().union(*map(self.oldest_of_heaviest, heavy)), set(heavy)

    def oldest_of_heaviest(self, heavy: str) -> set[int]:
        """Of addresses that have as many as each other any may pay, with its oldest."""
        groups: dict[str | None, list[int]] = {}
        for thing, keys in self.waiting.items():
            if heavy in keys:
                groups.setdefault(keys[1], []).append(thing)
        most = max(len(things) for things in groups.values())
        return {min(things) for things in groups.values() if len(things) == most}


@given(
    most=st.integers(1, 12),
    steps=st.lists(
        st.tuples(st.booleans(), st.sampled_from(OWNERS), st.sampled_from(ADDRESSES)), max_size=80
    ),
)
def test_what_waits_is_counted_and_the_oldest_of_the_heaviest_goes(
    most: int, steps: list[tuple[bool, str | None, str | None]]
) -> None:
    held: HeldShare[int] = HeldShare(most)
    model = Model(most)
    for number, (adds, owner, address) in enumerate(steps):
        if adds:
            for gone in held.add(number, owner, address):
                may_go = model.may_go((owner, address))
                assert may_go is not None
                assert gone.thing in may_go[0]
                assert gone.heavy in may_go[1]
                del model.waiting[gone.thing]
            assert model.may_go((owner, address)) is None
            model.waiting[number] = (owner, address)
        elif model.waiting:
            first = next(iter(model.waiting))
            held.remove(first)
            held.remove(first)
            del model.waiting[first]
        assert list(held) == list(model.waiting)
        assert len(held) <= most


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abcde")), max_size=100))
def test_a_tally_knows_one_that_has_most(steps: list[tuple[bool, str]]) -> None:
    tally, counts = Tally(), Counter[str]()
    for adds, key in steps:
        if adds:
            tally.add(key)
            counts[key] += 1
        elif counts[key]:
            tally.remove(key)
            counts[key] -= 1
        heaviest = tally.heaviest
        most = max(counts.values(), default=0)
        assert most == (counts[heaviest] if heaviest is not None else 0)
        there = sum(count > 0 for count in counts.values())
        assert repr(tally) == f"<Tally of {there} keys, {most} at most>"
        ordered = list(tally.by_weight())
        assert dict(ordered) == +counts
        assert [has for _, has in ordered] == sorted((+counts).values(), reverse=True)
        assert [key for key, _ in ordered[:1]] == ([] if heaviest is None else [heaviest])
        assert all(tally.of(key) == counts[key] for key in "abcde")


# --- what a step costs ---------------------------------------------------------------------------


class Looks:
    """How often a key or a thing was looked at: each look into a dictionary hashes it."""

    count = 0


class Key(str):
    def __hash__(self) -> int:
        Looks.count += 1
        return super().__hash__()


class Thing:
    def __hash__(self) -> int:
        Looks.count += 1
        return id(self)


FILLS: dict[str, Callable[[int], Keys]] = {
    "many owners": lambda number: (Key(f"owner{number}"), Key(f"192.0.2.{number}/32")),
    "one owner": lambda number: (Key("ann"), Key(f"192.0.2.{number}/32")),
    "one address": lambda number: (Key(f"owner{number}"), Key("192.0.2.1/32")),
    "one of both": lambda number: (Key("ann"), Key("192.0.2.1/32")),
    "nobody": lambda number: (None, None),
}


def looks_at_one_more(most: int, fill: str) -> int:
    """What it costs to add one to what is full."""
    held: HeldShare[Thing] = HeldShare(most)
    gone = []
    for number in range(2 * most):
        Looks.count = 0
        gone = held.add(Thing(), *FILLS[fill](number))
    assert gone
    return Looks.count


@pytest.mark.parametrize("fill", FILLS)
def test_one_more_costs_the_same_however_many_there_are(fill: str) -> None:
    few, many = looks_at_one_more(16, fill), looks_at_one_more(1024, fill)
    assert few == many < 100


def test_what_has_to_go_names_the_key_that_has_its_share_or_most() -> None:
    held: HeldShare[int] = HeldShare(8)
    for number in range(6):
        assert held.add(number, "ann", f"192.0.2.{number % 2}/32") == []
    assert held.add(6, "ann", "192.0.2.9/32") == [(0, "ann")]
    assert held.add(7, "bob", None) == []
    assert held.add(8, "eve", None) == []
    assert held.add(9, "zoe", None) == [(1, "ann")]
    nobodys: HeldShare[int] = HeldShare(1)
    nobodys.add(0, None)
    assert nobodys.add(1, "ann") == [(0, None)]
    assert repr(nobodys) == f"<HeldShare {Share(1)!r}>".replace("0 of 1, 0", "1 of 1, 1")
