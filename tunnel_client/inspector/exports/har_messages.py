"""Messages of a WebSocket in a HAR, as Chromium's DevTools write them."""

from __future__ import annotations

import base64
from typing import Final

from tunnel_client.inspector.capture.frames import FrameRow, Frames, Message
from tunnel_client.inspector.exports.har_texts import Said
from tunnel_client.inspector.shown.bodies import shown_text
from tunnel_client.inspector.shown.masking import Masks

TEXT: Final = 1
BINARY: Final = 2
_TYPES: Final = {"visitor": "send", "app": "receive"}


def har_message(frames: Frames, number: int, epoch: float, masks: Masks) -> Said | None:
    """Return the message that begins with this row; None: none does.

    Args:
        epoch: what the clock of the frames is behind the seconds since the epoch.
    """
    row = frames.row(number)
    if row is None or row.opcode not in (TEXT, BINARY) or row.sender not in _TYPES:
        return None
    message = frames.message(number)
    return None if message is None else _said(row, message, row.at + epoch, masks)


def _said(row: FrameRow, message: Message, time: float, masks: Masks) -> Said:
    if row.opcode == TEXT:
        text = message.data.decode("utf-8", "replace")
        data = shown_text(text, masks, is_cut=not message.is_whole)
    else:
        data = base64.b64encode(message.data).decode()
    said = {"type": _TYPES[row.sender], "time": round(time, 6), "opcode": row.opcode, "data": data}
    return said if message.is_whole else said | {"comment": "Not all of it is kept."}
