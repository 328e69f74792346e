"""Changes are what they say: of a thing and itself there are none, and made to one they give the
other.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from tests.exchange_fakes import KEY
from tunnel_client.inspector.comparing.field_changes import (
    by_name,
    field_changes,
    with_field_changes,
)
from tunnel_client.inspector.comparing.json_changes import (
    NESTED_MAX,
    json_changes,
    json_value,
    with_changes,
)
from tunnel_client.inspector.comparing.line_changes import LINES_MAX, line_edits, with_edits
from tunnel_client.inspector.comparing.shown_changes import shown_json_change, shown_line_edits
from tunnel_client.inspector.shown.masking import Masks

SECRET = "sk-abcdefgh12345678"

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=4)
    ),
    max_leaves=15,
).map(lambda value: json_value(json.dumps(value)))


@given(_JSON, _JSON)
def test_changes_of_json_made_to_one_give_the_other(before: Any, after: Any) -> None:
    assert list(json_changes(before, before)) == []
    changes = list(json_changes(before, after))
    assert (changes == []) == (before == after)
    assert with_changes(before, changes) == after


def test_json_is_compared_by_path() -> None:
    before = json_value('{"a": {"b": [1, 2, 3]}, "c": 1, "e": true}')
    after = json_value('{"a": {"b": [1, 5]}, "d": null, "e": 1}')
    assert [(each.path, each.kind) for each in json_changes(before, after)] == [
        (("a", "b", 1), "changed"),
        (("a", "b", 2), "removed"),
        (("c",), "removed"),
        (("e",), "changed"),
        (("d",), "added"),
    ]


def test_numbers_are_compared_as_they_are_written() -> None:
    for before, after, is_same in (("1", "1", True), ("1", "1.0", False), ("1", '"1"', False)):
        changes = list(json_changes(json_value(before), json_value(after)))
        assert (changes == []) is is_same


def test_json_that_is_nested_deep_is_refused_at_its_limit() -> None:
    json_value("[" * (NESTED_MAX - 1) + "1" + "]" * (NESTED_MAX - 1))
    for deep in (NESTED_MAX + 1, 100_000):
        with pytest.raises(ValueError, match="nested"):
            json_value("[" * deep + "]" * deep)
    with pytest.raises(ValueError, match="Expecting"):
        json_value("{]")


_LINES = st.lists(st.sampled_from(["a", "b", "", "c\u20ac"]), max_size=40)


@given(_LINES, _LINES, st.sampled_from([0, 5, 50, 10**6]))
def test_edits_of_lines_made_to_one_give_the_other(
    before: list[str], after: list[str], steps_max: int
) -> None:
    assert line_edits(before, before, steps_max) == []
    edits = line_edits(before, after, steps_max)
    assert with_edits(before, edits) == after
    rows = shown_line_edits(before, edits)
    gone = [row[3] for row in rows if row[0] == "-"]
    come = [row[3] for row in rows if row[0] == "+"]
    assert gone == [line for edit in edits for line in before[edit.begin : edit.end]]
    assert come == [line for edit in edits for line in edit.lines]
    for sign, old, new, line in rows:
        assert isinstance(old, int)
        assert isinstance(new, int)
        if sign in (" ", "-"):
            assert before[old - 1] == line
        if sign in (" ", "+"):
            assert after[new - 1] == line


def test_texts_of_the_same_few_lines_take_no_more_steps_than_they_may() -> None:
    """difflib would make 400 million: minutes."""
    before = ["same"] * LINES_MAX
    before[1::2] = [f"{at}" for at in range(LINES_MAX // 2)]
    after = ["same"] * LINES_MAX
    after[::2] = [f"-{at}" for at in range(LINES_MAX // 2)]
    edits = line_edits(before, after)
    assert with_edits(before, edits) == after
    assert len(edits) == 1


def test_a_few_changed_lines_in_a_long_text_are_found_one_by_one() -> None:
    before = [f"line {at}" for at in range(LINES_MAX)]
    after = list(before)
    after[5] = after[10_000] = after[-1] = "changed"
    assert [(each.begin, each.end) for each in line_edits(before, after)] == [
        (5, 6),
        (10_000, 10_001),
        (LINES_MAX - 1, LINES_MAX),
    ]


def test_lines_stand_with_three_around_them() -> None:
    before = [f"{at}" for at in range(30)]
    after = [*before[:10], "new", *before[11:]]
    rows = shown_line_edits(before, line_edits(before, after))
    assert [row[0] for row in rows] == ["@", *"   -+   "]
    assert rows[0] == ["@", 8, 8, ""]
    assert rows[4:6] == [["-", 11, 0, "10"], ["+", 0, 11, "new"]]


_NAMES = st.sampled_from(["A", "a", "Date", "Set-Cookie", "X-Request-Id", "b"])
_FIELDS = st.lists(st.tuples(_NAMES, st.sampled_from(["1", "2", "s=1; Path=/", "s=2; Path=/"])))


@given(_FIELDS, _FIELDS, st.randoms(use_true_random=False))
def test_changes_of_fields_made_to_one_give_the_other(
    before: list[tuple[str, str]], after: list[tuple[str, str]], random: Any
) -> None:
    shuffled = list(before)
    random.shuffle(shuffled)
    assert field_changes(before, shuffled) == ([], [])
    changes, folded = field_changes(before, after)
    made = dict(with_field_changes(before, changes))
    wanted = dict(by_name(after))
    for name in folded:
        del made[name], wanted[name]
    assert made == wanted


def test_what_always_differs_is_folded_away() -> None:
    before = [("Date", "a"), ("ETag", "1"), ("Set-Cookie", "sid=1; Path=/"), ("X-A", "1")]
    after = [("date", "b"), ("Set-Cookie", "sid=2; Path=/"), ("x-a", "2")]
    changes, folded = field_changes(before, after)
    assert folded == ["date", "set-cookie"]
    assert changes == [("ETag", ("1",), ()), ("X-A", ("1",), ("2",))]
    changes, folded = field_changes(before, [*after[:1], ("Set-Cookie", "sid=2; Path=/a")])
    assert [change.name for change in changes] == ["ETag", "Set-Cookie", "X-A"]


def test_a_change_of_a_secret_is_told_and_the_secret_is_not() -> None:
    for before, after, masked in (
        (f'{{"token": "{SECRET}"}}', f'{{"token": "{SECRET}2"}}', True),
        (f'{{"tokens": ["{SECRET}"]}}', f'{{"tokens": ["{SECRET}", "{SECRET}"]}}', True),
        ("{}", f'{{"a": [{{"b": {{"password": "{SECRET}"}}}}]}}', True),
        ('{"state": 1, "code": 1}', f'{{"state": 1, "code": "{SECRET}"}}', True),
        ('{"code": 1}', f'{{"code": "{SECRET}"}}', False),
    ):
        old, new = json_value(before), json_value(after)
        [change] = json_changes(old, new)
        said = shown_json_change(change, old, new, Masks(KEY))
        assert said["masked"] is masked
        assert (SECRET not in json.dumps(said)) is masked
