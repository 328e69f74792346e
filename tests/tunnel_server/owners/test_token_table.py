from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tunnel_server.owners.store import FILE_NAME, open_store
from tunnel_server.owners.stored_tokens import Secret, StoredToken
from tunnel_server.owners.token_table import NewToken, TokenRefusedError, TokenTable

NOW = 1_764_000_000
FIRST, SECOND, THIRD = (bytes([number]) * 32 for number in range(3))
ANN = NewToken("ann", "ann")
MADE = StoredToken(1, "ann", "ann", (), "", NOW, None, None, "")


@pytest.fixture
def table(tmp_path: Path) -> Iterator[TokenTable]:
    with closing(open_store(tmp_path / FILE_NAME)) as store:
        yield store.tokens


def secrets(table: TokenTable) -> dict[bytes, tuple[int, int | None]]:
    return {each.digest: (each.token, each.ends_at) for each in table.all().secrets}


def test_a_token_is_what_was_asked_for(table: TokenTable) -> None:
    table.create(ANN, FIRST, NOW)
    new = NewToken("Ann", "team", ("demo-*", "api"), "tunnels=5", NOW + 9)
    table.create(new, SECOND, NOW)
    found = table.all()
    second = StoredToken(2, "Ann", "team", ("demo-*", "api"), "tunnels=5", NOW, NOW + 9, None, "")
    assert found.tokens == (MADE, second)
    assert set(found.secrets) == {Secret(FIRST, 1, None), Secret(SECOND, 2, None)}


def test_a_name_and_a_secret_are_one_tokens_alone(table: TokenTable) -> None:
    table.create(ANN, FIRST, NOW)
    with pytest.raises(TokenRefusedError, match="there is a token ann already"):
        table.create(ANN, SECOND, NOW)
    with pytest.raises(TokenRefusedError, match="this secret was a token's before"):
        table.create(NewToken("bob", "bob"), FIRST, NOW)
    assert table.all().tokens == (MADE,)
    assert secrets(table) == {FIRST: (1, None)}


def test_without_grace_a_rotation_ends_all_that_were_before(table: TokenTable) -> None:
    table.create(ANN, FIRST, NOW)
    table.rotate("ann", SECOND, NOW + 1, grace_s=100)
    assert secrets(table) == {FIRST: (1, NOW + 101), SECOND: (1, None)}
    table.rotate("ann", THIRD, NOW + 2, grace_s=1000)
    assert secrets(table) == {FIRST: (1, NOW + 101), SECOND: (1, NOW + 1002), THIRD: (1, None)}
    table.rotate("ann", bytes([3]) * 32, NOW + 3, grace_s=0)
    ends = {digest: end for digest, (_, end) in secrets(table).items() if digest[0] < 3}
    assert ends == {FIRST: NOW + 3, SECOND: NOW + 3, THIRD: NOW + 3}


def test_a_revoked_token_stays_and_is_rotated_no_more(table: TokenTable) -> None:
    table.create(ANN, FIRST, NOW)
    table.revoke("ann", NOW + 1)
    table.revoke("ann", NOW + 2)
    assert table.all().tokens == (MADE._replace(revoked_at=NOW + 1),)
    with pytest.raises(TokenRefusedError, match="ann is revoked"):
        table.rotate("ann", SECOND, NOW, grace_s=0)


def test_what_is_good_is_not_deleted_and_a_secret_comes_back_never(table: TokenTable) -> None:
    table.create(ANN, FIRST, NOW)
    with pytest.raises(TokenRefusedError, match="revoke it first"):
        table.delete("ann", NOW)
    table.revoke("ann", NOW)
    table.delete("ann", NOW)
    assert table.all().tokens == ()
    assert secrets(table) == {FIRST: (1, None)}
    table.create(ANN, SECOND, NOW)  # its number is another one
    assert secrets(table) == {FIRST: (1, None), SECOND: (2, None)}
    assert table.add_all({FIRST: ANN}, NOW) == ([], ["ann"])


def test_one_that_has_expired_is_deleted_as_it_is(table: TokenTable) -> None:
    table.create(ANN._replace(expires_at=NOW + 1), FIRST, NOW)
    table.delete("ann", NOW + 1)
    assert table.all().tokens == ()


@pytest.mark.parametrize("word", ["rotate", "revoke", "delete"])
def test_one_that_is_not_there_is_said(table: TokenTable, word: str) -> None:
    table.create(ANN, FIRST, NOW)
    more = {"rotate": (SECOND, NOW, 0)}.get(word, (NOW,))
    with pytest.raises(TokenRefusedError, match="there is no token ANN; token list shows all"):
        getattr(table, word)("ANN", *more)


def test_all_are_added_or_none(table: TokenTable) -> None:
    table.create(ANN, FIRST, NOW)
    bob = NewToken("bob", "bob")
    with pytest.raises(TokenRefusedError, match="there is a token ann already"):
        table.add_all({SECOND: bob, THIRD: ANN}, NOW)
    assert table.all().tokens == (MADE,)
    assert table.add_all({FIRST: ANN, SECOND: bob}, NOW) == (["bob"], ["ann"])
    assert [each.name for each in table.all().tokens] == ["ann", "bob"]


def test_a_date_of_use_is_written(table: TokenTable) -> None:
    table.create(ANN, FIRST, NOW)
    table.used([(1, "2026-11-30"), (9, "2026-11-30")])
    assert table.all().tokens == (MADE._replace(last_used_on="2026-11-30"),)
