"""DRIVER. Logs of a session: records that say whose they are, and the trace of its frames.

Both ends write the same first eight hex digits of the session's public id, so that one can be found
in the other's log. (The id is no secret: a resume needs the session's secret beside it.)
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from protocol import FRAMES
from protocol.drivers.transport import Transport
from protocol.errors import RemoteProtocolError
from protocol.mux.printing import RECEIVED, SENT, message_lines

# 32 bits: of a thousand sessions of one log two are alike once in ten thousand logs.
_SHOWN_BYTES: Final = 4
NOTHING: Final[Mapping[str, object]] = MappingProxyType({})


class SessionLog(logging.LoggerAdapter[logging.Logger]):
    """A logger whose records carry the id of a session, which the programs' format prints.

    Args:
        logger: the module's own.
        session_id: the session's public id; never its secret.
        extra: what else its records carry, for filters.
    """

    def __init__(
        self, logger: logging.Logger, session_id: bytes, extra: Mapping[str, object] = NOTHING
    ) -> None:
        self.session_id = session_id
        super().__init__(logger, {**extra, "ids": f"session {self.shown}: "})

    def __repr__(self) -> str:
        return f"<SessionLog {self.shown} {self.logger.name}>"

    @property
    def shown(self) -> str:
        """The first eight hex digits of the id."""
        return self.session_id[:_SHOWN_BYTES].hex()

    def by(self, logger: logging.Logger) -> SessionLog:
        """Return the log of the same session for another module."""
        return SessionLog(logger, self.session_id, self.extra or NOTHING)

    def carrying(self, extra: Mapping[str, object]) -> SessionLog:
        """Return one whose records carry this, too."""
        return SessionLog(self.logger, self.session_id, extra)


class TracedTransport:
    """A transport that logs a line for each frame; see `traced`."""

    def __init__(self, transport: Transport, log: SessionLog) -> None:
        self._transport = transport
        self._log = log

    def __repr__(self) -> str:
        return f"<TracedTransport {self._transport!r}>"

    @property
    def heard_at(self) -> float:
        """See Transport."""
        return self._transport.heard_at

    async def send(self, message: bytes) -> None:
        """See Transport."""
        self._trace(SENT, message)
        await self._transport.send(message)

    async def receive(self) -> bytes:
        """See Transport."""
        message = await self._transport.receive()
        self._trace(RECEIVED, message)
        return message

    async def aclose(self) -> None:
        """See Transport."""
        await self._transport.aclose()

    def _trace(self, direction: str, message: bytes) -> None:
        try:
            for line in message_lines(direction, message):
                self._log.log(FRAMES, "%s", line)
        except RemoteProtocolError as error:
            self._log.log(FRAMES, "%s no message: %s", direction, error)


def traced(transport: Transport, log: SessionLog) -> Transport:
    """Return a transport that logs each frame if the log's level is FRAMES, else the one given.

    What is not traced costs nothing a message. The handshake has no session yet: of its messages
    `resumed` alone is traced, by the server.
    """
    return TracedTransport(transport, log) if log.isEnabledFor(FRAMES) else transport
