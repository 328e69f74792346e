"""The way in which a body is shown, by its Content-Type and, where that says little, its bytes."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from tunnel_client.inspector.shown.codings import decoded
from tunnel_client.inspector.shown.event_stream import sent_events
from tunnel_client.inspector.shown.forms import form, multipart
from tunnel_client.inspector.shown.json_tree import json_tree, looks_like_json, masked_json
from tunnel_client.inspector.shown.masked_bodies import masked_body
from tunnel_client.inspector.shown.masking import Masks
from tunnel_client.inspector.shown.media_types import MediaType, media_type
from tunnel_client.inspector.shown.texts import decoded_text, image_type, is_text

Way = Literal["json", "form", "multipart", "sse", "image", "text", "hex", "none"]


class ShownBody(NamedTuple):
    """A body as it is shown; all of it can go to a page as JSON.

    Fields:
        form: the way.
        value: a tree, pairs, parts, events, a text, or the type of an image; None for `hex` and
            `none`, which are asked for by their rows.
        is_cut: there is more of it.
        masked: how many values are masked in it, or would be in what is cut off. While it is not
            0, the bytes are not for showing.
        problem: why it is not shown better, for people.
    """

    form: Way
    value: Any
    is_cut: bool
    masked: int
    problem: str | None


def shown(data: bytes, content_type: str, codings: str, masks: Masks) -> ShownBody:
    """Show a body. Never raises; takes tens of milliseconds at most, for a thread above 64 KiB.

    Args:
        data: as it is on the wire, without chunks.
        content_type, codings: the values of Content-Type and Content-Encoding; "": none.
        masks: fresh for this body, as its count is told.
    """
    plain = decoded(data, codings)
    if not plain.data:
        return ShownBody("none", None, plain.is_cut, 0, plain.problem)
    way, value, is_cut, problem = _way_of(plain.data, media_type(content_type), content_type, masks)
    problems = [said for said in (plain.problem, problem) if said]
    masked = masks.count
    if is_cut or way == "multipart":  # there may be secrets in what is not shown
        masked = max(masked, masked_body(plain.data, content_type, "", masks.beside()).masked)
    if plain.is_cut and masks.is_on:  # and in what was not even decoded, and is in the bytes
        masked = max(masked, 1)
    return ShownBody(way, value, plain.is_cut or is_cut, masked, "; ".join(problems) or None)


_Found = tuple[Way, Any, bool, str | None]


def _way_of(data: bytes, said: MediaType, content_type: str, masks: Masks) -> _Found:
    if image := image_type(data):
        return "image", image, False, None
    if said.name.startswith("multipart/"):
        parts = multipart(data, content_type, masks)
        return "multipart", [part._asdict() for part in parts.parts], parts.is_cut, parts.problem
    if not (said.is_json or said.is_text or said.name in _FORMS or is_text(data)):
        return "hex", None, False, None
    text = decoded_text(data, said.parameters.get("charset", ""))
    way, value, is_cut, problem = _text_way(text.text, said, masks)
    return way, value, is_cut, problem or text.problem


_FORMS = frozenset({"application/x-www-form-urlencoded", "text/event-stream"})


def _text_way(text: str, said: MediaType, masks: Masks) -> _Found:
    if said.name == "application/x-www-form-urlencoded":
        pairs = form(text, masks)
        return "form", [list(pair) for pair in pairs.pairs], pairs.is_cut, None
    if said.name == "text/event-stream":
        events = sent_events(text, masks)
        return "sse", [event._asdict() for event in events.events], events.is_cut, None
    if not (said.is_json or looks_like_json(text)):
        return "text", text, False, None
    tree = json_tree(text, masks)
    if tree.root is not None:
        return "json", tree.root, tree.is_cut, None
    # Cut off, or no JSON: it may hold secrets all the same.
    return (
        "text",
        masked_json(text, masks, is_cut=True),
        False,
        tree.problem if said.is_json else None,
    )


def shown_text(text: str, masks: Masks, *, is_cut: bool = False) -> str:
    """Return the text of a message or a frame as it is shown: its secrets are masked.

    Args:
        is_cut: it is the beginning of one, as in the row of a frame.
    """
    return masked_json(text, masks, is_cut=is_cut) if looks_like_json(text) else text
