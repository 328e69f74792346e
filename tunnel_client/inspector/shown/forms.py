"""Forms: what browsers send of one, as pairs or as parts (URL Standard 5; RFC 7578)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple
from urllib.parse import unquote_plus

from tunnel_client.inspector.shown.json_tree import looks_like_json, masked_json
from tunnel_client.inspector.shown.masking import Masks
from tunnel_client.inspector.shown.media_types import media_type

PAIRS_MAX: Final = 1000  # of one form; nobody reads more
PART_TEXT_MAX_BYTES: Final = 64 * 1024  # a field's value; what is longer is shown by its size
_HEAD_MAX_BYTES: Final = 16 * 1024

_END_OF_HEAD: Final = re.compile(rb"\r?\n\r?\n")


class Pair(NamedTuple):
    """A field of a form."""

    name: str
    value: str
    is_masked: bool


class FormPairs(NamedTuple):
    """The fields of a form, in order."""

    pairs: list[Pair]
    is_cut: bool


class Part(NamedTuple):
    """A part of a multipart body.

    Fields:
        name: of the field; "": it has none.
        file_name: None: it is no file.
        type: its Content-Type as it came; "": it has none.
        size_bytes: of its content, as far as that is there.
        text: its content; None: it is a file, or no text, or long.
    """

    name: str
    file_name: str | None
    type: str
    size_bytes: int
    text: str | None
    is_masked: bool


class Parts(NamedTuple):
    """The parts of a body, or why there are none, or not all."""

    parts: list[Part]
    is_cut: bool = False
    problem: str | None = None


def form(text: str, masks: Masks) -> FormPairs:
    """Read a body of application/x-www-form-urlencoded. Never raises."""
    said = text.split("&", PAIRS_MAX)
    split = [pair.partition("=") for pair in said[:PAIRS_MAX] if pair]
    found = [(unquote_plus(name), unquote_plus(value)) for name, _, value in split]
    names = [name for name, _ in found if name.lower() == "state"][:1]
    if len(said) > PAIRS_MAX:
        names = ["state"]  # it may stand behind the cut
    pairs: list[Pair] = []
    for name, value in found:
        shown = _shown(name, value, names, masks)
        pairs.append(Pair(name, shown, shown != value))
    return FormPairs(pairs, len(said) > PAIRS_MAX)


def multipart(data: bytes, content_type: str, masks: Masks) -> Parts:
    """Read a body of multipart/form-data, or of another multipart type. Never raises."""
    boundary = media_type(content_type).parameters.get("boundary", "")
    if not boundary:
        return Parts([], problem="its Content-Type names no boundary")
    delimiter = b"--" + boundary.encode("utf-8", "replace")
    # The first one may begin the body; each other begins a line.
    pieces = (b"\r\n" + data).split(b"\r\n" + delimiter, PAIRS_MAX + 1)
    parts: list[Part] = []
    for piece in pieces[1:]:
        if piece.startswith(b"--"):
            return Parts(parts)
        if len(parts) == PAIRS_MAX:
            return Parts(parts, is_cut=True)
        parts.append(_part(piece, masks))
    return Parts(parts, problem="its end is missing" if parts else "the boundary is not in it")


def _part(piece: bytes, masks: Masks) -> Part:
    end = _END_OF_HEAD.search(piece, 0, _HEAD_MAX_BYTES)
    head, content = (piece[: end.start()], piece[end.end() :]) if end else (piece, b"")
    fields = _fields(head.decode("utf-8", "replace"))
    said = media_type(fields.get("content-disposition", "")).parameters
    name, file_name = said.get("name", ""), said.get("filename")
    text = None
    if file_name is None and len(content) <= PART_TEXT_MAX_BYTES:
        text = content.decode("utf-8", "replace")
    shown = None if text is None else _shown(name, text, (), masks)
    found = fields.get("content-type", "")
    return Part(name, file_name, found, len(content), shown, shown != text)


def _shown(name: str, value: str, siblings: Iterable[str], masks: Masks) -> str:
    """Return a value as it is shown; some webhooks send JSON in a field of a form."""
    shown = masks.value(name, value, siblings)
    return masked_json(shown, masks) if looks_like_json(shown) else shown


def _fields(head: str) -> dict[str, str]:
    lines = (line.partition(":") for line in head.splitlines())
    return {name.strip().lower(): value.strip() for name, _, value in lines}
