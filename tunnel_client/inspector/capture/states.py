"""The state of an exchange: who is waited for."""

from __future__ import annotations

from tunnel_client.inspector.capture.exchange import KeptExchange, State
from tunnel_client.inspector.capture.tap import CaptureTap, Kind


def state_of(exchange: KeptExchange, tap: CaptureTap) -> State:
    """Return what an exchange waits for just now, by its notes and its visitor's stream."""
    stream = tap.stream
    if stream is None:
        return "app" if tap.notes else "over"
    if stream.detached:
        return "tunnel"
    status = exchange.status
    if status is not None:
        if exchange.is_upgraded:
            return "open"
        return "visitor" if stream.unsent_bytes else "app"
    kinds = {kind for kind, _, _ in exchange.notes}
    if not kinds & {Kind.CONNECTING, Kind.ASKED}:
        return "tunnel"
    if Kind.ASKED in kinds and stream.opened.body not in (None, 0):
        return "app" if stream.receive_ended or stream.is_readable else "visitor"
    return "app"
