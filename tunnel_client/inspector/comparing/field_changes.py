"""The changes between the fields of two heads, whatever their order.

What differs in any two answers is folded away, and named all the same: times, tags of a version,
numbers of a request, and the values of cookies, whose names and attributes count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

FieldPairs = Iterable[tuple[str, str]]

FOLDED: Final = frozenset({"date", "age", "etag", "x-request-id"})
_SET_COOKIE: Final = "set-cookie"


class FieldChange(NamedTuple):
    """The values that a name has on one side alone; `name` as it came there."""

    name: str
    before: tuple[str, ...]
    after: tuple[str, ...]


class FieldChanges(NamedTuple):
    """The changes, and the names, in lower case, whose values differ and do not count."""

    changes: list[FieldChange]
    folded: list[str]


def field_changes(before: FieldPairs, after: FieldPairs) -> FieldChanges:
    """Return what differs."""
    old, new = by_name(before), by_name(after)
    spelled = {name.lower(): name for name, _ in (*after, *before)}
    changes: list[FieldChange] = []
    folded: list[str] = []
    for name in sorted(old.keys() | new.keys()):
        removed = old.get(name, Counter()) - new.get(name, Counter())
        added = new.get(name, Counter()) - old.get(name, Counter())
        if not removed and not added:
            continue
        if _is_folded(name, removed, added):
            folded.append(name)
        else:
            values = tuple(removed.elements()), tuple(added.elements())
            changes.append(FieldChange(spelled[name], *values))
    return FieldChanges(changes, folded)


def by_name(fields: FieldPairs) -> Mapping[str, Counter[str]]:
    """Return the values of each name, which is in lower case."""
    found: dict[str, Counter[str]] = {}
    for name, value in fields:
        found.setdefault(name.lower(), Counter())[value] += 1
    return found


def with_field_changes(
    fields: FieldPairs, changes: Iterable[FieldChange]
) -> Mapping[str, Counter[str]]:
    """Return the values of each name with changes made to them."""
    found = {name: Counter(values) for name, values in by_name(fields).items()}
    for change in changes:
        values = found.setdefault(change.name.lower(), Counter())
        values.subtract(change.before)
        values.update(change.after)
        found[change.name.lower()] = +values
    return {name: values for name, values in found.items() if values}


def _is_folded(name: str, removed: Counter[str], added: Counter[str]) -> bool:
    """Whether a difference is none: both sides have such a field, and only its value differs."""
    if name == _SET_COOKIE:
        return Counter(map(_shape, removed.elements())) == Counter(map(_shape, added.elements()))
    return name in FOLDED and bool(removed) and bool(added)


def _shape(cookie: str) -> str:
    """Return a cookie without its value."""
    pair, semicolon, attributes = cookie.partition(";")
    return pair.partition("=")[0].strip() + semicolon + attributes
