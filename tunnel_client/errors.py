"""What goes wrong at the developer's side before there is a session.

TunnelError
  ConfigError     a flag, a variable or a key of the config file has a value that is not allowed
  ConnectFailed   the server could not be reached this time; trying again may help
"""

from __future__ import annotations

from protocol.errors import TunnelError


class ConfigError(TunnelError):
    """A setting that cannot be used. The program ends with exit code 2.

    As text it is one line, `KEY: MESSAGE`, that holds no secret.

    Attributes:
        key: the setting as the person gave it: `--server`, `TUNNEL_TOKEN`, `client.toml: server`.
        message: what is allowed.
    """

    def __init__(self, key: str, message: str) -> None:
        super().__init__(f"{key}: {message}")
        self.key = key
        self.message = message


class ConnectFailed(TunnelError):
    """No connection to the server, for the one reason that the text says."""
