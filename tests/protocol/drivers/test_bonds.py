from __future__ import annotations

from functools import partial

from protocol.drivers.bonds import Bonds, VisitorConnection


def test_what_is_bound_is_told_once_when_its_connection_has_ended() -> None:
    bonds, told = Bonds(), list[int]()
    for number in (1, 2):
        assert bonds.bind(number, partial(told.append, number))
    bonds.gone(2)
    bonds.gone(2)
    bonds.gone(3)
    assert told == [2]
    assert repr(bonds) == "<Bonds 1>"


def test_what_is_unbound_is_not_told() -> None:
    bonds, told = Bonds(), list[int]()
    bonds.bind(1, partial(told.append, 1))
    bonds.unbind(1)
    bonds.unbind(1)
    bonds.gone(1)
    assert told == []


def test_a_second_bond_takes_the_place_of_the_first() -> None:
    bonds, told = Bonds(), list[str]()
    bonds.bind(1, partial(told.append, "first"))
    bonds.bind(1, partial(told.append, "second"))
    bonds.gone(1)
    assert told == ["second"]


def test_the_end_of_the_session_ends_all_and_nothing_is_bound_afterwards() -> None:
    bonds, told = Bonds(), list[int]()
    for number in (1, 2):
        bonds.bind(number, partial(told.append, number))
    bonds.end()
    assert told == [1, 2]
    assert not bonds.bind(3, partial(told.append, 3))
    bonds.end()
    assert told == [1, 2]
    assert repr(bonds) == "<Bonds over>"


def test_connections_of_two_sessions_are_two() -> None:
    bonds = Bonds()
    assert VisitorConnection(bonds, 1) == VisitorConnection(bonds, 1)
    assert VisitorConnection(bonds, 1) != VisitorConnection(bonds, 2)
    assert VisitorConnection(bonds, 1) != VisitorConnection(Bonds(), 1)
