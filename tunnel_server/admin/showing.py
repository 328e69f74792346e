"""Answers to commands as text for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from protocol.program.text import printable, size

Answer = Mapping[str, Any]
Row = tuple[str, str, str, str]

_SHARES_HEAD = ("SHARE", "TAKEN", "OF", "HEAVIEST")
_SHARES = {
    "places": "places",
    "served_requests": "served requests",
    "session_connections": "sessions' connections",
    "held_sessions": "held sessions",
    "parked_requests": "parked requests",
    "memory_bytes": "lent memory",
}
_NOT_WRITTEN = "it is not written down yet, since the store fails: the server's log says why"


def shown_status(servers: Sequence[Answer]) -> str:
    """The text of `status`."""
    return "\n\n".join(_status(server) for server in servers)


def _status(server: Answer) -> str:
    held, parked = server["held_sessions"], server["parked_requests"]
    rows = {
        "service": server["url"],
        "access": _access(server),
        "sessions": f"{server['sessions']}, {held} of them without a connection",
        "requests": f"{server['streams']} under way, {parked} wait for a client",
        "unacked": f"{size(server['unacked_bytes'])}, kept for clients that come back",
        "names": f"{server['names']} live, {server['kept_names']} kept",
        "store": server["store"],
    }
    head = f"tunnel-server {server['version']} listens on {server['bind']}"
    lines = [head, *(f"  {name:8}  {text}" for name, text in rows.items())]
    if shares := server.get("shares"):  # one of an older version tells none
        rows_of = [_SHARES_HEAD, *(_share(name, share) for name, share in shares.items())]
        lines += ["", *(f"  {line}" for line in table(rows_of))]
    return safe(lines)


def _access(server: Answer) -> str:
    """Says who may connect, and what made it so, in the words of the start."""
    public_by = server["public_by"]
    if server["tokens_needed"]:
        return f"with a token, since {public_by}" if public_by else "with a token"
    if public_by:
        return f"no token is needed (--open), though {public_by}"
    return "no token is needed: this machine alone reaches the service"


def _share(name: str, share: Answer) -> Row:
    shown = size if name.endswith("_bytes") else "{:,}".format
    heaviest = ""
    if share["heaviest"] is not None:
        full = ", its share" if share["at_its_share"] else ""
        heaviest = f"{shown(share['has'])} by {share['heaviest']}{full}"
    return _SHARES.get(name, name), shown(share["taken"]), shown(share["most"]), heaviest


def shown_names(names: Sequence[Answer]) -> str:
    """The table of `name list`."""
    head = ("NAME", "STATE", "LAST SEEN", "OWNER")
    return "\n".join(table([head, *(_row(name) for name in names)]))


def table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """The lines of a table, whose first row is its head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def safe(lines: Sequence[str]) -> str:
    """The text of lines in which somebody else's words may stand, as it may go to a terminal."""
    return "\n".join(map(printable, lines))


def _row(name: Answer) -> Row:
    state = "live" if name["live"] else "away"
    how = "chosen" if name["chosen"] else "made up"
    kept = "" if name["kept"] else ", not kept"
    seen = "now" if name["live"] else str(name["seen"]).replace("+00:00", "Z")
    owner, holder = name["owner"], name.get("held_by")
    held = "" if holder in (None, owner) else f", held by {holder}"
    cells = (str(name["name"]), f"{state}, {how}{kept}", seen, f"{owner}{held}")
    first, second, third, fourth = map(printable, cells)
    return first, second, third, fourth


def said_of_release(name: str, answer: Answer) -> list[str]:
    """The lines of `name release`: what was done, and what else there is to know."""
    said = [f"{name} was kept for {answer['owner']}, and is anybody's now"]
    if answer["held_by"] is not None:
        said.append(
            "it is live: the client that holds it serves on, and has it again if it claims it anew"
            f" (`tunnel-server name give {name} OWNER` keeps it for somebody else)"
        )
    return said + _of_store(answer)


def said_of_gift(name: str, answer: Answer) -> list[str]:
    """The lines of `name give`, likewise."""
    said = [f"{name} is kept for {answer['owner']}"]
    holder = answer["held_by"]
    if holder not in (None, answer["owner"]):
        said.append(f"{holder} holds it now, and serves on until its client goes")
    if answer.get("known") is False:
        said.append(_nobody_is(str(answer["owner"])))
    return said + _of_store(answer)


def _nobody_is(owner: str) -> str:
    """Say what is wrong with a gift to somebody who is not there; most often it is a slip."""
    if ":" in owner:
        return f"nobody can show that he is {owner}: tokens are needed here, not install keys"
    return f"no token is {owner}'s: is it a slip? (`tunnel-server token create {owner}` makes one)"


def _of_store(answer: Answer) -> list[str]:
    return [_NOT_WRITTEN] if answer.get("store") == "failing" else []
