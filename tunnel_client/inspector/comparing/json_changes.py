"""The changes between two JSON values, by path; lists are compared place by place."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal, NamedTuple

NESTED_MAX: Final = 100  # deeper is an attack, or nobody's reading

Path = tuple[str | int, ...]
ChangeKind = Literal["added", "removed", "changed"]


class JsonNumber(NamedTuple):
    """A number as it was written."""

    digits: str


class JsonChange(NamedTuple):
    """One change.

    Fields:
        path: names and places from the root on.
        before, after: values; None also for what is not there.
    """

    path: Path
    kind: ChangeKind
    before: Any
    after: Any


def json_value(text: str) -> Any:
    """Read a text as JSON: of a name that comes twice the last value holds.

    Raises ValueError: it is none, or is nested too deep.
    """
    try:
        value = json.loads(
            text.removeprefix("\ufeff"),
            parse_int=JsonNumber,
            parse_float=JsonNumber,
            parse_constant=JsonNumber,
        )
    except RecursionError:
        raise ValueError("nested too deep") from None
    level: list[Any] = [value]
    for _ in range(NESTED_MAX):
        level = [inner for each in level for inner in _members(each)]
        if not level:
            return value
    raise ValueError("nested too deep")


def json_changes(before: Any, after: Any) -> Iterator[JsonChange]:
    """Yield what has to be changed to make one value the other. Both are those of `json_value`."""
    return _changes((), before, after)


def with_changes(value: Any, changes: Sequence[JsonChange]) -> Any:
    """Return a value with changes made to it."""
    root = [_copy(value)]
    # What goes at the end of a list goes from its end on.
    removed = [change for change in reversed(changes) if change.kind == "removed"]
    others = [change for change in changes if change.kind != "removed"]
    for change in [*others, *removed]:
        path: list[Any] = [0, *change.path]
        place: Any = root
        last = path.pop()
        for each in path:
            place = place[each]
        if change.kind == "removed":
            del place[last]
        elif isinstance(place, list) and last == len(place):
            place.append(_copy(change.after))
        else:
            place[last] = _copy(change.after)
    return root[0]


def _changes(path: Path, before: Any, after: Any) -> Iterator[JsonChange]:
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _of_objects(path, before, after)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _of_lists(path, before, after)
    elif type(before) is not type(after) or before != after:
        yield JsonChange(path, "changed", before, after)


def _of_objects(path: Path, before: dict[str, Any], after: dict[str, Any]) -> Iterator[JsonChange]:
    for name, value in before.items():
        if name in after:
            yield from _changes((*path, name), value, after[name])
        else:
            yield JsonChange((*path, name), "removed", value, None)
    for name, value in after.items():
        if name not in before:
            yield JsonChange((*path, name), "added", None, value)


def _of_lists(path: Path, before: list[Any], after: list[Any]) -> Iterator[JsonChange]:
    both = min(len(before), len(after))
    for at in range(both):
        yield from _changes((*path, at), before[at], after[at])
    for at in range(both, len(before)):
        yield JsonChange((*path, at), "removed", before[at], None)
    for at in range(both, len(after)):
        yield JsonChange((*path, at), "added", None, after[at])


def _members(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copy(member) for name, member in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value
