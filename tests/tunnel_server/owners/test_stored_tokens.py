from __future__ import annotations

import pytest

from tunnel_server.owners.stored_tokens import (
    TOKEN_NAMES_MAX,
    Secret,
    StoredToken,
    StoredTokens,
    TokenBook,
    filled,
    may_have,
    parse_names,
)

NOW = 1_764_000_000
ANN = StoredToken(1, "ann", "ann", (), "", NOW, None, None, "")
OLD, NEW = bytes(32), bytes([1]) * 32


def book_of(token: StoredToken, *secrets: Secret) -> TokenBook:
    book = TokenBook()
    book.read(StoredTokens((token,), secrets or (Secret(NEW, token.id, None),)), NOW)
    return book


def test_a_token_is_found_by_its_secret() -> None:
    book = book_of(ANN)
    assert book.find(NEW, NOW) == ANN
    assert book.knows(NEW)
    assert book.find(OLD, NOW) is None
    assert not book.knows(OLD)
    assert (book.has_owner("ann", NOW), book.has_owner("Ann", NOW)) == (True, False)
    assert (len(book), book.revision) == (1, 1)
    assert NEW.hex() not in repr(book) + repr(Secret(NEW, 1, None))


def test_what_was_read_again_and_is_the_same_is_no_news() -> None:
    book = book_of(ANN)
    book.read(StoredTokens((ANN,), (Secret(NEW, 1, None),)), NOW)
    assert book.revision == 1
    book.read(StoredTokens((ANN._replace(revoked_at=NOW),), (Secret(NEW, 1, None),)), NOW)
    assert book.revision == 2
    assert book.find(NEW, NOW) is None
    assert book.knows(NEW)
    assert not book.has_owner("ann", NOW)


def test_a_token_ends_by_itself_at_its_second_and_that_is_news_once() -> None:
    book = book_of(ANN._replace(expires_at=NOW + 10))
    book.look(NOW + 9.9)
    assert (book.find(NEW, NOW + 9.9) is not None, book.revision) == (True, 1)
    for _ in range(2):
        book.look(NOW + 10)
        assert (book.find(NEW, NOW + 10), book.revision) == (None, 2)


def test_a_former_secret_ends_when_its_grace_is_over() -> None:
    book = book_of(ANN, Secret(OLD, 1, NOW + 5), Secret(NEW, 1, None))
    assert book.find(OLD, NOW + 4.9) == ANN
    book.look(NOW + 5)
    assert book.revision == 2
    assert (book.find(OLD, NOW + 5), book.find(NEW, NOW + 5)) == (None, ANN)


def test_the_secret_of_a_token_that_was_deleted_is_known_and_good_for_nothing() -> None:
    book = TokenBook()
    book.read(StoredTokens((), (Secret(NEW, 7, None),)), NOW)
    assert book.knows(NEW)
    assert book.find(NEW, NOW) is None


def test_a_clock_that_goes_back_makes_an_expired_token_good_again() -> None:
    book = book_of(ANN._replace(expires_at=NOW + 10))
    assert book.find(NEW, NOW + 11) is None
    assert book.find(NEW, NOW) is not None


@pytest.mark.parametrize(
    ("text", "patterns"),
    [
        ("api", ("api",)),
        ("Demo-*, api", ("demo-*", "api")),
        ("*", ("*",)),
        (",".join(["a"] * TOKEN_NAMES_MAX), ("a",) * TOKEN_NAMES_MAX),
    ],
)
def test_patterns_of_names(text: str, patterns: tuple[str, ...]) -> None:
    assert parse_names(text) == patterns


@pytest.mark.parametrize(
    "text",
    ["", "a,", "[ab]", "a b", "a.b", "\u00e4", "a" * 64, ",".join(["a"] * (TOKEN_NAMES_MAX + 1))],
)
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^takes 1 to 16 names"):
        parse_names(text)


@pytest.mark.parametrize(
    ("patterns", "name", "may"),
    [
        ((), "shop", True),
        (("shop",), "shop", True),
        (("shop",), "shop2", False),
        (("demo-*", "api"), "demo-", True),
        (("demo-*", "api"), "demo-a-b", True),
        (("demo-*", "api"), "api", True),
        (("demo-*", "api"), "demo", False),
        (("a?c",), "abc", True),
        (("a?c",), "ac", False),
    ],
)
def test_a_name_is_let_through_by_one_of_its_patterns(
    patterns: tuple[str, ...], name: str, may: bool
) -> None:
    assert may_have(patterns, name) is may


def test_the_first_star_is_filled() -> None:
    assert filled(("demo-*", "api", "x-?-*", "*-*"), "k3j9") == ["demo-k3j9", "api"]
