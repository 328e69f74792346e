"""Texts of a HAR: which bytes stand for one, and the other way round.

A HAR has text in Unicode, whatever its charset was. Both directions ask here, so that what is
written is read as the same bytes.
"""

from __future__ import annotations

import base64
from typing import Any

from tunnel_client.inspector.shown.masked_bodies import MaskedBody
from tunnel_client.inspector.shown.media_types import media_type
from tunnel_client.inspector.shown.texts import decoded_text

Said = dict[str, Any]


def bytes_of(text: str, mime_type: str) -> bytes:
    """Return the bytes of a text, in the charset of its type, or UTF-8 where it does not fit."""
    charset = decoded_text(b"", media_type(mime_type).parameters.get("charset", "")).charset
    try:
        return text.encode(charset)
    except UnicodeError:
        return text.encode("utf-8", "surrogatepass")


def said_body(body: MaskedBody, mime_type: str) -> Said:
    """Return `text`, and `encoding` where it is no exact text."""
    text = body.text
    if text is not None and (body.masked or bytes_of(text, mime_type) == body.data):
        return {"text": text}
    return {"text": base64.b64encode(body.data).decode(), "encoding": "base64"}
