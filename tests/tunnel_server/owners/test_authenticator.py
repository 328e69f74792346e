from __future__ import annotations

from pathlib import Path

import pytest

from tunnel_server.owners.auth_file import GRACE_S, AuthFile, add_token
from tunnel_server.owners.authenticator import Authenticator
from tunnel_server.owners.ownership import Right
from tunnel_server.owners.stored_tokens import Secret, StoredToken, StoredTokens
from tunnel_server.owners.tokens import digest_of, make_token

ALICE = make_token(b"a" * 32)
BOB = make_token(b"b" * 32)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def owner_of(authenticator: Authenticator, digest: bytes) -> str | None:
    right = authenticator.right_of(digest)
    return None if right is None else right.owner


@pytest.fixture
def path(tmp_path: Path) -> Path:
    add_token(tmp_path / "tokens", "alice", ALICE)
    return tmp_path / "tokens"


def test_token_in_the_file_has_its_owner_and_no_other_has_one(path: Path) -> None:
    authenticator = Authenticator(AuthFile(path), everybody=False, clock=Clock())
    assert owner_of(authenticator, digest_of(ALICE)) == "alice"
    for other in (BOB, ALICE[:-1], ALICE + "A", ALICE.upper(), "alice", "", "\udc80"):
        assert owner_of(authenticator, digest_of(other)) is None


def test_a_new_token_is_known_at_once(path: Path) -> None:
    authenticator = Authenticator(AuthFile(path), everybody=False, clock=Clock())
    add_token(path, "bob", BOB)
    assert owner_of(authenticator, digest_of(BOB)) == "bob"
    assert authenticator.revision == 1


def test_one_that_is_taken_away_is_missed_when_it_is_looked_for(path: Path) -> None:
    clock = Clock()
    authenticator = Authenticator(AuthFile(path), everybody=False, clock=clock)
    path.unlink()
    authenticator.look()
    assert owner_of(authenticator, digest_of(ALICE)) == "alice"
    clock.now = GRACE_S
    authenticator.look()
    assert owner_of(authenticator, digest_of(ALICE)) is None
    assert authenticator.revision == 1


def test_a_known_token_costs_no_look(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authenticator = Authenticator(AuthFile(path), everybody=False, clock=Clock())
    monkeypatch.setattr(Path, "stat", pytest.fail)
    assert owner_of(authenticator, digest_of(ALICE)) == "alice"


def test_on_an_open_server_every_install_key_is_an_owner_of_its_own() -> None:
    authenticator = Authenticator(None, everybody=True, clock=Clock())
    first, second = (owner_of(authenticator, digest_of(each)) for each in ("one", "two"))
    assert first == f"key:{digest_of('one').hex()}"
    assert first != second
    assert owner_of(authenticator, digest_of("one")) == first
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
    assert repr(Authenticator(None, everybody=True, clock=Clock())) == (
        "<Authenticator open <TokenBook <StoredTokens 0 tokens, 0 secrets> revision=0> None>"
    )


def test_an_open_server_with_an_auth_file_knows_its_owners_all_the_same(path: Path) -> None:
    authenticator = Authenticator(AuthFile(path), everybody=True, clock=Clock())
    assert owner_of(authenticator, digest_of(ALICE)) == "alice"
    assert owner_of(authenticator, digest_of(BOB)) == f"key:{digest_of(BOB).hex()}"


# --- tokens of the store -------------------------------------------------------------------------

NOW = 1_764_000_000
STORED = StoredToken(1, "laptop", "ann", ("demo-*",), "", NOW, NOW + 10, None, "")
SECRET = Secret(digest_of(BOB), 1, None)


def with_stored(path: Path | None, *, everybody: bool = False) -> tuple[Authenticator, Clock]:
    clock = Clock()
    clock.now = NOW
    file = None if path is None else AuthFile(path)
    authenticator = Authenticator(file, everybody=everybody, clock=clock, wall=clock)
    authenticator.read(StoredTokens((STORED,), (SECRET,)))
    return authenticator, clock


def test_a_token_of_the_store_has_its_rights_beside_those_of_a_file(path: Path) -> None:
    authenticator, clock = with_stored(path)
    assert authenticator.right_of(SECRET.digest) == Right("ann", "laptop", ("demo-*",), NOW + 10)
    assert authenticator.right_of(digest_of(ALICE)) == Right("alice", "alice")
    assert [authenticator.knows(owner) for owner in ("ann", "alice", "bob")] == [True, True, False]
    before = authenticator.revision
    clock.now = NOW + 10
    authenticator.look()
    assert authenticator.right_of(SECRET.digest) is None
    assert authenticator.revision == before + 1


@pytest.mark.parametrize("everybody", [True, False])
def test_one_that_the_store_has_ended_is_let_in_by_nothing_else(
    path: Path, everybody: bool
) -> None:
    add_token(path, "bob", BOB)
    authenticator, _ = with_stored(path, everybody=everybody)
    authenticator.read(StoredTokens((STORED._replace(revoked_at=NOW),), (SECRET,)))
    assert authenticator.right_of(SECRET.digest) is None
    authenticator.read(StoredTokens((), (SECRET,)))  # and deleted
    assert authenticator.right_of(SECRET.digest) is None
    authenticator.read(StoredTokens())
    assert authenticator.right_of(SECRET.digest) == Right("bob", "bob")


def test_a_use_is_written_down_once_a_day_and_that_of_a_file_never(path: Path) -> None:
    authenticator, clock = with_stored(path)
    authenticator.used(SECRET.digest)  # nothing writes yet
    told: list[tuple[int, str]] = []
    authenticator.write_used_by(lambda *use: told.append(use))
    for _ in range(2):
        authenticator.used(SECRET.digest)
        authenticator.used(digest_of(ALICE))
    assert told == [(1, "2025-11-24")]
    authenticator.read(StoredTokens((STORED._replace(expires_at=None),), (SECRET,)))
    clock.now = NOW + 86_400
    authenticator.used(SECRET.digest)
    assert told == [(1, "2025-11-24"), (1, "2025-11-25")]


def test_what_the_store_has_already_is_not_written_again() -> None:
    authenticator, _ = with_stored(None)
    authenticator.read(StoredTokens((STORED._replace(last_used_on="2025-11-24"),), (SECRET,)))
    told: list[tuple[int, str]] = []
    authenticator.write_used_by(lambda *use: told.append(use))
    authenticator.used(SECRET.digest)
    assert told == []


def test_while_nobody_can_connect_the_command_is_told_once_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    authenticator = Authenticator(None, everybody=False, command="make one", clock=clock)
    for clock.now in (0.0, 59.9, 60.0, 119.9):
        authenticator.look()
    assert caplog.messages == ["there is no token, so nobody can connect: make one"] * 2
    authenticator.read(StoredTokens((STORED,), (SECRET,)))
    clock.now = 500.0
    authenticator.look()
    Authenticator(None, everybody=True, clock=clock).look()
    assert len(caplog.messages) == 2
