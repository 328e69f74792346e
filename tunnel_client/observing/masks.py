"""Names under which secrets travel: their values are not shown unless somebody asks for them.

They are those of fields, of a query, a form and JSON; the terminal, the inspector and what it
exports use the same ones. Whoever shows a value asks `is_secret` first.

What is promised: a value is masked if it is text of SECRET_MIN_CHARS or more, whatever it looks
like, and its name is one of these. A number, as JSON has it, never is: `prompt_tokens` counts. Case
does not matter, and `-` and `_` are alike.

* `token`, `secret`, `password`, `passwd`, `signature`, `api-key` or `apikey` stands in it;
* its last word is `jwt`, `sig`, `auth`, `pwd`, `pin` or `otp`: `x-jwt`, `user[pin]`, `userPwd`;
* it is `authorization`, `proxy-authorization`, `cookie`, `set-cookie` or `x-amz-credential`;
* it is `code`, and `state` stands beside it: so OAuth hands over what can be exchanged for a token.

A mask is a courtesy to who shares a screen, and no guard: a secret in a path, or under a name of
its app's own, is shown.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import unquote_plus

MASK: Final = "•••"

# A shorter one is a flag or a kind (`token=none`), and what is masked should be worth a question.
SECRET_MIN_CHARS: Final = 8

_ANYWHERE: Final = re.compile(r"token|secret|passw(?:or)?d|signature|api-?key")
_WORDS: Final = frozenset({"jwt", "sig", "auth", "pwd", "pin", "otp"})
_WHOLE: Final = frozenset(
    {"authorization", "proxy-authorization", "cookie", "set-cookie", "x-amz-credential"}
)
_STATE: Final = "state"
_CAMEL_WORDS: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_LETTERS: Final = re.compile(r"[a-z]+")

_BEGINS: Final = re.compile("[?#]")
_PAIRS: Final = re.compile("([^&#]*)([&#]?)")
# Without decoding all of the query: each letter as it is, or percent-encoded.
_ENCODED: Final = "".join(f"(?:{c}|%{ord(c):02x}|%{ord(c.upper()):02x})" for c in _STATE)
_HAS_STATE: Final = re.compile(rf"(?i)(?:\A|[&;#]){_ENCODED}=")
_PAIR_BEGINS: Final = re.compile(r"(?:\A|;)([^=;]*)=")


def is_secret_name(name: str, siblings: Iterable[str] = ()) -> bool:
    """Whether text under this name is a secret; see `is_secret`."""
    plain = _normal(name)
    if _ANYWHERE.search(plain) or plain in _WHOLE:
        return True
    if plain == "code":
        return any(_normal(sibling) == _STATE for sibling in siblings)
    last_words = {*_LETTERS.findall(plain)[-1:], *_CAMEL_WORDS.findall(name)[-1:]}
    return any(word.lower() in _WORDS for word in last_words)


def is_secret(name: str, value: object, siblings: Iterable[str] = ()) -> bool:
    """Whether a value is to be masked.

    Args:
        name: as it came, decoded; of what stands in a list of JSON, the name of the list.
        value: likewise; of the fields Cookie and Set-Cookie, whose names and attributes may be
            shown, the value of one cookie.
        siblings: the names in the same query, form or object, among them its own.
    """
    is_long = isinstance(value, str) and len(value) >= SECRET_MIN_CHARS
    return is_long and is_secret_name(name, siblings)


def masked_query(
    target: str,
    mask: Callable[[str], str] = lambda value: MASK,
    chars_max: int = sys.maxsize,
) -> str:
    """Return a target or a URL whose query, and fragment, have no secret value in them.

    All else stays as it came, names and order too. Pairs are separated by `&`; one that begins
    behind a `;`, as some apps read it, is found, and masked to the next `&`.

    Args:
        mask: makes what stands in place of a value of what came, which may be percent-encoded.
        chars_max: what is longer is cut, with three dots behind it, and costs no more than that.
    """
    begun = _BEGINS.search(target)
    shown = target[: begun.end()] if begun else target
    if begun and len(shown) <= chars_max:
        query = target[begun.end() :]
        beside = (_STATE,) if _HAS_STATE.search(query) else ()
        for pair in _PAIRS.finditer(query):
            if len(shown) > chars_max:
                break
            shown += _masked_pair(pair[1], beside, mask, chars_max) + pair[2]
    return shown if len(shown) <= chars_max else f"{shown[:chars_max]}..."


def _masked_pair(
    pair: str, beside: tuple[str, ...], mask: Callable[[str], str], chars_max: int
) -> str:
    for begun in _PAIR_BEGINS.finditer(pair, 0, chars_max):
        if is_secret_name(unquote_plus(begun[1]), beside):
            value = pair[begun.end() :]
            if len(unquote_plus(value)) >= SECRET_MIN_CHARS:
                return pair[: begun.end()] + mask(value)
    return pair


def _normal(name: str) -> str:
    return name.lower().replace("_", "-")
