"""Answers about tokens, sessions and stops as text for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from protocol.program.text import printable
from tunnel_server.admin.showing import safe, table

Answer = Mapping[str, Any]

_TOKENS = ("NAME", "OWNER", "FINGERPRINT", "STATE", "MAY HAVE", "EXPIRES", "LAST USED", "FROM")
_SESSIONS = ("OWNER", "TOKEN", "FINGERPRINT", "ADDRESS", "REQUESTS", "NAMES")


def shown_tokens(answer: Answer) -> str:
    """The table of `token list`."""
    if not answer["tokens"]:
        return "there are no tokens; tunnel-server token create NAME makes one"
    return _shown([_TOKENS, *map(_token, answer["tokens"])])


def shown_sessions(answer: Answer) -> str:
    """The table of `sessions`."""
    if not answer["sessions"]:
        return "no client is connected"
    return _shown([_SESSIONS, *map(_session, answer["sessions"])])


def said_of_which(answer: Answer) -> str:
    """One line about the token that a secret is."""
    of = "" if answer["owner"] == answer["name"] else f" of {answer['owner']}"
    return safe([f"{answer['name']}{of}, {answer['fingerprint']}, {_state(answer)}"])


def said_of_secret(answer: Answer, verb: str) -> str:
    """Say beside a new secret what it is good for."""
    said = (
        f"{answer['name']} ({answer['fingerprint']}) {verb} with this token. It is shown this once"
    )
    former = answer.get("former_until")
    before = "" if former is None else f" The one before is good until {former}."
    return f"{said}; the store has its hash.{before}{_ended(answer)}"


def said_of_end(answer: Answer) -> str:
    """The line of `token revoke`."""
    return f"{answer['name']} ({answer['fingerprint']}) is revoked.{_ended(answer)}"


def said_of_import(answer: Answer) -> str:
    """The line of `token import`."""
    made, known = len(answer["imported"]), len(answer["known"])
    beside = f"; {known} were there already, or had ended" if known else ""
    return f"{made} of {made + known} tokens of {answer['from']} are in the store now{beside}."


def _ended(answer: Answer) -> str:
    count = answer.get("ended_sessions")
    if not count:
        return ""
    return f" {count} session{'s' if count > 1 else ''} ended for it."


def _token(row: Answer) -> tuple[str, ...]:
    return (
        *(str(row[key]) for key in ("name", "owner", "fingerprint")),
        _state(row),
        ", ".join(row["names"]) or "any name",
        row["expires"] or ("never" if row["from"] == "store" else ""),
        row["last_used"] or ("never" if row["from"] == "store" else ""),
        row["from"],
    )


def _state(row: Answer) -> str:
    return "good, unused for 90 days" if row["unused"] else str(row["state"])


def _session(row: Answer) -> tuple[str, ...]:
    away = "" if row["connected"] else " (away)"
    owner = row["owner"] if len(row["owner"]) <= 64 else f"{row['owner'][:14]}..."
    return (
        *(owner, row["token"] or "", row["fingerprint"] or ""),
        *(f"{row['address'] or ''}{away}", str(row["requests"]), ", ".join(row["names"])),
    )


def _shown(rows: Sequence[tuple[str, ...]]) -> str:
    return "\n".join(table([tuple(map(printable, row)) for row in rows]))
