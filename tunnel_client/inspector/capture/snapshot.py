"""An exchange as it is at one moment: plain values, which another thread may read."""

from __future__ import annotations

from typing import NamedTuple

from protocol.http.fields import Fields
from protocol.mux.messages import Open
from tunnel_client.inspector.capture.body import Body
from tunnel_client.inspector.capture.exchange import Half, KeptExchange, Marks

_LINE_END = b"\r\n"


class HalfSnapshot(NamedTuple):
    """A request or an answer.

    Fields:
        line: the first one of its head.
        fields: in order, as they came.
        data: of its body, as much as is kept.
        size_bytes: the true size of that.
        why_not: why not all of it is here; None: it is.
        trailers: behind it.
    """

    line: bytes
    fields: Fields
    data: bytes
    size_bytes: int
    why_not: str | None
    trailers: Fields

    def all(self, name: bytes) -> list[bytes]:
        """Return the values of all fields of this name, which is in lower case."""
        return [value for each, value in self.fields if each.lower() == name]

    def joined(self, name: bytes) -> str:
        """Return the values of all fields of this name, with commas between; "": there is none."""
        return b", ".join(self.all(name)).decode("latin-1")

    @property
    def content_type(self) -> str:
        """The first Content-Type; "": there is none."""
        return self.joined(b"content-type") if len(self.all(b"content-type")) < 2 else ""

    @property
    def is_chunked(self) -> bool:
        """Whether its body has chunks."""
        return "chunked" in self.joined(b"transfer-encoding").lower()


class ExchangeSnapshot(NamedTuple):
    """An exchange.

    Fields:
        request, answer: None: there was none, so far.
        began: in seconds since the epoch.
    """

    id: int
    opened: Open
    request: HalfSnapshot | None
    answer: HalfSnapshot | None
    marks: Marks
    began: float
    error: str | None
    is_over: bool


def snapshot_of(exchange: KeptExchange) -> ExchangeSnapshot:
    """Return what is known of an exchange just now. Bodies are copied."""
    return ExchangeSnapshot(
        exchange.id,
        exchange.opened,
        _half(exchange.request),
        _half(exchange.answer),
        exchange.marks,
        exchange.began,
        exchange.error,
        exchange.state == "over",
    )


def _half(half: Half) -> HalfSnapshot | None:
    if half.head is None:
        return None
    line, *lines = half.head.split(_LINE_END)
    body: Body | None = half.body
    data, size, why_not = (
        (b"", 0, None) if body is None else (body.data(), body.size_bytes, body.why_not)
    )
    return HalfSnapshot(line, tuple(_fields(lines)), data, size, why_not, half.trailers)


def _fields(lines: list[bytes]) -> Fields:
    parts = (line.partition(b":") for line in lines if line)
    return tuple((name, value.strip(b" \t")) for name, _, value in parts)
