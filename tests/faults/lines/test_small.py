from __future__ import annotations

import math

from tests.faults.lines.small import Times, of


def times(*began_and_ended: tuple[float, float | None]) -> Times:
    made = Times()
    for number, (began, ended) in enumerate(began_and_ended):
        made.begin(number, began)
        if ended is not None:
            made.end(number, ended)
    return made


def test_those_count_that_began_in_the_time_whenever_they_ended() -> None:
    made = times((0.5, 4.0), (1.0, 1.25), (1.75, 4.0), (2.0, 2.5))
    assert made.between(1.0, 2.0, now=4.0) == [0.25, 2.25]


def test_one_that_has_not_ended_counts_as_long_as_it_has_lasted() -> None:
    made = times((1.0, 1.25), (1.5, None), (2.0, None))
    assert made.between(1.0, 2.0, now=9.0) == [0.25, 7.5]
    assert (made.outstanding(1.5), made.outstanding(2.0), made.outstanding(2.5)) == (0, 1, 2)


def test_of_a_hundred_the_99th_percentile_is_the_largest_and_of_two_hundred_not() -> None:
    assert of([0.001 * n for n in range(1, 101)], 0.99) == 100
    assert of([0.001 * n for n in range(1, 201)], 0.99) == 199
    assert of([0.003, 0.001, 0.002], 0.5) == 2
    assert math.isnan(of([], 0.5))
