"""A visitor's connection under TLS, and how much may come on it that is no plain text.

HTTP's limits see plain text alone. Before it come a handshake, and in TLS 1.3 KeyUpdates whenever
the visitor likes (RFC 8446 4.6.3); OpenSSL takes a hello of 128 KiB, and all records that were read
in one turn of the loop. So trio's SSLStream lies between two streams of ours: the one below reads
little at a time and counts, the one above says when plain text came.
"""

from __future__ import annotations

import ssl
from typing import Final

import trio

from protocol.errors import TunnelError
from protocol.limits import KIB

# OpenSSL looks at all that was read in one turn, and a KeyUpdate of 27 bytes takes it 10 to 30 us:
# 150 of them 5 ms.
READ_FIRST_BYTES: Final = 4 * KIB
# A record, where plain text of half of it came with the last read, so that bulk takes one read for
# each. KeyUpdates instead would take 6 to 18 ms.
READ_MAX_BYTES: Final = 16 * KIB
# A hello with keys that withstand quantum computers has 2 KiB, and comes twice if we ask again. No
# certificate is asked for. The read that brings the last byte may bring 4 KiB of a request.
HANDSHAKE_MAX_BYTES: Final = 32 * KIB
# A record has up to 16 KiB and 261 bytes, and what was read behind the last one is less than that.
WITHOUT_PLAIN_TEXT_MAX_BYTES: Final = 48 * KIB


class TlsStream(trio.abc.Stream):
    """Plain text over a visitor's connection. It ends by FIN alone, as HTTPS does.

    Args:
        stream: the connection.
        context: with our certificate.

    Attributes:
        connection: what was given; after `unwrap` it belongs to the caller again.
        truncated: the visitor's end came without a close_notify: a cut may look so, or be forged
            (RFC 8446 6.1). What frames itself needs no such word of an end.
        transport_stream: trio's TLS.
    """

    def __init__(self, stream: trio.abc.Stream, context: ssl.SSLContext) -> None:
        self.connection = stream
        self._below = _Counted(stream)
        self.transport_stream = trio.SSLStream(
            self._below, context, server_side=True, https_compatible=True
        )

    def __repr__(self) -> str:
        return f"<TlsStream over {self._below!r}>"

    @property
    def truncated(self) -> bool:
        """See above; known once `receive_some` has returned b""."""
        return self._below.has_ended

    async def do_handshake(self) -> None:
        """Agree on keys.

        Raises:
            trio.BrokenResourceError: it failed, or took more than HANDSHAKE_MAX_BYTES.
        """
        await self.transport_stream.do_handshake()
        self._below.take_plain(0)

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Return plain text; b"" at the visitor's end. Cancelling loses nothing.

        Raises:
            trio.BrokenResourceError: the connection broke, or brought more than
                WITHOUT_PLAIN_TEXT_MAX_BYTES without any.
            trio.ClosedResourceError: this end closed it.
        """
        try:
            data = await self.transport_stream.receive_some(max_bytes)
        except trio.BrokenResourceError as error:
            # So OpenSSL tells of a close_notify when ours has been sent before.
            if not isinstance(error.__cause__, ssl.SSLZeroReturnError):
                raise
            return b""
        self._below.take_plain(len(data))
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of it; a cancelled call has sent a part. Raises as trio's does."""
        await self.transport_stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until the connection takes bytes."""
        await self.transport_stream.wait_send_all_might_not_block()

    async def send_close_notify(self) -> None:
        """End our direction alone: what the visitor still sends can be read afterwards.

        Only while nobody else uses the stream, and once a `receive_some` had to wait: OpenSSL takes
        plain text that has come for a fault here. Cancelled, the stream may be broken.

        Raises:
            trio.BrokenResourceError: the connection broke.
        """
        self._below.is_shut = True
        try:
            await self.transport_stream.unwrap()
        except ReadRefused:
            pass  # the close_notify has left, and its answer is not read
        finally:
            self._below.is_shut = False

    async def unwrap(self) -> None:
        """Send a close_notify and wait for the visitor's.

        Raises:
            trio.BrokenResourceError: something else came.
        """
        await self.transport_stream.unwrap()

    async def aclose(self) -> None:
        """Close the connection, without a close_notify."""
        await self.transport_stream.aclose()


class ReadRefused(TunnelError):
    """TLS would read, and nothing is to be read now."""


class _Counted(trio.abc.Stream):
    """The connection as trio's TLS reads it.

    Attributes:
        transport_stream: the connection.
        is_shut: reads raise ReadRefused.
        has_ended: it has, by FIN; behind a close_notify nobody reads so far.
    """

    def __init__(self, transport_stream: trio.abc.Stream) -> None:
        self.transport_stream = transport_stream
        self.is_shut = False
        self.has_ended = False
        self._left_bytes = HANDSHAKE_MAX_BYTES
        """So much may still come without plain text."""
        self._plain_bytes = 0
        """So much plain text came since the last read."""

    def __repr__(self) -> str:
        return f"<_Counted {self.transport_stream!r} {self._left_bytes} bytes left>"

    def take_plain(self, size_bytes: int) -> None:
        """So much plain text came, or the end of the handshake."""
        self._left_bytes = WITHOUT_PLAIN_TEXT_MAX_BYTES
        self._plain_bytes += size_bytes

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        if self.is_shut:
            raise ReadRefused
        is_bulk = self._plain_bytes >= READ_MAX_BYTES // 2
        self._plain_bytes = 0
        size = READ_MAX_BYTES if is_bulk else READ_FIRST_BYTES
        data = await self.transport_stream.receive_some(size)
        self.has_ended = not data
        self._left_bytes -= len(data)
        if self._left_bytes < 0:
            raise trio.BrokenResourceError("the visitor sent too much TLS without plain text")
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.transport_stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.transport_stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self.transport_stream.aclose()
