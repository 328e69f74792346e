"""Asks the system's resolver for addresses: anew each time, and never for long.

A network that is half there (the WLAN of a train, the minute after waking up) has name servers that
do not answer, and getaddrinfo cannot be cancelled: its thread is abandoned, and ends when the
resolver does. trio's own threads are shared with everything else, so that forty such lookups would
stop the terminal too. These have a limit of their own, and a deadline, so that people read that it
is the name and not the server that they wait for.

Nothing is kept from one lookup to the next: a server whose address changes is found again. (glibc
reads /etc/resolv.conf anew when it has changed, so a new network's name servers are asked.)
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

import trio

# The resolver asks the next name server after 5 s, so one of them may be dead. It leaves a third of
# a connect's 15 s for the connection itself.
LOOKUP_TIMEOUT_S: Final = 10.0

# glibc gives up after 30 s with three dead name servers, and an attempt that found nothing is
# followed by another within 0.5 s of waking up; then the pauses grow. An app's name takes some too.
LOOKUPS_MAX: Final = 8

T = TypeVar("T")


class Lookups(trio.abc.HostnameResolver):
    """The resolver for all of trio's sockets; see `trio.socket.set_custom_hostname_resolver`."""

    def __init__(self) -> None:
        self._limiter = trio.CapacityLimiter(LOOKUPS_MAX)

    def __repr__(self) -> str:
        return f"<Lookups {self._limiter.borrowed_tokens} under way>"

    async def getaddrinfo(
        self,
        host: bytes | None,
        port: bytes | str | int | None,
        family: int = 0,
        type: int = 0,  # noqa: A002  # the name is trio's
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        """As socket.getaddrinfo; no answer in time is a gaierror as well. Can be cancelled."""
        return await self._ask(partial(socket.getaddrinfo, host, port, family, type, proto, flags))

    async def getnameinfo(self, sockaddr: Any, flags: int) -> tuple[str, str]:
        """As socket.getnameinfo, likewise."""
        return await self._ask(partial(socket.getnameinfo, sockaddr, flags))

    async def _ask(self, question: Callable[[], T]) -> T:
        with trio.move_on_after(LOOKUP_TIMEOUT_S):
            return await trio.to_thread.run_sync(
                question, abandon_on_cancel=True, limiter=self._limiter
            )
        raise socket.gaierror(socket.EAI_AGAIN, f"no answer within {LOOKUP_TIMEOUT_S:g} s")
