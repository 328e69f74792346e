"""The folders of a user in which both programs keep settings and state.

A container may have no home: HOME is not set, and its user has no entry in passwd. That is no fault
of whoever starts a program there, and costs what would have been kept, and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Unversioned, the same for every release: the token and the install key stay valid.
FOLDER: Final = "trio-tunnel"

NO_HOME: Final = "there is no home folder: HOME is not set, and this user has no entry in passwd"


def user_config_folder() -> Path | None:
    """The folder for settings, `~/.config/trio-tunnel` on Linux; None: there is no home."""
    from platformdirs import user_config_path  # 10 ms that --help does not need

    return _absolute(user_config_path)


def user_state_folder() -> Path | None:
    """The folder for state, `~/.local/state/trio-tunnel` on Linux; None: there is no home."""
    from platformdirs import user_state_path

    return _absolute(user_state_path)


def _absolute(path_of: Callable[..., Path]) -> Path | None:
    try:
        path = path_of(FOLDER, appauthor=False)
    except RuntimeError:  # what platformdirs 4.4 and pathlib raise where there is no home
        return None
    return path if path.is_absolute() else None  # older ones leave the ~ in it
