"""The sessions of a server, and how many of them each owner has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, MutableMapping
from typing import Protocol, TypeVar

from protocol.drivers.session import Session


class Owned(Protocol):
    """Something that is an owner's, such as a login."""

    @property
    def owner(self) -> str:
        """The owner that it is of."""


T = TypeVar("T", bound=Owned)


class OwnedSessions(MutableMapping[Session, T]):
    """Sessions and their logins. An owner that asks for its number costs no walk over all."""

    def __init__(self) -> None:
        self._logins: dict[Session, T] = {}
        self._counts: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<OwnedSessions {len(self._logins)} of {len(self._counts)} owners>"

    def count_of(self, owner: str) -> int:
        """The number of sessions that an owner has."""
        return self._counts[owner]

    def __getitem__(self, session: Session) -> T:
        return self._logins[session]

    def __setitem__(self, session: Session, login: T) -> None:
        self.pop(session, None)
        self._logins[session] = login
        self._counts[login.owner] += 1

    def __delitem__(self, session: Session) -> None:
        owner = self._logins.pop(session).owner
        self._counts[owner] -= 1
        if not self._counts[owner]:
            del self._counts[owner]

    def __contains__(self, session: object) -> bool:
        return session in self._logins

    def __iter__(self) -> Iterator[Session]:
        return iter(self._logins)

    def __len__(self) -> int:
        return len(self._logins)
