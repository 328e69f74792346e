from __future__ import annotations

from pathlib import Path

import pytest

from tunnel_server.owners.auth_file import GRACE_S, AuthFile, add_token
from tunnel_server.owners.authenticator import Authenticator
from tunnel_server.owners.tokens import digest_of, make_token

ALICE = make_token(b"a" * 32)
BOB = make_token(b"b" * 32)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    add_token(tmp_path / "tokens", "alice", ALICE)
    return tmp_path / "tokens"


def test_token_in_the_file_has_its_owner_and_no_other_has_one(path: Path) -> None:
    authenticator = Authenticator(AuthFile(path), everybody=False, clock=Clock())
    assert authenticator.owner_of(digest_of(ALICE)) == "alice"
    for other in (BOB, ALICE[:-1], ALICE + "A", ALICE.upper(), "alice", "", "\udc80"):
        assert authenticator.owner_of(digest_of(other)) is None


def test_a_new_token_is_known_at_once(path: Path) -> None:
    authenticator = Authenticator(AuthFile(path), everybody=False, clock=Clock())
    add_token(path, "bob", BOB)
    assert authenticator.owner_of(digest_of(BOB)) == "bob"
    assert authenticator.revision == 1


def test_one_that_is_taken_away_is_missed_when_it_is_looked_for(path: Path) -> None:
    clock = Clock()
    authenticator = Authenticator(AuthFile(path), everybody=False, clock=clock)
    path.unlink()
    authenticator.look()
    assert authenticator.owner_of(digest_of(ALICE)) == "alice"
    clock.now = GRACE_S
    authenticator.look()
    assert authenticator.owner_of(digest_of(ALICE)) is None
    assert authenticator.revision == 1


def test_a_known_token_costs_no_look(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authenticator = Authenticator(AuthFile(path), everybody=False, clock=Clock())
    monkeypatch.setattr(Path, "stat", pytest.fail)
    assert authenticator.owner_of(digest_of(ALICE)) == "alice"


def test_on_an_open_server_every_install_key_is_an_owner_of_its_own() -> None:
    authenticator = Authenticator(None, everybody=True, clock=Clock())
    first, second = map(authenticator.owner_of, (digest_of("one"), digest_of("two")))
    assert first == f"key:{digest_of('one').hex()}"
    assert first != second
    assert authenticator.owner_of(digest_of("one")) == first
    authenticator.look()
    assert authenticator.revision == 0


def test_an_owner_is_known_by_a_token_or_on_an_open_server_by_a_key(path: Path) -> None:
    closed = Authenticator(AuthFile(path), everybody=False, clock=Clock())
    open_ = Authenticator(AuthFile(path), everybody=True, clock=Clock())
    owners = ("alice", "bob", f"key:{'0' * 64}")
    assert [closed.knows(owner) for owner in owners] == [True, False, False]
    assert [open_.knows(owner) for owner in owners] == [True, False, True]


def test_repr_shows_no_secret(path: Path) -> None:
    shown = repr(Authenticator(AuthFile(path), everybody=False, clock=Clock()))
    assert ALICE not in shown
    assert digest_of(ALICE).hex()[:8] not in shown
    assert "tokens=1" in shown
    assert repr(Authenticator(None, everybody=True, clock=Clock())) == "<Authenticator open None>"


def test_an_open_server_with_an_auth_file_knows_its_owners_all_the_same(path: Path) -> None:
    authenticator = Authenticator(AuthFile(path), everybody=True, clock=Clock())
    assert authenticator.owner_of(digest_of(ALICE)) == "alice"
    assert authenticator.owner_of(digest_of(BOB)) == f"key:{digest_of(BOB).hex()}"
