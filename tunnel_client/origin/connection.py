"""A connection to the local app: bytes both ways, and how it ended.

The kernel reports a reset only once: when a write has met it, the next read returns an end, as if
the app had closed in good order. The visitor must not be told that, so this class remembers.
"""

from __future__ import annotations

import errno
import ssl

import trio

from protocol.drivers.sockets import drop, is_readable
from protocol.drivers.tcp import TcpStream
from protocol.errors import TunnelError
from protocol.http.heads import HeadBuffer
from protocol.limits import READ_BYTES
from tunnel_client.origin.dial import OriginStream
from tunnel_client.origin.tls_transport import ReadStopped


class OriginClosed(TunnelError):
    """The connection broke: the app reset it, TLS ended without close_notify, or we dropped it."""


class OriginConnection:
    """One connection; at most one task sends and one receives.

    Args:
        stream: connected, TLS done.

    Attributes:
        answers: what was read and not yet used.
        app_closes: the app has said that it ends the connection behind its answer.
        dropped: we closed it.
        lenient: something of an answer was taken that the strict grammar refuses, so it is not used
            again.
    """

    __slots__ = (
        *("_below_tls", "_reset_met", "_stream"),
        *("answers", "app_closes", "dropped", "lenient"),
    )

    def __init__(self, stream: OriginStream) -> None:
        self.answers = HeadBuffer(is_request=False)
        self.app_closes = False
        self.dropped = False
        self.lenient = False
        self._stream = stream
        self._below_tls = stream.transport_stream if isinstance(stream, trio.SSLStream) else None
        self._reset_met = False

    def __repr__(self) -> str:
        return f"<OriginConnection {'dropped' if self.dropped else 'open'} {self.answers!r}>"

    @property
    def can_half_close(self) -> bool:
        """Whether `send_eof` works at once, without a task that receives; under TLS it does not."""
        return isinstance(self._stream, trio.abc.HalfCloseableStream)

    @property
    def is_stale(self) -> bool:
        """Whether the app has ended an idle connection, or sent bytes that nobody asked for."""
        return self.dropped or bool(len(self.answers)) or is_readable(self._stream)

    async def send(self, data: bytes) -> None:
        """Send all of it. A cancelled call has sent a part.

        Raises:
            OriginClosed: the app takes no more; it may have said something all the same.
        """
        try:
            await self._stream.send_all(data)
            if self._below_tls is not None and self._below_tls.write_failure is not None:
                raise self._below_tls.write_failure
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            # EPIPE: the app had ended its direction before, so the end that is read is a true one.
            if getattr(error.__cause__, "errno", None) != errno.EPIPE:
                self._reset_met = True
            raise OriginClosed from error

    async def receive(self, max_bytes: int = READ_BYTES) -> bytes:
        """Return the next bytes that the app sent; b"" when it ended its direction.

        Raises:
            OriginClosed: it did not end it cleanly, or we dropped the connection.
        """
        try:
            data = bytes(await self._stream.receive_some(max_bytes))
        except ReadStopped:
            await self._send_close_notify()
            return await self.receive(max_bytes)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            # So OpenSSL tells of a close_notify when ours has been sent before.
            if not isinstance(error.__cause__, ssl.SSLZeroReturnError):
                raise OriginClosed from error
            data = b""
        if self.dropped or (self._reset_met and not data):
            raise OriginClosed
        return data

    async def send_eof(self) -> None:
        """End our direction; nothing may be sent any more.

        Under TLS the task that receives does it, with a close_notify, once it has taken all that
        has come; if there is none, `aclose` does.

        Raises:
            OriginClosed: as `send` does; not under TLS.
        """
        if self._below_tls is not None:
            self._below_tls.interrupt()
            await trio.lowlevel.checkpoint()
            return
        assert isinstance(self._stream, trio.abc.HalfCloseableStream)
        try:
            await self._stream.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise OriginClosed from error

    async def _send_close_notify(self) -> None:
        """Only while reads are interrupted: OpenSSL would go on to wait for the app's own."""
        assert self._below_tls is not None
        assert isinstance(self._stream, trio.SSLStream)
        try:
            await self._stream.unwrap()
        except ReadStopped:
            pass  # the close_notify has left
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise OriginClosed from error
        finally:
            self._below_tls.is_interrupted = False

    def drop(self, *, reset: bool) -> None:
        """Close it now, with RST or FIN; tasks that use it get OriginClosed."""
        self.dropped = True
        drop(self._stream, reset=reset)

    async def aclose(self, within_s: float) -> None:
        """End both directions, under TLS with a close_notify if the app takes it in time.

        A socket is closed without a wait, and so without a cancel scope: each POST closes one.
        """
        if self.dropped:
            return
        if isinstance(self._stream, TcpStream):
            self.drop(reset=False)
            return
        self.dropped = True
        with trio.move_on_after(within_s, shield=True):
            await self._stream.aclose()
