"""Changes as they go to a page: values as texts, secrets masked, lines with a few around them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from tunnel_client.inspector.comparing.json_changes import JsonChange, JsonNumber, Path
from tunnel_client.inspector.comparing.line_changes import LineEdit
from tunnel_client.inspector.shown.masking import Masks

TEXT_MAX_CHARS: Final = 2000  # of a value; a page shows its beginning
AROUND_LINES: Final = 3

Row = list[str | int]
"""A sign, the numbers of the line in the first and in the second text, and the line."""


def shown_json_change(change: JsonChange, old: Any, new: Any, masks: Masks) -> dict[str, Any]:
    """Return a change; `masked`: a secret is in it, and all that is told is that it differs."""
    name, siblings = _standing(change.path, (old, new))
    writer = _Writer(masks.beside())
    before, after = (
        None if change.kind == missing else writer.text(value, name, siblings)
        for missing, value in (("added", change.before), ("removed", change.after))
    )
    return {
        "path": list(change.path),
        "kind": change.kind,
        "before": before,
        "after": after,
        "masked": writer.masks.count > 0,
    }


def _standing(path: Path, roots: Iterable[Any]) -> tuple[str, list[str]]:
    """Return the name under which a value stands, and the names that stand beside that."""
    names = [at for at, each in enumerate(path) if isinstance(each, str)]
    if not names:
        return "", []
    siblings: list[str] = []
    for value in roots:
        for each in path[: names[-1]]:
            value = value[each]
        siblings += value
    return str(path[names[-1]]), siblings


class _Writer:
    """Writes values as JSON, with their secrets masked."""

    def __init__(self, masks: Masks) -> None:
        self.masks = masks

    def __repr__(self) -> str:
        return f"<_Writer {self.masks!r}>"

    def text(self, value: Any, name: str, siblings: Iterable[str]) -> str:
        said = self._write(value, name, siblings)
        return said if len(said) <= TEXT_MAX_CHARS else f"{said[:TEXT_MAX_CHARS]}\u2026"

    def _write(self, value: Any, name: str, siblings: Iterable[str]) -> str:
        if isinstance(value, JsonNumber):
            return value.digits
        if isinstance(value, str):
            return json.dumps(self.masks.value(name, value, siblings), ensure_ascii=False)
        if isinstance(value, list):
            items = (self._write(item, name, siblings) for item in value)
            return f"[{', '.join(items)}]"
        if isinstance(value, dict):
            names = list(value)
            members = (
                f"{json.dumps(each, ensure_ascii=False)}: {self._write(member, each, names)}"
                for each, member in value.items()
            )
            return f"{{{', '.join(members)}}}"
        return json.dumps(value)


def shown_line_edits(lines: Sequence[str], edits: Sequence[LineEdit]) -> list[Row]:
    """Return rows of what goes, `-`, what comes, `+`, what stands around it, and `@` for a gap.

    Args:
        lines: of the first text.
    """
    rows: list[Row] = []
    shown, moved = 0, 0  # lines of the first text so far; those by which the second is ahead
    for edit in edits:
        trail = min(shown + AROUND_LINES, edit.begin) if rows else 0
        lead = max(trail, edit.begin - AROUND_LINES)
        rows += _around(lines, shown, trail, moved)
        if lead > trail:
            rows.append(["@", lead + 1, lead + moved + 1, ""])
        rows += _around(lines, lead, edit.begin, moved)
        rows += [["-", at + 1, 0, _cut(lines[at])] for at in range(edit.begin, edit.end)]
        first = edit.begin + moved + 1
        rows += [["+", 0, first + at, _cut(line)] for at, line in enumerate(edit.lines)]
        moved += len(edit.lines) - (edit.end - edit.begin)
        shown = edit.end
    if rows:
        rows += _around(lines, shown, min(shown + AROUND_LINES, len(lines)), moved)
    return rows


def _around(lines: Sequence[str], begin: int, end: int, moved: int) -> list[Row]:
    return [[" ", at + 1, at + moved + 1, _cut(lines[at])] for at in range(begin, end)]


def _cut(line: str) -> str:
    return line if len(line) <= TEXT_MAX_CHARS else f"{line[:TEXT_MAX_CHARS]}\u2026"
