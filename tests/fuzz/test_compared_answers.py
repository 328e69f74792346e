"""A sample of the comparison, the same each time; `make compare` goes on as long as one likes."""

from __future__ import annotations

import pytest

from tests.fuzz.compared_answers import Comparison, answers_elsewhere, is_same
from tests.fuzz.loose_answers import AnswerMaker
from tests.other_readers import Reading, read_here


def answers(seed: int, count: int) -> list[bytes]:
    maker = AnswerMaker(seed)
    return [maker.make() for _ in range(count)]


def test_what_http_client_takes_as_well_is_the_same() -> None:
    for data in answers(1, 500):
        answers_elsewhere(data)


@pytest.mark.slow
@pytest.mark.needs("curl")
@pytest.mark.parametrize("seed", [1, 2])
async def test_what_curl_takes_as_well_is_the_same(seed: int) -> None:
    comparison = Comparison()
    await comparison.compare(answers(seed, 200))
    assert comparison.differences == []
    assert comparison.counted["leniently, and by curl"] >= 10
    assert comparison.counted["leniently, and by http.client"] >= 5


def test_reads_split_anywhere_give_the_same() -> None:
    for data in answers(4, 300):
        whole = read_here(data)
        assert all(read_here(data, piece_bytes=size) == whole for size in (1, 3, 64)), data


def test_many_are_taken_and_many_are_not() -> None:
    """A grammar that makes too much nonsense compares nothing."""
    sample = answers(3, 500)
    taken = [data for data in sample if read_here(data) is not None]
    loose = [data for data in taken if read_here(data, leniently=False) is None]
    assert len(taken) > 150
    assert len(loose) > 25
    assert len(sample) - len(taken) > 100


def test_a_difference_is_one_of_status_or_body_of_what_both_take() -> None:
    ours = Reading(200, b"ok")
    assert not is_same(ours, Reading(200, b"o"))
    assert not is_same(ours, Reading(299, b"ok"))
    assert is_same(ours, None)
    assert is_same(None, ours)
