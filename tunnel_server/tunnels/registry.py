"""The names that are held now, by whom, and those that were held.

Plain dictionaries and no await anywhere: a claim is checked and made in one step. Live claims exist
in this process's memory alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, KeysView
from itertools import islice
from typing import Final, Protocol

from protocol.drivers.latch import Latch
from protocol.drivers.session_log import SessionLog
from protocol.drivers.stream import TunnelStream
from protocol.mux.messages import Claim, Claimed, Open, Refused
from protocol.names import NAME_RULE, generate_name, is_legal_name
from protocol.options import OptionError, Options, read_options
from tunnel_server.tunnels.left_names import Held, Left, LeftNames

# Clients that a name was taken from, each by the start of another: more machines than one has.
DISPLACED_MAX: Final = 16


class Carrier(Protocol):
    """Holds names and carries their requests: a session of the tunnel's client.

    On one of several servers another server is one, too.
    """

    @property
    def log(self) -> SessionLog:
        """The log of what concerns it."""

    @property
    def away(self) -> bool:
        """Whether it waits for its client."""

    @property
    def has_room(self) -> bool:
        """Whether it takes one more request now."""

    @property
    def serves_upgrades(self) -> bool:
        """Whether it takes requests for an upgrade to anything but WebSocket."""

    @property
    def streams_max(self) -> int:
        """The number of streams that it takes at once."""

    @property
    def batch_is_full(self) -> bool:
        """Whether a request should `wait_for_batch` before it begins."""

    async def wait_for_batch(self) -> None:
        """Wait while others have queued enough."""

    def open(self, opened: Open, readable: Latch | None = None) -> TunnelStream:
        """Begin a request; see `Session.open` for the errors."""

    def number_connection(self) -> int | None:
        """A number for a visitor's connection; None: its client could do nothing with one."""

    def gone(self, connection: int) -> None:
        """Say that a visitor's connection has ended, to which something was bound."""

    def release(self, claim: int, code: str, message: str) -> None:
        """Say that a claim has ended."""


class Tunnel:
    """A name and the carrier that holds it.

    Attributes:
        chosen: somebody wanted this name; neither the server nor the client made it up.
        was_asked_for: the server did not make it up.
    """

    __slots__ = (
        "carrier",
        "chosen",
        "claim",
        "displaced",
        "instance",
        "name",
        "options",
        "owner",
        "was_asked_for",
    )

    def __init__(
        self,
        name: str,
        owner: str,
        claim: Claim,
        options: Options,
        carrier: Carrier,
        *,
        chosen: bool,
    ) -> None:
        self.name = name
        self.options = options
        self.owner = owner
        self.was_asked_for = bool(claim.name)
        self.chosen = chosen
        self.instance = claim.instance
        self.claim = claim.claim
        self.carrier = carrier
        self.displaced: deque[bytes] = deque(maxlen=DISPLACED_MAX)
        """The instances that it was taken from, the last of them."""

    def __repr__(self) -> str:
        return f"<Tunnel {self.name} claim {self.claim} {self.carrier!r}>"


class Registry:
    """The names of one server.

    Args:
        url_of: the public URL of a name.
        random_bytes: for names that the server makes up.
        is_kept: whether a name that nobody holds is somebody's all the same.
        address_of: where a carrier's client is, for its owner; "": nobody knows.
    """

    def __init__(
        self,
        url_of: Callable[[str], str],
        random_bytes: Callable[[int], bytes],
        is_kept: Callable[[str], bool] = lambda _: False,
        address_of: Callable[[Carrier], str] = lambda _: "",
    ) -> None:
        self._address_of = address_of
        self._is_kept = is_kept
        self._url_of = url_of
        self._random_bytes = random_bytes
        self._tunnels: dict[str, Tunnel] = {}
        self._tunnels_of: dict[Carrier, dict[int, Tunnel]] = {}
        """The same by carrier and claim; one that holds nothing is not there."""
        self._of_owner: dict[str, dict[str, Tunnel]] = {}
        """The same by owner and name; one that has none is not there."""
        self._left = LeftNames()
        self._reserved: dict[str, str] = {}
        """Names that nobody holds and one owner alone may claim."""

    def __repr__(self) -> str:
        return f"<Registry {len(self._tunnels)} held, {len(self._left)} remembered>"

    def find(self, name: str) -> Tunnel | None:
        """The tunnel that a request for this name goes to."""
        return self._tunnels.get(name)

    def carrier_of(self, name: str) -> Carrier | None:
        """The one that carries the requests for this name; None: nobody holds it."""
        tunnel = self._tunnels.get(name)
        return None if tunnel is None else tunnel.carrier

    def live(self) -> Iterable[Tunnel]:
        """All that are held now."""
        return self._tunnels.values()

    def left(self, name: str) -> Left | None:
        """The end of a name that nobody holds, on the clock given to `release`."""
        return self._left.get(name)

    def forget(self, name: str) -> None:
        """Know nothing of a name that nobody holds."""
        self._left.pop(name)

    def reserve(self, name: str, owner: str) -> None:
        """Let this owner alone claim the name, until `unreserve` or until it is claimed."""
        self._reserved[name] = owner

    def reserved_for(self, name: str) -> str | None:
        """The owner who alone may claim a name that nobody holds; None: it is not reserved."""
        return self._reserved.get(name)

    def owner_of(self, name: str) -> str | None:
        """The owner that holds a name, or alone may claim it."""
        tunnel = self._tunnels.get(name)
        return self._reserved.get(name) if tunnel is None else tunnel.owner

    def unreserve(self, name: str) -> None:
        """Nothing when it is not reserved."""
        self._reserved.pop(name, None)

    def claim(self, carrier: Carrier, owner: str, claim: Claim) -> Claimed | Refused:
        """Give a name to a carrier, if it may have it.

        A person's start takes the name from any carrier of the same owner, which is told
        `taken-over`. A reconnect takes only a free name or one of its own instance: two machines
        with one token would else take it from one another for ever. Another owner never gets it.

        A claim that holds is answered as before: its client has missed the answer.
        """
        if (claimed := self.claimed(carrier, claim)) is not None:
            return claimed
        try:
            options = read_options(claim.options)
        except OptionError as error:
            return Refused(claim.claim, error.code, str(error))
        if claim.name and not is_legal_name(claim.name):
            return Refused(claim.claim, "name-invalid", f"a name is {NAME_RULE}")
        name = claim.name or self.free_name()
        holder, note = self._tunnels.get(name), None
        if holder is not None:
            same = holder.owner == owner and (claim.start or holder.instance == claim.instance)
            if not same:
                return self._name_taken(holder, owner, claim)
            self._remove(holder)
            if holder.instance != claim.instance and not holder.carrier.away:
                note = f"it was taken from another client of yours{self.where(holder)}"
        elif self._reserved.get(name, owner) != owner:
            return Refused(claim.claim, "name-taken", f"{name} was another client's until just now")
        chosen = _is_chosen(claim, holder or self._left.pop(name))
        self._reserved.pop(name, None)
        tunnel = Tunnel(name, owner, claim, options, carrier, chosen=chosen)
        if holder is not None:
            before = (*holder.displaced, holder.instance)
            tunnel.displaced.extend(one for one in before if one != claim.instance)
            holder.carrier.release(holder.claim, "taken-over", self._taken_over(tunnel))
        self._add(tunnel)
        return Claimed(claim.claim, name, self._url_of(name), note)

    def claimed(self, carrier: Carrier, claim: Claim) -> Claimed | None:
        """The answer to a claim that holds, whatever it asks for now; None: it does not."""
        held = self._tunnels_of.get(carrier, {}).get(claim.claim)
        return None if held is None else Claimed(claim.claim, held.name, self._url_of(held.name))

    def where(self, holder: Tunnel) -> str:
        """` at ADDRESS`, of the client that holds a name; "" where nobody knows."""
        address = self._address_of(holder.carrier)
        return f" at {address}" if address else ""

    def names_of(self, carrier: Carrier) -> list[str]:
        """The names that a carrier holds."""
        return [tunnel.name for tunnel in self._tunnels_of.get(carrier, {}).values()]

    def count_of(self, owner: str) -> int:
        """The number of names that an owner holds."""
        return len(self._of_owner.get(owner, ()))

    def first_of(self, owner: str, most: int) -> list[str]:
        """So many of the names that an owner holds: those that it has held for longest."""
        return list(islice(self._of_owner.get(owner, ()), most))

    def holders(self) -> KeysView[Carrier]:
        """The carriers that hold a name; it changes as they do."""
        return self._tunnels_of.keys()

    def release(self, carrier: Carrier, claim: int | None, now: float) -> list[str]:
        """Free one claim of a carrier, or all; returns the names."""
        held = self._tunnels_of.get(carrier, {})
        tunnels = [tunnel for number, tunnel in held.items() if claim in (None, number)]
        for tunnel in tunnels:
            self._remove(tunnel)
            self._left.add(tunnel.name, Left(Held(now, tunnel.owner), tunnel.chosen))
        return [tunnel.name for tunnel in tunnels]

    def held_within(self, seconds: float, now: float) -> dict[str, Held]:
        """The names that were held so shortly before `now`; the newest first."""
        held = {name: Held(now, tunnel.owner) for name, tunnel in self._tunnels.items()}
        left = {
            name: held for name, (held, _) in self._left.newest_first() if now - held.at <= seconds
        }
        return {**held, **left}

    def _add(self, tunnel: Tunnel) -> None:
        self._tunnels[tunnel.name] = tunnel
        self._tunnels_of.setdefault(tunnel.carrier, {})[tunnel.claim] = tunnel
        self._of_owner.setdefault(tunnel.owner, {})[tunnel.name] = tunnel

    def _remove(self, tunnel: Tunnel) -> None:
        del self._tunnels[tunnel.name]
        held = self._tunnels_of[tunnel.carrier]
        del held[tunnel.claim]
        if not held:
            del self._tunnels_of[tunnel.carrier]
        own = self._of_owner[tunnel.owner]
        del own[tunnel.name]
        if not own:
            del self._of_owner[tunnel.owner]

    def _name_taken(self, holder: Tunnel, owner: str, claim: Claim) -> Refused:
        """Refuse a held name; a client that was away when it was taken hears so, and gives up."""
        if holder.owner == owner and claim.instance in holder.displaced:
            return Refused(claim.claim, "taken-over", self._taken_over(holder))
        return Refused(claim.claim, "name-taken", f"{holder.name} is in use by another client")

    def _taken_over(self, holder: Tunnel) -> str:
        return f"another client of yours{self.where(holder)} has taken {holder.name}"

    def free_name(self) -> str:
        """A made-up name that nobody holds, and that is nobody's."""
        while True:
            name = generate_name(self._random_bytes(7))
            if not (name in self._tunnels or name in self._reserved or self._is_kept(name)):
                return name


def _is_chosen(claim: Claim, before: Tunnel | Left | None) -> bool:
    """Whether somebody wanted this name.

    A client up to 0.2 that comes back asks for its name without saying whether it was made up.
    """
    if claim.default is None and not claim.start:
        return before is not None and before.chosen
    return bool(claim.name) and claim.name != claim.default
