"""The kinds of settings: what a value looks like in a flag, in a variable and in a file.

Whatever its source, a value becomes what a flag would have said: text, `True` or `False` for a
switch, several texts for a flag that may be repeated. So each kind has one reader of text, and a
complaint says the same wherever a value came from.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from protocol.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

Value = str | bool | tuple[str, ...]
"""As a flag gives it."""

_LONGEST_SHOWN_CHARS: Final = 60  # what is longer would hide what is said about it

TRUE_OR_FALSE: Final = {"true": True, "false": False}


def as_it_is(text: str, key: str) -> object:
    """The reader of what needs no check but by the config."""
    return text


def path_of(text: str, key: str) -> Path:
    """A path; `~` is the home folder, which no shell expands in `--flag=~/file`."""
    from pathlib import Path  # 5 ms that --help does not need

    if not text or "\0" in text:
        raise ConfigError(key, f"takes a path, not {text!r}")
    try:
        return Path(text).expanduser()
    except RuntimeError:  # what pathlib raises for a user it does not know
        said = "takes a path; ~ stands for a home folder, and there is none"
        raise ConfigError(key, f"{said}, not {text!r}") from None


def _not(value: object) -> str:
    """Return what came, for the end of a complaint; "" where only TOML could write it."""
    if isinstance(value, bool):
        return f", not {str(value).lower()}"
    if isinstance(value, str) and len(value) <= _LONGEST_SHOWN_CHARS:
        return f", not {value!r}"
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < 10**18):
        return f", not {value}"
    return ""


class Text:
    """A value of one text; a string in the file.

    Attributes:
        metavar: stands for the value in --help.
        parse: the text, and the name of the setting for errors, to what the config holds. It raises
            ConfigError. What is heavy to load is imported when it is called.
        limits: what is allowed, for docs/settings.md.
    """

    in_file = "a string"

    def __init__(
        self, metavar: str, parse: Callable[[str, str], object] = as_it_is, limits: str = ""
    ) -> None:
        self.metavar = metavar
        self.parse = parse
        self.limits = limits

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.metavar} {self.limits}>"

    def from_variable(self, text: str, key: str) -> Value:
        return text

    def from_file(self, value: object, key: str) -> Value:
        """Raises ConfigError for a value of another type."""
        if isinstance(value, str):
            return value
        raise self.of_another_type(value, key)

    def of_another_type(self, value: object, key: str) -> ConfigError:
        """Return the complaint about a value of another type. It may be a secret."""
        return ConfigError(key, f"takes {self.in_file}")

    def read(self, value: Value, key: str) -> object:
        """Return the value as the config holds it. Raises ConfigError."""
        return self.parse(str(value), key)

    def plain(self, value: Value) -> object:
        """As the file would say it, in types that JSON has too."""
        return value


class _Shown(Text):
    """A kind that no secret is of: complaints show the value."""

    def of_another_type(self, value: object, key: str) -> ConfigError:
        return ConfigError(key, f"takes {self.limits or self.in_file}{_not(value)}")


class Number(_Shown):
    """A number in the file, too."""

    in_file = "a number"

    def of_another_type(self, value: object, key: str) -> ConfigError:
        in_quotes = " in quotes" if isinstance(value, str) and value.isdecimal() else ""
        return ConfigError(key, f"takes {self.limits or self.in_file}{_not(value)}{in_quotes}")

    def from_file(self, value: object, key: str) -> Value:
        # bool is an int to Python.
        if isinstance(value, int | float) and not isinstance(value, bool):
            with suppress(ValueError):  # Python writes no int of more than 4,300 digits
                return repr(value)
        raise self.of_another_type(value, key)

    def plain(self, value: Value) -> object:
        text = str(value)
        with suppress(ValueError):  # a fraction; or more digits than Python reads as an int
            return int(text)
        return float(text)


class Seconds(Number):
    in_file = "a number of seconds"


_UNITS_S: Final = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DURATION: Final = re.compile(r"([0-9]{1,9})([smhd]?)")


class Duration(Number):
    """A number of seconds, or one with its unit: `30`, `30s`, `10m`, `2h`, `30d`.

    Args:
        least_s: the shortest that is allowed, beside 0 where that switches something off.
        most_s: the longest.
        zero: what 0 does; "": it is not allowed.
    """

    in_file = "a number of seconds, or a text such as 30s, 10m, 2h or 30d"

    def __init__(self, least_s: int, most_s: int, zero: str = "") -> None:
        within = f"from {least_s} s to {most_s // 86_400} d"
        off = f"; 0: {zero}" if zero else ""
        limits = f"a time {within}, such as 30s, 10m, 2h or 30d{off}"
        super().__init__("TIME", self._parse, limits)
        self._least_s = least_s
        self._most_s = most_s
        self._zero = zero

    def from_file(self, value: object, key: str) -> Value:
        return value if isinstance(value, str) else super().from_file(value, key)

    def plain(self, value: Value) -> object:
        return super().plain(value) if str(value).isdecimal() else value

    def _parse(self, text: str, key: str) -> float:
        match = _DURATION.fullmatch(text)
        seconds = int(match[1]) * _UNITS_S[match[2]] if match else -1
        if not (self._least_s <= seconds <= self._most_s or (self._zero and not seconds)):
            raise ConfigError(key, f"takes {self.limits}{_not(text)}")
        return float(seconds)


class WholeNumber(Number):
    in_file = "a whole number"


class WholeSeconds(Number):
    in_file = "a whole number of seconds"


class Commas(Text):
    """Several, with commas between; a list in the file, where an empty one of strings is none."""

    in_file = "a list of strings"
    of: type = str

    def from_file(self, value: object, key: str) -> Value:
        if value == [] and self.of is str:
            return ()
        if isinstance(value, list) and all(type(one) is self.of for one in value):
            with suppress(ValueError):  # as for a Number
                return ",".join(map(str, value))
        raise self.of_another_type(value, key)

    def read(self, value: Value, key: str) -> object:
        return super().read(value, key) if value != () else ()

    def plain(self, value: Value) -> object:
        return [self.of(one.strip()) for one in str(value).split(",")] if value != () else []


class Numbers(Commas):
    in_file = "a list of whole numbers"
    of: type = int

    def of_another_type(self, value: object, key: str) -> ConfigError:
        return ConfigError(key, f"takes {self.in_file}{_not(value)}")


class FilePath(Text):
    """A path; a relative one in the file starts at the folder of the file."""

    def beside(self, file: Path, value: Value, key: str) -> Value:
        """The path that a file says, absolute, `~` expanded."""
        if not value or "\0" in str(value):
            return value  # no path; the reader says so
        return str(file.parent.absolute() / path_of(str(value), key))

    def plain(self, value: Value) -> object:
        """The path, absolute: a relative one means another file when it stands in one."""
        with suppress(ConfigError):  # one that was passed over may be no path
            return str(path_of(str(value), "").absolute())
        return value


class Texts(Text):
    """A flag that may be repeated; a list in the file, one value in a variable."""

    in_file = "a list of strings"

    def from_variable(self, text: str, key: str) -> Value:
        return (text,)

    def from_file(self, value: object, key: str) -> Value:
        if isinstance(value, list) and all(isinstance(one, str) for one in value):
            return tuple(value)
        raise self.of_another_type(value, key)

    def read(self, value: Value, key: str) -> object:
        return value

    def plain(self, value: Value) -> object:
        return list(value) if isinstance(value, tuple) else value


class OptionalText(_Shown):
    """A flag that may stand without a value; `true`, `false` or a text elsewhere."""

    in_file = "true, false or a string"
    alone: Final = "true"
    """The flag without a value says the same."""

    def from_variable(self, text: str, key: str) -> Value:
        return TRUE_OR_FALSE.get(text, text)

    def from_file(self, value: object, key: str) -> Value:
        if isinstance(value, bool | str):
            return value
        raise self.of_another_type(value, key)

    def read(self, value: Value, key: str) -> object:
        return value if isinstance(value, bool) else super().read(value, key)

    def plain(self, value: Value) -> object:
        return True if value == self.alone else value


def choice(*words: str, metavar: str = "") -> Text:
    """One of a few words."""
    allowed = f"{', '.join(words[:-1])} or {words[-1]}"

    def choose(text: str, key: str) -> str:
        if text in words:
            return text
        raise ConfigError(key, f"takes {allowed}{_not(text)}")

    return _Shown(metavar or "|".join(words), choose, allowed)


class Switch(_Shown):
    """On by a flag that takes no value; `true` or `false` elsewhere."""

    in_file = "true or false"

    def __init__(self) -> None:
        super().__init__("")

    def from_variable(self, text: str, key: str) -> Value:
        if text not in TRUE_OR_FALSE:
            raise self.of_another_type(text, key)
        return TRUE_OR_FALSE[text]

    def from_file(self, value: object, key: str) -> Value:
        if isinstance(value, bool):
            return value
        raise self.of_another_type(value, key)

    def read(self, value: Value, key: str) -> object:
        return value
