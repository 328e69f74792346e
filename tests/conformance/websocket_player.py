"""Plays a script of websocket_script.py between a visitor and an app."""

from __future__ import annotations

import select
from contextlib import suppress
from typing import Final, Protocol

import trio
from trio.testing import wait_all_tasks_blocked

from protocol.drivers.sockets import drop
from tests.conformance.websocket_script import Case, Script, Side, Step
from tests.patience import PATIENCE

STEP_S: Final = 10.0 * PATIENCE  # a step on loopback takes milliseconds

# What each proxy adds for itself, or may. (Caddy guesses a Content-Type where the app says none.)
_OWN_NAMES: Final = frozenset(
    {b"via", b"date", b"server", b"forwarded", b"x-real-ip", b"alt-svc", b"content-type"}
    | {b"tunnel-hops"}
)


class Way(Protocol):
    """Leads from visitors to an app."""

    exact: bool  # heads come byte for byte as the script says; else each proxy has its own style

    async def visit(self) -> trio.SocketStream:
        """A new connection of a visitor."""

    async def accept(self) -> trio.SocketStream:
        """The next connection to the app."""

    def has_another(self) -> bool:
        """Whether a connection to the app has not been accepted."""


class Differs(AssertionError):
    """A step went otherwise than the script says."""


class End:
    """One side's connection."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._held = b""

    def __repr__(self) -> str:
        return f"<End held={self._held[:40]!r} {self.stream!r}>"

    async def send(self, data: bytes, piece_bytes: int) -> None:
        size = piece_bytes or len(data) or 1
        for at in range(0, len(data), size):
            await self.stream.send_all(data[at : at + size])
            if piece_bytes:  # each is read by itself, where the reader is a task of ours
                await wait_all_tasks_blocked()

    async def take(self, size: int) -> bytes:
        """So many bytes, fewer before an end."""
        while len(self._held) < size and (data := await self.stream.receive_some(65536)):
            self._held += data
        data, self._held = self._held[:size], self._held[size:]
        return data

    async def head(self) -> bytes:
        while b"\r\n\r\n" not in self._held:
            data = await self.stream.receive_some(65536)
            if not data:
                return await self.take(len(self._held))
            self._held += data
        return await self.take(self._held.index(b"\r\n\r\n") + 4)

    async def rest(self) -> bytes:
        while data := await self.stream.receive_some(65536):
            self._held += data
        return await self.take(len(self._held))

    async def leftover(self) -> bytes:
        """What has come and no step took."""
        if self._held or not select.select([self.stream.socket], [], [], 0)[0]:
            return self._held
        try:
            return bytes(await self.stream.receive_some(65536))
        except trio.BrokenResourceError:
            return b""


class Player:
    """Plays one script; each step has `step_s`."""

    def __init__(self, way: Way, step_s: float = STEP_S) -> None:
        self._way = way
        self._step_s = step_s
        self._ends: dict[Side, End] = {}

    def __repr__(self) -> str:
        return f"<Player of {self._way!r} {self._ends!r}>"

    async def play(self, steps: Script) -> None:
        """Raises Differs at the first step that goes otherwise."""
        try:
            for number, step in enumerate(steps, 1):
                try:
                    with trio.fail_after(self._step_s):
                        await self._do(step)
                except (Differs, trio.TooSlowError, trio.BrokenResourceError) as error:
                    said = str(error) or type(error).__name__
                    raise Differs(f"step {number}, {step.side} {step.act}: {said}") from error
                if step.act == "gets error" and not self._way.exact:
                    return  # what follows an error of its own is each proxy's matter
            await self._check_nothing_is_left()
        finally:
            for end in self._ends.values():
                await trio.aclose_forcefully(end.stream)

    async def _end(self, side: Side) -> End:
        if side not in self._ends:
            way = self._way
            self._ends[side] = End(await (way.visit() if side == "visitor" else way.accept()))
        return self._ends[side]

    async def _do(self, step: Step) -> None:
        end = await self._end(step.side)
        match step.act:
            case "sends":
                await end.send(step.data, step.piece_bytes)
            case "ends":
                await end.stream.send_eof()
            case "resets":
                drop(end.stream, reset=True)
            case "gets":
                same(await end.take(len(step.data)), step.data)
            case "gets head":
                await self._check_head(end, step)
            case "gets error":
                await self._check_error(end, step.data)
            case "sees end":
                same(await end.rest(), step.data)
            case "is reset":
                await self._check_reset(end)
            case "is left" | "is passed over":
                await self._leave(step)

    async def _check_head(self, end: End, step: Step) -> None:
        came = await end.head()
        if self._way.exact:
            same(came, step.data)
            return
        if not came and step.side == "app":  # not every proxy uses its connections again
            await trio.aclose_forcefully(self._ends.pop("app").stream)
            came = await (await self._end("app")).head()
        same(plain(came), plain(step.data))

    async def _check_error(self, end: End, told: bytes) -> None:
        """A head, and a body that is ours to word."""
        head = await end.head()
        names = fields_of(head)
        await end.take(int(names.get(b"content-length", b"0")))
        said = head.split(b" ")[1:2]
        if self._way.exact:
            said += [names[name] for name in (b"tunnel-error", b"connection") if name in names]
        same(b" ".join(said), told if self._way.exact else told.split(b" ")[0])

    async def _check_reset(self, end: End) -> None:
        try:
            came = await end.rest()
        except trio.BrokenResourceError:
            return
        raise Differs(f"an end after {came[:80]!r} in place of a reset")

    async def _leave(self, step: Step) -> None:
        """Nothing more comes on this connection; the next one takes its place."""
        if step.act == "is passed over" and not self._way.exact:
            return
        side = step.side
        stream = self._ends[side].stream
        with suppress(trio.BrokenResourceError):  # reset, if what was sent on it was not wanted
            same(await self._ends[side].rest(), b"")
        await trio.aclose_forcefully(stream)
        del self._ends[side]

    async def _check_nothing_is_left(self) -> None:
        for side, end in self._ends.items():
            if end.stream.socket.fileno() >= 0 and (more := await end.leftover()):
                raise Differs(f"{more[:80]!r} more for the {side}")
        if self._way.has_another():
            raise Differs("another connection to the app")


async def play(case: Case, way: Way) -> None:
    """Raises Differs if the case does not go as its script says."""
    await Player(way).play(case.script)


def same(came: bytes, expected: bytes) -> None:
    if came != expected:
        at = next((i for i, (a, b) in enumerate(zip(came, expected, strict=False)) if a != b), None)
        at = min(len(came), len(expected)) if at is None else at
        low = max(0, at - 20)
        raise Differs(
            f"from byte {at} on {came[low : at + 60]!r} instead of {expected[low : at + 60]!r}"
        )


def fields_of(head: bytes) -> dict[bytes, bytes]:
    """Names in lower case; repeated ones are joined."""
    found: dict[bytes, bytes] = {}
    for line in head.split(b"\r\n")[1:-2]:
        name, _, value = line.partition(b":")
        lower = name.lower()
        value = value.strip(b" \t")
        found[lower] = found[lower] + b", " + value if lower in found else value
    return found


def plain(head: bytes) -> bytes:
    """A head without what is style: case and order of names, a proxy's own fields."""
    found = fields_of(head)
    options = found.pop(b"connection", b"").lower()
    upgrade = found.pop(b"upgrade", b"").lower() if b"upgrade" in options else b""
    kept = [
        b"%b: %b" % pair
        for pair in sorted(found.items())
        if pair[0] not in _OWN_NAMES and not pair[0].startswith(b"x-forwarded")
    ]
    first = head.partition(b"\r\n")[0]
    line = b" ".join(first.split(b" ")[:2]) if first.startswith(b"HTTP/") else first
    return b"\n".join([line, b"upgrade to " + upgrade, *kept])
