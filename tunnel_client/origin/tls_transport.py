"""The transport under TLS to the app: a socket that knows two things which trio's TLS does not.

Nothing of TLS is done here; trio's SSLStream lies over it.
"""

from __future__ import annotations

import trio

from protocol.errors import TunnelError


class ReadStopped(TunnelError):
    """TLS has nothing that came before, and was not to wait for more."""


class TlsTransport(trio.abc.Stream):
    """A socket whose failed writes leave it readable, and whose reads can be interrupted.

    trio's TLS is of no use once a write has failed. But an app that refuses an upload answers,
    closes, and its reset may come while we still write: its answer must be read all the same.

    It has no half-close either. OpenSSL has, but takes plain text that came for a fault while it
    sends a close_notify; so the task that reads has to send it, once there is none.

    Attributes:
        transport_stream: the socket's.
        write_failure: why nothing that is written arrives any more.
        is_interrupted: see `interrupt`.
    """

    def __init__(self, transport_stream: trio.SocketStream) -> None:
        self.transport_stream = transport_stream
        self.write_failure: trio.BrokenResourceError | None = None
        self.is_interrupted = False
        self._reading = trio.CancelScope()

    def __repr__(self) -> str:
        reads = "reads interrupted" if self.is_interrupted else "reads"
        return f"<TlsTransport {reads} {self.transport_stream!r} {self.write_failure!r}>"

    def interrupt(self) -> None:
        """Have reads raise ReadStopped, one that waits too, until `is_interrupted` is false."""
        self.is_interrupted = True
        self._reading.cancel()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        try:
            await self.transport_stream.send_all(data)
        except trio.BrokenResourceError as error:
            self.write_failure = error

    async def wait_send_all_might_not_block(self) -> None:
        await self.transport_stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        if not self.is_interrupted:
            with trio.CancelScope() as self._reading:
                return await self.transport_stream.receive_some(max_bytes)
        raise ReadStopped

    async def aclose(self) -> None:
        await self.transport_stream.aclose()
