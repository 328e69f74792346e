"""What the server prints on stdout: lines for people, or with --json one object a line.

Programs that started the server read the JSON form, so nothing else ever goes to their stdout, and
each line is flushed at once. Logs and complaints are stderr's matter.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from contextlib import suppress
from typing import TextIO

from protocol.names import APEX
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
        self._stdout: TextIO | None = sys.stdout if stdout is None else stdout

    def __repr__(self) -> str:
        form = "json" if self._config.json else "text"
        return f"<Output {form}{'' if self._stdout else ' gone'}>"

    def listening(self, port: int) -> None:
        """The sockets listen, on this port (which --bind may have left open)."""
        if self._config.open_to_strangers:
            logger.warning("no token is needed: whoever reaches this server can publish an app")
        bind = bind_address(self._config.bind_host, port)
        url = self._config.public_url_for(APEX, port)
        if self._config.json:
            self._write(json.dumps({"event": "listening", "bind": bind, "url": url}))
        else:
            self._write("\n".join(self._welcome(bind, url, port)))

    def draining(self, streams: int, replaced: bool) -> None:
        """A Ctrl-C, a SIGTERM or another server came; requests may be open. People only."""
        if not self._config.json:
            requests = "1 request" if streams == 1 else f"{streams} requests"
            wait_s = f"{self._config.drain_timeout_s:g}"
            why = "Replaced by another server" if replaced else "Stopping"
            self._write(f"{why}: waiting up to {wait_s} s for {requests}. Ctrl-C stops at once.")

    def _welcome(self, bind: str, url: str, port: int) -> list[str]:
        token_needed = self._config.authentication_required
        tokens = f"with a token of {self._config.tokens_file}"
        return [
            f"tunnel-server {self._version} listens on {bind}",
            f"  service  {url}",
            f"  tunnels  {self._config.public_url_for('NAME', port)}",
            f"  access   {tokens if token_needed else 'no token is needed'}",
            f"  connect  {client_command(url, token_needed=token_needed)}",
            "Ctrl-C stops it.",
        ]

    def _write(self, text: str) -> None:
        if self._stdout is None:
            return
        try:
            self._stdout.write(f"{text}\n")
            self._stdout.flush()
        except (OSError, ValueError):  # a broken pipe; ValueError: closed
            _discard(self._stdout)
            self._stdout = None


def _discard(stdout: TextIO) -> None:
    """Drop what is still in its buffer, which Python would else fail on as it exits."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.dup2(nowhere, stdout.fileno())
        finally:
            os.close(nowhere)
