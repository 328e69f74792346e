from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, ItemsView, Iterator, KeysView, ValuesView
from typing import Any

import pytest

from protocol.drivers.session import Session
from protocol.mux.messages import Claim, Claimed, Refused
from tunnel_server.tunnels.left_names import REMEMBERED_NAMES_MAX, Held
from tunnel_server.tunnels.registry import DISPLACED_MAX, Carrier, Registry


def left_at(registry: Registry, name: str) -> float | None:
    left = registry.left(name)
    return None if left is None else left.held.at


class FakeSession(Session):
    """Only its identity and `release` matter here."""

    def __init__(self) -> None:
        self.told: list[tuple[int, str]] = []
        self.said: list[str] = []
        self.detached_at: float | None = None

    def __repr__(self) -> str:
        return "<FakeSession>"

    def release(self, claim: int, code: str, message: str) -> None:
        self.told.append((claim, code))
        self.said.append(message)


def claim(
    name: str = "app",
    *,
    number: int = 1,
    instance: bytes = b"1",
    start: bool = True,
    options: dict[str, Any] | None = None,
) -> Claim:
    return Claim(number, name, instance * 16, start, options or {})


@pytest.fixture
def registry() -> Registry:
    return Registry(lambda name: f"https://{name}.example.com", lambda size: bytes(range(size)))


def holder(registry: Registry, name: str = "app") -> Carrier | None:
    tunnel = registry.find(name)
    return tunnel.carrier if tunnel else None


def code(answer: Claimed | Refused) -> str:
    return answer.code if isinstance(answer, Refused) else "claimed"


def test_a_free_name_is_given_with_its_url(registry: Registry) -> None:
    session = FakeSession()
    answer = registry.claim(session, "alice", claim())
    assert answer == Claimed(1, "app", "https://app.example.com")
    assert holder(registry) is session
    assert repr(registry) == "<Registry 1 held, 0 remembered>"
    assert "app claim 1" in repr(registry.find("app"))


def test_without_a_name_one_is_made_that_nobody_holds() -> None:
    made = iter([bytes(7), bytes(7), bytes([1] * 7)])
    registry = Registry(lambda name: name, lambda size: next(made))
    first, second = (registry.claim(FakeSession(), "alice", claim("")) for _ in range(2))
    assert isinstance(first, Claimed)
    assert isinstance(second, Claimed)
    assert first.name != second.name
    assert re.fullmatch(r"[a-z]+-[a-z]+-[a-z2-7]{8}", second.name)


@pytest.mark.parametrize(
    "name", ["App", "-app", "app-", "a.b", "a_b", "a" * 64, "\xe9", "app\n", " ", "*"]
)
def test_a_name_that_is_no_label_is_refused(registry: Registry, name: str) -> None:
    answer = registry.claim(FakeSession(), "alice", claim(name))
    assert code(answer) == "name-invalid"
    assert registry.find(name) is None


def test_an_unknown_option_is_refused_by_its_name(registry: Registry) -> None:
    answer = registry.claim(FakeSession(), "alice", claim(options={"basic-auth": "x", "zz": 1}))
    assert isinstance(answer, Refused)
    assert answer.code == "unknown-option"
    assert "'basic-auth'" in answer.message
    assert registry.find("app") is None


def test_keepalive_is_kept_with_the_name(registry: Registry) -> None:
    registry.claim(FakeSession(), "alice", claim(options={"ws-keepalive": 20}))
    registry.claim(FakeSession(), "alice", claim("other"))
    tunnels = registry.find("app"), registry.find("other")
    assert [tunnel and tunnel.options.ws_keepalive_s for tunnel in tunnels] == [20, 0]


def test_a_bad_option_is_refused_by_its_name(registry: Registry) -> None:
    answer = registry.claim(FakeSession(), "alice", claim(options={"ws-keepalive": 0}))
    assert answer == Refused(
        1, "option-invalid", "'ws-keepalive' is a whole number of seconds, 1 to 86400"
    )
    assert registry.find("app") is None


def test_another_owner_never_gets_a_name_that_is_held(registry: Registry) -> None:
    first = FakeSession()
    registry.claim(first, "alice", claim())
    for start in (True, False):
        answer = registry.claim(FakeSession(), "bob", claim(start=start))
        assert code(answer) == "name-taken"
    assert holder(registry) is first
    assert first.told == []


@pytest.mark.parametrize("instance", [b"1", b"2"])
def test_a_start_takes_the_name_from_any_session_of_its_owner(
    registry: Registry, instance: bytes
) -> None:
    first, second = FakeSession(), FakeSession()
    registry.claim(first, "alice", claim(number=7))
    assert code(registry.claim(second, "alice", claim(instance=instance))) == "claimed"
    assert holder(registry) is second
    assert (first.told, second.told) == ([(7, "taken-over")], [])


def test_both_are_told_where_the_other_one_is() -> None:
    first, second, third = FakeSession(), FakeSession(), FakeSession()
    address = {first: "192.0.2.1", second: "192.0.2.2"}
    registry = Registry(lambda name: name, bytes, address_of=lambda one: address.get(one, ""))  # type: ignore[call-overload]  # sessions alone
    registry.claim(first, "alice", claim())
    answer = registry.claim(second, "alice", claim(instance=b"2"))
    assert isinstance(answer, Claimed)
    assert answer.note == "it was taken from another client of yours at 192.0.2.1"
    assert first.said == ["another client of yours at 192.0.2.2 has taken app"]
    refused = registry.claim(first, "alice", claim(start=False))
    assert isinstance(refused, Refused)
    assert refused.message == "another client of yours at 192.0.2.2 has taken app"
    second.detached_at = 1.0  # it was killed, say
    answer = registry.claim(third, "alice", claim(instance=b"3"))
    assert isinstance(answer, Claimed)
    assert answer.note is None
    assert second.said == ["another client of yours has taken app"]


def test_a_reconnect_takes_a_name_of_its_own_instance(registry: Registry) -> None:
    first, second = FakeSession(), FakeSession()
    registry.claim(first, "alice", claim())
    assert code(registry.claim(second, "alice", claim(start=False))) == "claimed"
    assert holder(registry) is second
    assert first.told == [(1, "taken-over")]


def test_a_reconnect_never_takes_from_another_instance(registry: Registry) -> None:
    """Two laptops with one token would else evict one another for ever."""
    first = FakeSession()
    registry.claim(first, "alice", claim())
    answer = registry.claim(FakeSession(), "alice", claim(instance=b"2", start=False))
    assert code(answer) == "name-taken"
    assert holder(registry) is first


def test_who_was_displaced_while_he_was_away_hears_so_when_he_comes_back(
    registry: Registry,
) -> None:
    registry.claim(FakeSession(), "alice", claim())
    for number in range(DISPLACED_MAX):
        registry.claim(FakeSession(), "alice", claim(instance=b"new %d" % number))
    answer = registry.claim(FakeSession(), "alice", claim(start=False))
    assert code(answer) == "taken-over"
    assert code(registry.claim(FakeSession(), "bob", claim(start=False))) == "name-taken"
    registry.claim(FakeSession(), "alice", claim(instance=b"one more"))
    assert code(registry.claim(FakeSession(), "alice", claim(start=False))) == "name-taken"


def test_a_client_that_takes_its_name_back_is_displaced_no_more(registry: Registry) -> None:
    registry.claim(FakeSession(), "alice", claim())
    registry.claim(FakeSession(), "alice", claim(instance=b"2"))
    registry.claim(FakeSession(), "alice", claim())
    assert code(registry.claim(FakeSession(), "alice", claim(start=False))) == "claimed"
    assert code(registry.claim(FakeSession(), "alice", claim(instance=b"2", start=False))) == (
        "taken-over"
    )


def test_a_reconnect_takes_a_free_name(registry: Registry) -> None:
    assert code(registry.claim(FakeSession(), "alice", claim(start=False))) == "claimed"


def test_a_session_that_claims_its_own_name_again_is_told_of_the_old_claim(
    registry: Registry,
) -> None:
    session = FakeSession()
    registry.claim(session, "alice", claim(number=1))
    registry.claim(session, "alice", claim(number=2))
    assert session.told == [(1, "taken-over")]
    assert registry.release(session, 1, 0.0) == []
    assert registry.release(session, 2, 0.0) == ["app"]


def test_a_release_frees_one_claim_or_all_of_a_session(registry: Registry) -> None:
    session, other = FakeSession(), FakeSession()
    for number, name in enumerate(["a", "b", "c"]):
        registry.claim(session, "alice", claim(name, number=number))
    registry.claim(other, "alice", claim("d"))
    assert registry.release(session, 1, 10.0) == ["b"]
    assert (left_at(registry, "a"), left_at(registry, "b")) == (None, 10.0)
    assert registry.release(session, None, 20.0) == ["a", "c"]
    assert (registry.find("a"), holder(registry, "d")) == (None, other)
    assert code(registry.claim(other, "bob", claim("a", number=2))) == "claimed"


def test_the_one_who_lost_a_name_frees_it_no_more(registry: Registry) -> None:
    first, second = FakeSession(), FakeSession()
    registry.claim(first, "alice", claim())
    registry.claim(second, "alice", claim())
    assert registry.release(first, None, 10.0) == []
    assert holder(registry) is second


def test_a_name_that_was_held_is_remembered_until_it_is_held_again(registry: Registry) -> None:
    session = FakeSession()
    assert left_at(registry, "app") is None
    registry.claim(session, "alice", claim())
    registry.release(session, None, 10.0)
    assert left_at(registry, "app") == 10.0
    registry.claim(session, "alice", claim())
    assert left_at(registry, "app") is None
    registry.release(session, None, 20.0)
    assert left_at(registry, "app") == 20.0


def test_the_last_10000_names_are_remembered(registry: Registry) -> None:
    for number in range(REMEMBERED_NAMES_MAX + 1):
        session = FakeSession()
        registry.claim(session, "alice", claim(f"n{number}"))
        registry.release(session, None, float(number))
        if number == 1:  # n0 was left again since
            registry.claim(session, "alice", claim("n0"))
            registry.release(session, None, 1.5)
    assert left_at(registry, "n1") is None
    assert left_at(registry, "n0") == 1.5
    assert left_at(registry, "n2") == 2.0
    assert left_at(registry, f"n{REMEMBERED_NAMES_MAX}") == REMEMBERED_NAMES_MAX
    assert REMEMBERED_NAMES_MAX == 10_000


def test_an_owner_that_lets_go_of_many_names_costs_no_other_one_a_remembered_one(
    registry: Registry,
) -> None:
    alice, mallory = FakeSession(), FakeSession()
    registry.claim(alice, "alice", claim("shop"))
    registry.release(alice, None, 1.0)
    for number in range(REMEMBERED_NAMES_MAX + 1):
        registry.claim(mallory, "mallory", claim(f"n{number}", number=number))
    registry.release(mallory, None, 2.0)
    assert left_at(registry, "shop") == 1.0
    assert (left_at(registry, "n1"), left_at(registry, "n2")) == (None, 2.0)
    held = registry.held_within(60.0, 3.0)
    assert len(held) == REMEMBERED_NAMES_MAX
    assert held["shop"] == Held(1.0, "alice")


def test_an_owners_names_are_counted_and_the_first_of_them_told(registry: Registry) -> None:
    first, second, other = FakeSession(), FakeSession(), FakeSession()
    assert (registry.count_of("alice"), registry.first_of("alice", 2)) == (0, [])
    for number, session in enumerate((first, second, first)):
        registry.claim(session, "alice", claim(f"n{number}", number=number + 1))
    registry.claim(other, "bob", claim("b"))
    assert (registry.count_of("alice"), registry.first_of("alice", 2)) == (3, ["n0", "n1"])
    registry.claim(second, "alice", claim("n0", number=9))  # taken over
    assert registry.count_of("alice") == 3
    registry.release(first, None, 1.0)
    assert (registry.count_of("alice"), registry.first_of("alice", 9)) == (2, ["n1", "n0"])
    registry.release(second, None, 1.0)
    assert (registry.count_of("alice"), registry.count_of("bob")) == (0, 1)


def test_names_held_within_a_minute_the_newest_first(registry: Registry) -> None:
    sessions = [FakeSession() for _ in range(4)]
    for session, name in zip(sessions, ("old", "left", "live", "later"), strict=True):
        registry.claim(session, "alice", claim(name))
    registry.release(sessions[0], None, 39.9)
    registry.release(sessions[1], None, 40.0)
    registry.release(sessions[3], None, 99.0)
    held = registry.held_within(60.0, 100.0)
    times = [("live", 100.0), ("later", 99.0), ("left", 40.0)]
    assert list(held.items()) == [(name, Held(at, "alice")) for name, at in times]


def test_a_reserved_name_is_its_owners_until_it_is_claimed_or_free_again(
    registry: Registry,
) -> None:
    registry.reserve("app", "alice")
    assert code(registry.claim(FakeSession(), "bob", claim())) == "name-taken"
    session = FakeSession()
    assert code(registry.claim(session, "alice", claim(start=False))) == "claimed"
    registry.release(session, None, 0.0)
    assert code(registry.claim(FakeSession(), "bob", claim())) == "claimed"
    registry.reserve("other", "alice")
    registry.unreserve("other")
    registry.unreserve("other")
    assert code(registry.claim(FakeSession(), "bob", claim("other"))) == "claimed"


class Counted(OrderedDict[Any, Any]):
    """A dictionary that counts the entries that anybody looks at."""

    looked_at = 0

    def __repr__(self) -> str:
        return f"<Counted {len(self)}, {self.looked_at} looked at>"

    def __iter__(self) -> Iterator[Any]:
        for key in super().__iter__():
            Counted.looked_at += 1
            yield key

    def __getitem__(self, key: object) -> Any:
        Counted.looked_at += 1
        return super().__getitem__(key)

    def get(self, key: object, default: Any = None) -> Any:
        Counted.looked_at += 1
        return super().get(key, default)

    def keys(self) -> Any:
        return KeysView(self)

    def values(self) -> Any:
        return ValuesView(self)

    def items(self) -> Any:
        return ItemsView(self)


def looked_at(names: int) -> list[int]:
    """How many entries each step looks at while so many names are held by other sessions."""
    registry = Registry(str, lambda size: bytes(range(size)))
    for number in range(names):
        registry.claim(FakeSession(), "alice", claim(f"n{number}"))
    for attribute, value in vars(registry).items():
        if isinstance(value, dict):
            setattr(registry, attribute, Counted(value))
    registry._of_owner["alice"] = Counted(registry._of_owner["alice"])
    session = FakeSession()
    steps: list[Callable[[], object]] = [
        lambda: registry.claim(session, "alice", claim()),
        lambda: registry.claim(session, "alice", claim()),
        lambda: registry.claim(session, "alice", claim("n0", number=2)),
        lambda: registry.names_of(session),
        lambda: registry.first_of("alice", 2),
        lambda: registry.count_of("alice"),
        lambda: session in registry.holders(),
        lambda: registry.release(session, 1, 0.0),
        lambda: registry.release(session, None, 0.0),
    ]
    counts = []
    for step in steps:
        Counted.looked_at = 0
        step()
        counts.append(Counted.looked_at)
    return counts


def test_with_many_names_held_nothing_looks_at_more_of_them() -> None:
    few = looked_at(10)
    assert looked_at(10_000) == few
    assert max(few) < 10
    assert few[0] > 0
