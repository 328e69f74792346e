"""The commands `name list`, `release` and `give`, done in a server or in its store alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from protocol.names import NAME_RULE, is_legal_name
from tunnel_server.owners.auth_file import is_owner
from tunnel_server.owners.names import Kept, KeptNames

Answer = dict[str, object]


class Holder(NamedTuple):
    """The owner of a name that is live, and whether somebody has chosen it."""

    owner: str
    chosen: bool


class NameCommands:
    """Answers one command after the other; nothing in here waits.

    Args:
        names: that are kept.
        holders: all that are live, and whose.
        wall_time: seconds since the epoch.
        knows: whether a token, or a key, stands for this owner; None: nobody can tell.
    """

    def __init__(
        self,
        names: KeptNames,
        holders: Callable[[], Mapping[str, Holder]],
        wall_time: Callable[[], float],
        knows: Callable[[str], bool | None],
    ) -> None:
        self._names = names
        self._holders = holders
        self._wall_time = wall_time
        self._knows = knows
        self.by_word: Mapping[str, Callable[[Mapping[str, Any]], Answer]] = {
            "names": self._list,
            "release": self._release,
            "give": self._give,
        }

    def __repr__(self) -> str:
        return f"<NameCommands of {self._names!r}>"

    def _list(self, asked: Mapping[str, Any]) -> Answer:
        """Kept names, and those that are held and not kept."""
        return {"names": sorted(self._described(), key=lambda name: str(name["name"]))}

    def _described(self) -> Iterator[Answer]:
        holders, kept_names = self._holders(), dict(self._names)
        now = self._wall_time()
        for name, kept in kept_names.items():
            is_kept = not self._names.is_over(name, now)
            yield _described(name, kept, _owner(holders.get(name)), is_kept=is_kept)
        for name, holder in holders.items():
            if name not in kept_names:
                kept = Kept(holder.owner, holder.chosen, now)
                yield _described(name, kept, holder.owner, is_kept=False)

    def _release(self, asked: Mapping[str, Any]) -> Answer:
        name, holders = legal_name(asked), self._holders()
        kept = self._names.get(name)
        holder = _owner(holders.get(name))
        if kept is None:
            held = "is free" if holder is None else f"is not kept; {holder} holds it now"
            raise ValueError(f"{name} {held}")
        self._names.release(name)
        return {"owner": kept.owner, "held_by": holder}

    def _give(self, asked: Mapping[str, Any]) -> Answer:
        name, owner = legal_name(asked), asked.get("owner")
        if not isinstance(owner, str) or not is_owner(owner):
            raise ValueError("an owner is the name of a token, or one that `name list` shows")
        if not self._names.are_kept:
            raise ValueError("this server keeps no names (--keep-names 0)")
        self._names.give(name, owner, self._wall_time())
        known = self._knows(owner)
        return {"owner": owner, "held_by": _owner(self._holders().get(name)), "known": known}


def _owner(holder: Holder | None) -> str | None:
    return None if holder is None else holder.owner


def _described(name: str, kept: Kept, holder: str | None, *, is_kept: bool) -> Answer:
    return {
        "name": name,
        "owner": kept.owner,
        "kept": is_kept,
        "chosen": kept.chosen,
        "live": holder is not None,
        "held_by": holder,
        "seen": datetime.fromtimestamp(kept.seen_at, UTC).isoformat(timespec="seconds"),
    }


def legal_name(asked: Mapping[str, Any]) -> str:
    """The name that a command is about. Raises ValueError."""
    name = asked.get("name")
    if not isinstance(name, str) or not is_legal_name(name):
        raise ValueError(f"{name!r} is no name; one is {NAME_RULE}")
    return name
