from __future__ import annotations

from protocol.errors import TunnelError
from tunnel_client.errors import ConfigError, ConnectFailed


def test_config_error_is_one_line_with_key_and_what_is_allowed() -> None:
    error = ConfigError("--drain-timeout", "0 to 3600 seconds")
    assert str(error) == "--drain-timeout: 0 to 3600 seconds"
    assert (error.key, error.message) == ("--drain-timeout", "0 to 3600 seconds")


def test_both_are_errors_of_the_project() -> None:
    assert issubclass(ConfigError, TunnelError)
    assert issubclass(ConnectFailed, TunnelError)
