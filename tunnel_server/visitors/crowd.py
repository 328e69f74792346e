"""The number of public connections, and which of them has to go when there are too many.

Each connection has a *place*. It is *pending* while the next bytes are the visitor's to send: a
handshake, a request's head, more of its body, or the next request. That costs a visitor nothing, so
two things are counted: all connections, and those of one address that are pending. One too many of
these closes the one that has been pending for longest, and not the newest: a person who reloads a
page must get in. Of all connections that is one of the newcomer's own address if it has any, so
that a crowd of one address pays for itself; and where none is pending, the newcomer has to go.

Proxies that are trusted, and this machine, bring other people's connections: only all is counted
there. Connections that carry a session have no place.

Time limits alone would not do. They are for what is really slow; a thousand connections that say a
byte now and then keep to all of them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

# Descriptors that are no visitor's: sessions, listening sockets, files, the loop's own.
_RESERVED_MIN: Final = 64
_RESERVED_SHARE: Final = 8  # of all; a thousand connections are served by a hundred sessions
# What is not asked for with --max-connections: more is a matter of memory, and with fewer
# descriptors than that it is they that run out.
DEFAULT_MAX: Final = 16_384
DEFAULT_MIN: Final = 64

# A browser keeps six, and an office with many of them has one address; to close an idle one too
# early costs it a handshake. A quarter of the streams that a session may have.
PENDING_MAX: Final = 256
_PENDING_SHARE: Final = 4  # no address may have more of all than this part

NEWS_EVERY_S: Final = 60.0


def connections_for(descriptors: int) -> int:
    """Return how many connections a process with so many descriptors may have."""
    reserved = max(_RESERVED_MIN, descriptors // _RESERVED_SHARE)
    return max(DEFAULT_MIN, min(DEFAULT_MAX, descriptors - reserved))


class Crowd:
    """All public connections of a server.

    Args:
        most: of all.

    Attributes:
        closed: how many were closed, or not let in, so far.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.most_pending = max(1, min(PENDING_MAX, most // _PENDING_SHARE))
        self.count = 0
        self.closed = 0
        self._pending: OrderedDict[Place, None] = OrderedDict()  # the longest first
        self._pending_of: dict[str, OrderedDict[Place, None]] = {}
        self._told = 0
        self._told_at = 0.0

    def __repr__(self) -> str:
        return f"<Crowd {self.count} of {self.most}, {len(self._pending)} pending>"

    def enter(self, key: str | None, close: Callable[[], None]) -> Place | None:
        """A place for a new connection, which is pending; None: there is none, close it.

        Args:
            key: see `crowd_key`; None is not counted apart.
            close: closes the connection. It must neither raise nor block, nor use the crowd.
        """
        if self.count >= self.most:
            first = next(iter(self._pending_of.get(key or "", self._pending)), None)
            if first is None:
                self.closed += 1
                return None
            self._close(first)
        place = Place(self, key, close)
        self.count += 1
        self.wait(place)
        return place

    def news(self, now: float) -> str | None:
        """Return what to log, once a minute at most."""
        if self.closed == self._told or (self._told and now - self._told_at < NEWS_EVERY_S):
            return None
        count, self._told, self._told_at = self.closed - self._told, self.closed, now
        return f"closed {count} connections that waited for longest: {self!r}"

    def move(self, place: Place, key: str | None) -> None:
        """Count a connection elsewhere: a PROXY header has said where it is from."""
        self.serve(place)
        place.key = key
        self.wait(place)

    # --- what places call ---

    def wait(self, place: Place) -> None:
        """See Place."""
        if place.gone or place in self._pending:
            return
        self._pending[place] = None
        if place.key is not None:
            own = self._pending_of.setdefault(place.key, OrderedDict())
            own[place] = None
            if len(own) > self.most_pending:
                self._close(next(iter(own)))

    def serve(self, place: Place) -> None:
        """See Place."""
        if place not in self._pending:
            return
        del self._pending[place]
        if place.key is not None:
            own = self._pending_of[place.key]
            del own[place]
            if not own:
                del self._pending_of[place.key]

    def leave(self, place: Place) -> None:
        """See Place."""
        if not place.gone:
            place.gone = True
            self.count -= 1
            self.serve(place)

    def _close(self, place: Place) -> None:
        self.leave(place)
        self.closed += 1
        place.close()


class Place:
    """One connection's.

    Attributes:
        key: see `crowd_key`.
        close: closes the connection.
        gone: it has left, or was closed.
    """

    __slots__ = ("_crowd", "close", "gone", "key")

    def __init__(self, crowd: Crowd, key: str | None, close: Callable[[], None]) -> None:
        self._crowd = crowd
        self.key = key
        self.close = close
        self.gone = False

    def __repr__(self) -> str:
        return f"<Place of {self.key}{', gone' if self.gone else ''}>"

    def wait(self) -> None:
        """It is pending from now on; nothing when it has been for a while."""
        self._crowd.wait(self)

    def serve(self) -> None:
        """It is pending no more: the next bytes are ours to send."""
        self._crowd.serve(self)

    def leave(self) -> None:
        """The connection has ended, or is no visitor's; nothing when that is known."""
        self._crowd.leave(self)
