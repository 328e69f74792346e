from __future__ import annotations

from protocol.errors import ConfigError


def test_config_error_is_one_line_with_key_and_what_is_allowed() -> None:
    error = ConfigError("--drain-timeout", "0 to 3600 seconds")
    assert str(error) == "--drain-timeout: 0 to 3600 seconds"
    assert (error.key, error.message) == ("--drain-timeout", "0 to 3600 seconds")
