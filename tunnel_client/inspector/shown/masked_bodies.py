"""A body as it may leave the program: all of it, as it came, but for its secrets.

`bodies` shows a body in the way that is best to look at; here it keeps its form, so that a copy of
the request, a HAR or a comparison of two answers can be made of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple
from urllib.parse import quote_plus, unquote_plus

from tunnel_client.inspector.shown.codings import decoded
from tunnel_client.inspector.shown.json_tree import looks_like_json, masked_json
from tunnel_client.inspector.shown.masking import Masks
from tunnel_client.inspector.shown.media_types import MediaType, media_type
from tunnel_client.inspector.shown.texts import decoded_text, image_type, is_text

_LINE_END: Final = re.compile(r"(\r\n|\r|\n)")
_END_OF_HEAD: Final = re.compile(rb"\r?\n\r?\n")
_HEAD_MAX_BYTES: Final = 16 * 1024
_NAME: Final = re.compile(
    r'(?i)^content-disposition:[^\r\n]*?;\s*name="?([^";\r\n]*)', re.MULTILINE
)

FORM: Final = "application/x-www-form-urlencoded"
EVENTS: Final = "text/event-stream"


class MaskedBody(NamedTuple):
    """A body without its codings and its secrets.

    Fields:
        data: as it was on the wire, but for masked values.
        text: the same as a text, where it is exactly one; None: it is none.
        charset: of the text.
        masked: how many values are masked.
        is_cut: more stands behind it.
        problem: why its coding was not undone, or not whole; for people.
    """

    data: bytes
    text: str | None
    charset: str
    masked: int
    is_cut: bool
    problem: str | None


def masked_body(
    data: bytes, content_type: str, codings: str, masks: Masks, *, is_cut: bool = False
) -> MaskedBody:
    """Return a body as it may leave. Never raises; for a thread above 64 KiB.

    Args:
        data: as it is on the wire, without chunks.
        content_type, codings: the values of Content-Type and Content-Encoding; "": none.
        is_cut: more stands behind it that is not kept.
    """
    plain = decoded(data, codings)
    said = media_type(content_type)
    before = masks.count
    is_cut = is_cut or plain.is_cut
    found, text, charset = _masked(plain.data, said, masks, is_cut)
    return MaskedBody(found, text, charset, masks.count - before, is_cut, plain.problem)


_Found = tuple[bytes, str | None, str]


def _masked(data: bytes, said: MediaType, masks: Masks, is_cut: bool) -> _Found:
    if image_type(data):
        return data, None, ""
    if said.name.startswith("multipart/"):
        return _exact(_multipart(data, said, masks), "utf-8")
    if not (said.is_json or said.is_text or said.name in (FORM, EVENTS) or is_text(data)):
        return data, None, ""
    read = decoded_text(data, said.parameters.get("charset", ""))
    before = masks.count
    usual = _json if said.is_json else _plain
    masked = _WAYS.get(said.name, usual)(read.text, masks, is_cut)
    if masks.count == before:
        return _exact(data, read.charset)
    return masked.encode("utf-8", "surrogatepass"), masked, "utf-8"


def _exact(data: bytes, charset: str) -> _Found:
    """Return bytes with their text, if this has all that is in them."""
    try:
        text = data.decode(charset)
        return data, text if text.encode(charset) == data else None, charset
    except (UnicodeError, LookupError):
        return data, None, ""


def _json(text: str, masks: Masks, is_cut: bool) -> str:
    """Mask what is said to be JSON, whatever stands before it, such as `)]}'`."""
    return masked_json(text, masks, is_cut=is_cut)


def _plain(text: str, masks: Masks, is_cut: bool) -> str:
    return masked_json(text, masks, is_cut=is_cut) if looks_like_json(text) else text


def _form(text: str, masks: Masks, is_cut: bool) -> str:
    pairs = text.split("&")
    names = [unquote_plus(pair.partition("=")[0]).lower() for pair in pairs]
    beside = ("state",) if is_cut or "state" in names else ()
    return "&".join(_pair(pair, beside, masks) for pair in pairs)


def _pair(pair: str, beside: tuple[str, ...], masks: Masks) -> str:
    name, _, said = pair.partition("=")
    value = unquote_plus(said)
    shown = _value(unquote_plus(name), value, beside, masks)
    return pair if shown == value else f"{name}={quote_plus(shown)}"


def _value(name: str, value: str, beside: tuple[str, ...], masks: Masks) -> str:
    """Return a value as it is shown; some webhooks send JSON in a field of a form."""
    shown = masks.value(name, value, beside)
    return masked_json(shown, masks) if looks_like_json(shown) else shown


def _events(text: str, masks: Masks, is_cut: bool) -> str:
    pieces = _LINE_END.split(text)
    lines = list(zip(pieces[::2], [*pieces[1::2], ""], strict=True))
    shown: list[str] = []
    block: list[tuple[str, str]] = []
    for line in lines:
        block.append(line)
        if not line[0]:
            shown += _event(block, masks, is_cut=False)
            block = []
    return "".join([*shown, *_event(block, masks, is_cut=True)])


def _event(block: list[tuple[str, str]], masks: Masks, *, is_cut: bool) -> list[str]:
    """Return the lines of one event, with its data as one JSON text masked."""
    as_came = [line + end for line, end in block]
    places = [at for at, (line, _) in enumerate(block) if line.partition(":")[0] == "data"]
    values = [block[at][0].partition(":")[2].removeprefix(" ") for at in places]
    data = "\n".join(values)
    if not looks_like_json(data):
        return as_came
    masked = masked_json(data, masks, is_cut=is_cut)
    if masked == data:
        return as_came
    end = block[places[0]][1]
    as_came[places[0]] = "".join(f"data: {line}{end}" for line in masked.split("\n"))
    return [said for at, said in enumerate(as_came) if at not in places[1:]]


def _multipart(data: bytes, said: MediaType, masks: Masks) -> bytes:
    delimiter = b"\r\n--" + said.parameters.get("boundary", "").encode("utf-8", "replace")
    if delimiter == b"\r\n--":
        return data
    first, *pieces = (b"\r\n" + data).split(delimiter)
    return delimiter.join([first, *(_part(piece, masks) for piece in pieces)])[2:]


def _part(piece: bytes, masks: Masks) -> bytes:
    end = _END_OF_HEAD.search(piece, 0, _HEAD_MAX_BYTES)
    if end is None:
        return piece
    name = _NAME.search(piece[: end.start()].decode("utf-8", "replace"))
    try:
        value = piece[end.end() :].decode("utf-8")
    except UnicodeDecodeError:
        return piece
    shown = _value(name[1] if name else "", value, (), masks)
    return piece if shown == value else piece[: end.end()] + shown.encode()


_WAYS: Final[dict[str, Callable[[str, Masks, bool], str]]] = {FORM: _form, EVENTS: _events}
