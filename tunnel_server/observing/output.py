"""The stdout of the server: lines for people, or with --json one object a line.

Programs that started the server read the JSON form, so nothing else ever goes to their stdout, and
each line is flushed at once. Logs and complaints are stderr's matter.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from typing import TextIO

from protocol.names import APEX
from protocol.program.observing import JsonForm
from tunnel_server.observing.events import (
    JSON_NAMES,
    ServerDraining,
    ServerEvent,
    ServerListening,
)
from tunnel_server.settings.config import ServerConfig, bind_address, client_command

logger = logging.getLogger(__name__)


class Output:
    """The server's stdout.

    A reader that has gone away (`tunnel-server --json | head -1`) does not matter to the server:
    what would have been printed is then dropped.

    Args:
        config: whose `json` chooses the form.
        version: the program's.
        stdout: sys.stdout as it is then, if not given.
    """

    def __init__(self, config: ServerConfig, version: str, stdout: TextIO | None = None) -> None:
        self._config = config
        self._version = version
        self._form = JsonForm(JSON_NAMES)
        self._stdout: TextIO | None = sys.stdout if stdout is None else stdout

    def __repr__(self) -> str:
        form = "json" if self._config.json else "text"
        return f"<Output {form}{'' if self._stdout else ' gone'}>"

    def tell(self, event: ServerEvent) -> None:
        """See Sink."""
        if isinstance(event, ServerListening) and self._config.open_to_strangers:
            text = "no token is needed (--open): whoever reaches this server can publish an app; %s"
            logger.warning(text, self._config.public_by)
        said = self._form.text(event) if self._config.json else self._said(event)
        if said:
            self._write(said)

    def _said(self, event: ServerEvent) -> str:
        match event:
            case ServerListening():
                return "\n".join(self._welcome(event))
            case ServerDraining():
                return self._draining(event)

    def _draining(self, event: ServerDraining) -> str:
        requests = "1 request" if event.streams == 1 else f"{event.streams} requests"
        wait_s = f"{self._config.drain_timeout_s:g}"
        why = "Replaced by another server" if event.replaced else "Stopping"
        return f"{why}: waiting up to {wait_s} s for {requests}. Ctrl-C stops at once."

    def _welcome(self, event: ServerListening) -> list[str]:
        token_needed = self._config.authentication_required
        return [
            f"tunnel-server {self._version} listens on {event.bind}",
            f"  service  {event.url}",
            f"  tunnels  {self._config.public_url_for('NAME', event.port)}",
            f"  access   {self._access}",
            f"  connect  {client_command(event.url, token_needed=token_needed)}",
            "Ctrl-C stops it.",
        ]

    @property
    def _access(self) -> str:
        """Says who may connect, and what made it so."""
        config = self._config
        if config.authentication_required:
            since = f", since {config.public_by}" if config.public_by else ""
            return f"with a token of {config.tokens_file}{since}"
        if config.open_to_strangers:
            return f"no token is needed (--open), though {config.public_by}"
        return "no token is needed: this machine alone reaches the service"

    def _write(self, text: str) -> None:
        if self._stdout is None:
            return
        try:
            self._stdout.write(f"{text}\n")
            self._stdout.flush()
        except (OSError, ValueError):  # a broken pipe; ValueError: closed
            _discard(self._stdout)
            self._stdout = None


def listening(config: ServerConfig, port: int) -> ServerListening:
    """The event of sockets that listen on this port."""
    return ServerListening(bind_address(config.bind_host, port), config.public_url_for(APEX, port))


def _discard(stdout: TextIO) -> None:
    """Drop what is still in its buffer, which Python would else fail on as it exits."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.dup2(nowhere, stdout.fileno())
        finally:
            os.close(nowhere)
