"""Two answers, compared for people: what differs, with secrets told apart and never shown."""

from __future__ import annotations

from typing import Any, Final

from tunnel_client.inspector.capture.snapshot import ExchangeSnapshot, HalfSnapshot
from tunnel_client.inspector.comparing.field_changes import field_changes
from tunnel_client.inspector.comparing.json_changes import json_changes, json_value
from tunnel_client.inspector.comparing.line_changes import LINES_MAX, line_edits
from tunnel_client.inspector.comparing.shown_changes import shown_json_change, shown_line_edits
from tunnel_client.inspector.shown.json_tree import looks_like_json
from tunnel_client.inspector.shown.masked_bodies import MaskedBody, masked_body
from tunnel_client.inspector.shown.masking import Masks
from tunnel_client.inspector.shown.media_types import media_type
from tunnel_client.inspector.web.heads import text

Said = dict[str, Any]
Pair = tuple[MaskedBody, MaskedBody]

CHANGES_MAX: Final = 1000  # nobody reads more


def compared(before: ExchangeSnapshot, after: ExchangeSnapshot, masks: Masks) -> Said:
    """Return what differs between the answers of two exchanges; for a thread.

    It takes two seconds at most, for texts of 20,000 lines that have few lines in common.
    """
    old, new = before.answer, after.answer
    status = _status(old), _status(new)
    fields = field_changes(_fields(old), _fields(new))
    body = _bodies(old, new, masks)
    return {
        "same": status[0] == status[1] and not fields.changes and body["way"] == "same",
        "status": None if status[0] == status[1] else {"before": status[0], "after": status[1]},
        "fields": [
            {
                "name": name,
                "before": [masks.field(name, value) for value in gone],
                "after": [masks.field(name, value) for value in come],
            }
            for name, gone, come in fields.changes
        ],
        "folded": fields.folded,
        "body": body,
    }


def _status(answer: HalfSnapshot | None) -> int | None:
    return None if answer is None else int(answer.line[9:12])


def _fields(answer: HalfSnapshot | None) -> list[tuple[str, str]]:
    return [] if answer is None else [(text(name), text(value)) for name, value in answer.fields]


def _bodies(before: HalfSnapshot | None, after: HalfSnapshot | None, masks: Masks) -> Said:
    true = _masked(before, masks.off()), _masked(after, masks.off())
    said: Said = {
        "way": "same",
        "before_bytes": len(true[0].data),
        "after_bytes": len(true[1].data),
        "cut": any(each.is_cut for each in true),
        "problem": _problem(before, after, true),
    }
    if true[0].data == true[1].data:
        return said
    shown = _masked(before, masks), _masked(after, masks)
    ways = _as_json(before, after, true, masks) or _as_lines(true, shown)
    return said | (ways or {"way": "bytes", "first": _first_difference(true)})


def _masked(answer: HalfSnapshot | None, masks: Masks) -> MaskedBody:
    if answer is None:
        return masked_body(b"", "", "", masks)
    coding, is_cut = answer.joined(b"content-encoding"), answer.why_not is not None
    return masked_body(answer.data, answer.content_type, coding, masks, is_cut=is_cut)


def _problem(before: HalfSnapshot | None, after: HalfSnapshot | None, true: Pair) -> str | None:
    for half, body in zip((before, after), true, strict=True):
        if half is not None and half.why_not is not None:
            return f"not all of it is kept: {half.why_not}"
        if body.problem or body.is_cut:
            return body.problem or "it is longer when decoded than what is compared"
    return None


def _as_json(
    before: HalfSnapshot | None, after: HalfSnapshot | None, true: Pair, masks: Masks
) -> Said | None:
    texts = [body.text for body in true]
    if not all(_may_be_json(half, said) for half, said in zip((before, after), texts, strict=True)):
        return None
    try:
        old, new = (json_value(said or "") for said in texts)
    except ValueError:
        return None
    changes: list[Said] = []
    for change in json_changes(old, new):
        if len(changes) == CHANGES_MAX:
            return {"way": "json", "changes": changes, "more": True}
        changes.append(shown_json_change(change, old, new, masks))
    return {"way": "json", "changes": changes, "more": False}


def _may_be_json(half: HalfSnapshot | None, said: str | None) -> bool:
    is_said = half is not None and media_type(half.content_type).is_json
    return said is not None and (is_said or looks_like_json(said))


def _as_lines(true: Pair, shown: Pair) -> Said | None:
    """Compare the masked texts: equal values have equal masks."""
    if true[0].text is None or true[1].text is None:
        return None
    old, new = ((each.text or "").split("\n") for each in shown)
    if max(len(old), len(new)) > LINES_MAX:
        return None
    rows = shown_line_edits(old, line_edits(old, new))
    # Masks have few digits: two of different values may be the same.
    is_hidden = not rows
    return {
        "way": "lines",
        "rows": rows[:CHANGES_MAX],
        "more": len(rows) > CHANGES_MAX,
        "hidden": is_hidden,
    }


def _first_difference(true: Pair) -> int:
    """Return the place of the first byte that differs; that of the end of the shorter one."""
    old, new = true[0].data, true[1].data
    low, high = 0, min(len(old), len(new))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if old[:middle] == new[:middle] else (low, middle - 1)
    return low
