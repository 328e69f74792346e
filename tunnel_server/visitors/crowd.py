"""The number of public connections, and which of them has to go when there are too many.

Each connection has a *place*. It is *pending* while the next bytes are the visitor's to send: a
handshake, a request's head, more of its body, or the next request. That costs a visitor nothing, so
what is pending makes room: the longest pending of an address that has its share, and not the
newest, since a person who reloads a page must get in. Where all places are taken that is one of the
newcomer's own, or one whose request waits for its share, or whichever has been pending for longest;
where none is, the newcomer has to go. That is so once a few more are connected than there are
places: until then a newcomer's head is read. Where it is a tunnel's client it needs no place.

What is under way never ends to make room. So requests that are served are a share of their own: one
over it waits for another of its address to end. Of an address a few may wait beside its share of
places; of one more the longest waiting is told at once that there is no room. Only where all places
are taken it has to go without an answer, as what is pending has. What was told so is pending from
when its answer has left.

Proxies that are trusted, and this machine, bring other people's connections: what is known to be
nobody's in particular is counted among all alone. Connections that carry a session have no place.

Time limits alone would not do. They are for what is really slow; a thousand connections that say a
byte now and then keep to all of them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final

import trio

from tunnel_server.owners.share_counts import Counted
from tunnel_server.owners.shares import Share
from tunnel_server.owners.waiting import PassTime, Pause, RoomShare
from tunnel_server.visitors.crowd_news import CrowdNews

# Connections that come where all places are taken: their heads are read all the same, since one may
# be a tunnel's client, whose return ends what waits for it, and the others are told.
SPARE: Final = 32
# Descriptors that are no visitor's: listening sockets, files, commands, the loop's own; and those.
_RESERVED_MIN: Final = 32 + SPARE
# What is not asked for with --max-connections: more is a matter of memory, and with fewer
# descriptors than that it is they that run out.
DEFAULT_MAX: Final = 16_384
DEFAULT_MIN: Final = 64

# Of the places that are free, those that requests of one address may take while they wait for its
# share: a page that asks for a little more than it may have is served, and others find the rest.
_WAITING_PART: Final = 4


def connections_for(descriptors: int, sessions: int) -> int:
    """The number of visitors' connections that a process with so many descriptors may have.

    Args:
        descriptors: of the process.
        sessions: of clients, each with one.
    """
    reserved = sessions + _RESERVED_MIN
    return max(DEFAULT_MIN, min(DEFAULT_MAX, descriptors - reserved))


class Crowd:
    """All public connections of a server.

    Args:
        most: of all whose requests are served.
        spare: so many more may be connected.

    Attributes:
        news: what was closed, or not let in, for the log.
    """

    def __init__(self, most: int, spare: int = 0) -> None:
        self.news = CrowdNews(most)
        self._spare = spare
        self._places = Share(most)
        self._served = RoomShare(most)
        self._pending: OrderedDict[Place, None] = OrderedDict()  # the longest first
        self._pending_of: dict[str, OrderedDict[Place, None]] = {}
        self._over_share: OrderedDict[Place, trio.CancelScope] = OrderedDict()  # with a request
        self._over_share_of: dict[str | None, OrderedDict[Place, trio.CancelScope]] = {}

    def __repr__(self) -> str:
        return f"<Crowd {self.count} of {self._places.most}, {len(self._pending)} pending>"

    @property
    def count(self) -> int:
        """The number of connections."""
        return self._places.used

    @property
    def shares(self) -> Mapping[str, Counted]:
        """The shares of visitors' addresses, by their names in JSON."""
        return {"places": self._places, "served_requests": self._served}

    def enter(self, key: str | None, close: Callable[[], None]) -> Place | None:
        """A place for a new connection, which is pending; None: there is none, close it.

        Args:
            key: see `crowd_key`; None is not counted apart.
            close: closes the connection. It must neither raise nor block, nor use the crowd.
        """
        if not self._places.has_room(key) and not self._make_room(key):
            self.news.turned_away()
            return None
        place = Place(self, key, close)
        self._places.take(key)
        self.wait(place)
        return place

    def _make_room(self, key: str | None) -> bool:
        """Close one that is pending, if that has to be; whether there is a place."""
        is_full = self.count >= self._places.most + self._spare
        queues: list[Mapping[Place, object]] = []
        if is_full or self._places.full_key(key) is not None:
            queues.append(self._pending_of.get(key or "", {}))
        if is_full:
            queues += [self._over_share_of.get(key, {}), self._over_share, self._pending]
        first = next((next(iter(queue)) for queue in queues if queue), None)
        if first is not None:
            self._close(first)
            self.news.closed_for(None if is_full else key)
        return first is not None or not is_full

    def move(self, place: Place, key: str | None) -> None:
        """Count a connection elsewhere: its request, or a PROXY header, has said whose it is."""
        if place.gone or place.key == key:
            return
        is_pending, is_served = place in self._pending, place.is_served
        self.rest(place)
        self._stop_waiting(place)
        self._places.give(place.key)
        if not self._places.has_room(key):
            self._make_room(key)
        self._places.take(key)
        place.key = key
        if is_served:
            self.serve(place)
        if is_pending:
            self.wait(place)

    # --- what places call ---

    def wait(self, place: Place) -> None:
        """See Place."""
        if place.gone:
            return
        self._pending.setdefault(place)
        if place.key is not None and place not in self._over_share:
            self._pending_of.setdefault(place.key, OrderedDict()).setdefault(place)

    def serve(self, place: Place) -> None:
        """See Place."""
        if place.gone:
            return
        if place in self._pending:
            self._stop_waiting(place)
        if not place.is_served:
            place.is_served = True
            self._served.take(place.key)

    def rest(self, place: Place) -> None:
        """See Place."""
        self.wait(place)
        if place.is_served:
            place.is_served = False
            self._served.give(place.key)

    def is_over_share(self, place: Place) -> bool:
        """See Place."""
        return not place.gone and self._served.is_over(place.key)

    async def wait_for_share(self, place: Place, pass_time: PassTime) -> bool:
        """See Place."""
        self.rest(place)
        self._unlist(place)
        has_taken, scope = False, self._join_line(place)
        try:
            with scope:
                has_taken = await self._served.take_when_open(place.key, pass_time)
        finally:
            self._leave_line(place)
        if has_taken and place.gone:  # it was closed when its turn had come
            self._served.give(place.key)
        elif has_taken:
            place.is_served = True
            self._stop_waiting(place)
        return has_taken

    def _join_line(self, place: Place) -> trio.CancelScope:
        """It waits for its share from now on; the scope around that, which ends it at once."""
        line = self._over_share_of.get(place.key, OrderedDict())
        if len(line) >= max((self._places.most - self.count) // _WAITING_PART, 1):
            longest = next(iter(line))
            line[longest].cancel()  # it is told, and then its connection ends
            self._leave_line(longest)
        scope = trio.CancelScope()
        self._over_share[place] = scope
        self._over_share_of.setdefault(place.key, OrderedDict())[place] = scope
        return scope

    def _leave_line(self, place: Place) -> None:
        """It does not wait for its share any more; nothing when it does not."""
        if self._over_share.pop(place, None) is None:
            return
        line = self._over_share_of[place.key]
        del line[place]
        if not line:
            del self._over_share_of[place.key]

    def has_its_share(self, place: Place) -> bool:
        """See Place."""
        return self._served.has_its_share(place.key)

    def leave(self, place: Place) -> None:
        """See Place."""
        if not place.gone:
            self.rest(place)
            self._leave_line(place)
            self._stop_waiting(place)
            place.gone = True
            self._places.give(place.key)

    def _stop_waiting(self, place: Place) -> None:
        del self._pending[place]
        self._unlist(place)

    def _unlist(self, place: Place) -> None:
        """It is no more among those of its address that may be closed."""
        own = self._pending_of.get(place.key or "")
        if own is not None and place in own:
            del own[place]
            if not own:
                del self._pending_of[place.key or ""]

    def _close(self, place: Place) -> None:
        self.leave(place)
        place.close()


class Place:
    """One connection's.

    Attributes:
        key: see `crowd_key`.
        close: closes the connection.
        gone: it has left, or was closed.
        is_served: a request of it is under way, and is one of those that are served.
    """

    __slots__ = ("_crowd", "close", "gone", "is_served", "key")

    def __init__(self, crowd: Crowd, key: str | None, close: Callable[[], None]) -> None:
        self._crowd = crowd
        self.key = key
        self.close = close
        self.gone = False
        self.is_served = False

    def __repr__(self) -> str:
        state = ", gone" if self.gone else ", served" if self.is_served else ""
        return f"<Place of {self.key}{state}>"

    def wait(self) -> None:
        """It is pending from now on; nothing when it has been for a while.

        A request whose body is still to come remains one of those that are served: if each of its
        pauses let in another, one address could have all places.
        """
        self._crowd.wait(self)

    def serve(self) -> None:
        """It is pending no more: the next bytes are ours to send. Its request is served."""
        self._crowd.serve(self)

    def rest(self) -> None:
        """It is pending, and no request of it is under way."""
        self._crowd.rest(self)

    @property
    def over_share(self) -> bool:
        """Whether its address has as many requests under way as it may without this one."""
        return self._crowd.is_over_share(self)

    @property
    def has_its_share(self) -> bool:
        """Whether it is its address that has so many requests under way; else all have."""
        return self._crowd.has_its_share(self)

    async def wait_for_share(self, pass_time: PassTime = Pause.wait) -> bool:
        """Wait until one of its address has ended; whether that was within WAIT_S.

        It is pending meanwhile, and stays so where none has ended.

        Args:
            pass_time: see `RoomShare.take_when_open`.
        """
        return await self._crowd.wait_for_share(self, pass_time)

    def move(self, key: str | None) -> None:
        """It is another visitor's from now on, who has sent a request by the same proxy."""
        self._crowd.move(self, key)

    def leave(self) -> None:
        """The connection has ended, or is no visitor's; nothing when that is known."""
        self._crowd.leave(self)
