from __future__ import annotations

import re

import pytest

from protocol.words import ADJECTIVES, NOUNS


@pytest.mark.parametrize("words", [ADJECTIVES, NOUNS])
def test_list_has_128_different_words_so_that_each_is_chosen_equally_often(
    words: tuple[str, ...],
) -> None:
    assert len(words) == len(set(words)) == 128


@pytest.mark.parametrize("words", [ADJECTIVES, NOUNS])
def test_words_are_short_and_lower_case(words: tuple[str, ...]) -> None:
    assert [word for word in words if not re.fullmatch("[a-z]{4,7}", word)] == []


def test_no_word_is_in_both_lists() -> None:
    assert not set(ADJECTIVES) & set(NOUNS)
