"""Values of a HAR that somebody gives: each is asked for by its name, and refused by it."""

from __future__ import annotations

import base64
import binascii
import math
from datetime import datetime
from typing import Any, Final

from protocol.errors import TunnelError
from tunnel_client.inspector.exports.har_texts import bytes_of

_YEARS: Final = range(1970, 2200)
_MS_MAX: Final = 1e11  # three years
_SIZE_MAX: Final = 2**53


class HarError(TunnelError):
    """An entry says what cannot be.

    Attributes:
        field: such as `request.headers[3].name`; "": the entry itself.
        message: what is wrong with it, for people.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field or 'entry'}: {message}")
        self.field = field
        self.message = message


class HarValue:
    """An object of a HAR, with the way to it.

    Args:
        said: what stands there.
        field: the way; "": it is the entry.
    """

    __slots__ = ("_said", "field")

    def __init__(self, said: Any, field: str = "") -> None:
        self.field = field
        if not isinstance(said, dict):
            raise HarError(field, f"takes an object, not {_kind(said)}")
        self._said: dict[str, Any] = said

    def __repr__(self) -> str:
        return f"<HarValue {self.field or 'entry'}>"

    def refusal(self, name: str, message: str) -> HarError:
        """Return the error of a value in here."""
        return HarError(self._way(name), message)

    def has(self, name: str) -> bool:
        """Whether there is anything of this name."""
        return self._said.get(name) is not None

    def text(self, name: str, default: str | None = None) -> str:
        """Return a text; without a default there has to be one."""
        said = self._said.get(name)
        if said is None and default is not None:
            return default
        if not isinstance(said, str):
            raise self.refusal(name, f"takes a text, not {_kind(said)}")
        return said

    def number(self, name: str, default: float | None = None, most: float = _MS_MAX) -> float:
        """Return a number, -1 or more; without a default there has to be one."""
        said = self._said.get(name)
        if said is None and default is not None:
            return default
        if isinstance(said, bool) or not isinstance(said, int | float):
            raise self.refusal(name, f"takes a number, not {_kind(said)}")
        if not (math.isfinite(said) and -1 <= said <= most):
            raise self.refusal(name, "takes a number from -1 on, and no such one")
        return float(said)

    def whole(self, name: str, default: int | None = None, most: int = _SIZE_MAX) -> int:
        """Return a whole number, -1 or more; without a default there has to be one."""
        said = self.number(name, default, most)
        if said != int(said):
            raise self.refusal(name, "takes a whole number")
        return int(said)

    def object(self, name: str) -> HarValue:
        """Return an object; there has to be one."""
        return HarValue(self._said.get(name), self._way(name))

    def objects(self, name: str, most: int) -> list[HarValue]:
        """Return the objects of a list, which may be missing."""
        said = self._said.get(name)
        if said is None:
            return []
        if not isinstance(said, list):
            raise self.refusal(name, f"takes a list, not {_kind(said)}")
        if len(said) > most:
            raise self.refusal(name, f"takes {most} at most, not {len(said)}")
        way = self._way(name)
        return [HarValue(each, f"{way}[{at}]") for at, each in enumerate(said)]

    def time(self, name: str) -> float:
        """Return a time in ISO 8601, with its zone, as seconds since the epoch."""
        said = self.text(name)
        try:
            found = datetime.fromisoformat(said)
        except ValueError:
            found = None
        if found is None or found.tzinfo is None or found.year not in _YEARS:
            raise self.refusal(name, "takes a time with its zone, as 2026-01-31T10:24:03.123Z")
        return found.timestamp()

    def body(self, mime_type: str) -> bytes:
        """Return the bytes that `text` and `encoding` say."""
        said, encoding = self.text("text", ""), self.text("encoding", "")
        if encoding == "base64":
            return self.base64("text", said)
        if encoding:
            raise self.refusal("encoding", "takes base64, or nothing")
        return bytes_of(said, mime_type)

    def base64(self, name: str, said: str) -> bytes:
        """Return the bytes of a value that should be base64."""
        try:
            return base64.b64decode(said, validate=True)
        except (binascii.Error, ValueError):
            raise self.refusal(name, "is no base64, as it is said to be") from None

    def _way(self, name: str) -> str:
        return f"{self.field}.{name}" if self.field else name


def _kind(said: Any) -> str:
    kinds = {type(None): "nothing", bool: "true or false", str: "a text", list: "a list"}
    return kinds.get(type(said), "an object" if isinstance(said, dict) else "a number")
