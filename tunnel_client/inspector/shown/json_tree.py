"""JSON as a tree, with its secrets masked, or the place where it is none.

A node is a list, so that it can go to a page as JSON again, and keeps what readers of JSON lose:
names that come twice, their order, and the digits of numbers:

    ["object", [[name, node], ...]]    ["array", [node, ...]]
    ["string", text]    ["masked", text]    ["number", digits]    ["true"]    ["false"]    ["null"]
    ["cut"]    more stands here than is shown
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from tunnel_client.inspector.shown.masking import Masks

NODES_MAX: Final = 50_000  # a page stays smooth with so many
NESTED_MAX: Final = 100  # deeper is an attack, or nobody's reading

_CONSTANTS: Final = {True: ["true"], False: ["false"], None: ["null"]}


class Tree(NamedTuple):
    """A tree, or why there is none.

    Fields:
        root: None: it is no JSON.
        is_cut: parts of it are left out.
        problem: for people, with line and column.
    """

    root: list[Any] | None
    is_cut: bool = False
    problem: str | None = None


class _Pairs(list[tuple[str, Any]]):
    """An object, with what comes twice in it."""


class _Digits(str):
    """A number as it was written."""

    __slots__ = ()


def json_tree(text: str, masks: Masks) -> Tree:
    """Read a text as JSON. Never raises."""
    try:
        value = json.loads(
            *(text.removeprefix("\ufeff"),),
            object_pairs_hook=_Pairs,
            parse_int=_Digits,
            parse_float=_Digits,
            parse_constant=_Digits,
        )
        grower = _Grower(masks)
        return Tree(grower.node(value, "", (), 0), grower.is_cut)
    except json.JSONDecodeError as error:
        return Tree(None, problem=f"line {error.lineno}, column {error.colno}: {error.msg}")
    except RecursionError:
        return Tree(None, problem="it is nested too deep to be shown as a tree")


class _Grower:
    """Makes nodes of values, within the limits."""

    def __init__(self, masks: Masks) -> None:
        self.is_cut = False
        self._masks = masks
        self._left = NODES_MAX

    def __repr__(self) -> str:
        return f"<_Grower {self._left} nodes left>"

    def node(self, value: Any, name: str, siblings: Iterable[str], depth: int) -> list[Any]:
        """Return the node of a value that stands under this name, or in a list under it."""
        self._left -= 1
        if self._left < 0 or depth > NESTED_MAX:
            self.is_cut = True
            return ["cut"]
        if isinstance(value, _Pairs):
            names = [each for each, _ in value]
            beside = {"state"} if any(each.lower() == "state" for each in names) else set()
            return ["object", self._members(value, beside, depth)]
        if isinstance(value, list):
            return ["array", self._items(value, name, siblings, depth)]
        if isinstance(value, _Digits):
            return ["number", str(value)]
        if isinstance(value, str):
            shown = self._masks.value(name, value, siblings)
            return ["string" if shown == value else "masked", shown]
        return _CONSTANTS[value]

    def _members(self, value: _Pairs, siblings: Iterable[str], depth: int) -> list[Any]:
        members: list[Any] = []
        for name, member in value:
            members.append([name, self.node(member, name, siblings, depth + 1)])
            if self._left < 0:
                break
        return members

    def _items(self, value: list[Any], name: str, beside: Iterable[str], depth: int) -> list[Any]:
        items: list[Any] = []
        for item in value:
            items.append(self.node(item, name, beside, depth + 1))
            if self._left < 0:
                break
        return items


# A string, which may be cut off, with the colon behind a name; or what opens and closes.
_TOKEN: Final = re.compile(r'("(?:[^"\\]|\\.)*(?:"|\\?\Z))(\s*:)?|[{}\[\]]', re.DOTALL)
_STATE: Final = re.compile(r'"state"\s*:', re.IGNORECASE)


def looks_like_json(text: str) -> bool:
    """Whether a text begins as an object or a list does."""
    return text.lstrip("\ufeff \t\r\n")[:1] in ("{", "[")


def masked_json(text: str, masks: Masks, *, is_cut: bool = False) -> str:
    """Return JSON as it was written but for its secrets, be it whole, cut off or no JSON at all.

    Args:
        is_cut: more stands behind it, where any name may be: a `code` has its `state` there.
    """
    names: list[str] = []
    name = ""
    beside = ("state",) if is_cut or _STATE.search(text) else ()
    shown: list[str] = []
    end = 0
    for token in _TOKEN.finditer(text):
        said, colon = token[1], token[2]
        if said is None:
            if token[0] in "{[":
                names.append(name)
                name = name if token[0] == "[" else ""
            elif names:
                name = names.pop()
        elif colon:
            name = _unquoted(said)
        else:
            value = _unquoted(said)
            masked = masks.value(name, value, beside)
            if masked != value:
                shown += text[end : token.start()], f'"{masked}"'
                end = token.end()
    return "".join([*shown, text[end:]])


def _unquoted(said: str) -> str:
    """Return the value of a JSON string, or what stands between its quotes if it is none."""
    inner = said[1:-1] if len(said) > 1 and said.endswith('"') else said[1:]
    if "\\" in inner:
        try:
            return str(json.loads(f'"{inner}"', strict=False))
        except ValueError:
            pass
    return inner
