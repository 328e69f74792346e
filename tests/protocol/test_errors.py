from __future__ import annotations

import importlib
import re
from pathlib import Path

import protocol.errors
from protocol.errors import ConfigError, TunnelError

ROOT = Path(protocol.errors.__file__).parent.parent


def defined() -> dict[str, str]:
    """Every exception class of ours, and the one above it."""
    found = {}
    for package in ("protocol", "tunnel_server", "tunnel_client"):
        # runpy, by which other tests start the programs, wants __main__ for itself
        for path in (ROOT / package).rglob("[!_]*.py"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            module = importlib.import_module(name)
            for value in vars(module).values():
                ours = isinstance(value, type) and value.__module__ == module.__name__
                if ours and issubclass(value, BaseException):
                    assert value.__name__ not in found, f"two classes {value.__name__}"
                    found[value.__name__] = value.__base__.__name__
    return found


def documented() -> dict[str, str]:
    """The tree of the docstring: each name, and the one that it is indented under."""
    found, above = {}, ["Exception"]
    for indent, name in re.findall(
        r"^    ( *)([A-Z]\w+)(?:  .*|)$", protocol.errors.__doc__ or "", re.MULTILINE
    ):
        depth = len(indent) // 2 + 1
        found[name] = above[depth - 1]
        above[depth:] = [name]
    return found


def test_the_tree_is_the_one_that_is_told() -> None:
    assert documented() == defined()


def test_names_say_who_did_wrong_or_what_has_become_of_a_thing() -> None:
    words = ("Error", "Reset", "Stopped", "Closed", "Refused", "Failed", "Gone", "Down")
    assert [name for name in defined() if not name.endswith(words)] == []
    assert issubclass(ConfigError, TunnelError)


def test_config_error_is_one_line_with_key_and_what_is_allowed() -> None:
    error = ConfigError("--drain-timeout", "0 to 3600 seconds")
    assert str(error) == "--drain-timeout: 0 to 3600 seconds"
    assert (error.key, error.message) == ("--drain-timeout", "0 to 3600 seconds")
