"""The stdout of the server: lines for people, or with --json one object a line.

Programs that started the server read the JSON form, so nothing else ever goes to their stdout. Logs
and complaints are stderr's matter. Lines leave by a thread (`line_writer`), so that a reader who
stops, or has gone away (`tunnel-server --json | head -1`), does not matter to the server.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from protocol.names import APEX
from protocol.program.line_writer import LineWriter, write_to_stdout
from protocol.program.observing import JsonForm, plain_text
from protocol.program.text import duration, progress
from tunnel_server.observing.events import (
    JSON_NAMES,
    OldestRequest,
    ServerDraining,
    ServerEvent,
    ServerListening,
    ServerStopped,
)
from tunnel_server.settings.config import ServerConfig, bind_address, client_command, is_unencrypted
from tunnel_server.settings.reach import is_loopback

logger = logging.getLogger(__name__)


class Output:
    """The server's stdout.

    Args:
        config: whose `json` chooses the form.
        version: the program's.
        put: takes whole lines; never waits and never raises.
        clock: the time, in seconds since the epoch.
    """

    def __init__(
        self,
        config: ServerConfig,
        version: str,
        put: Callable[[bytes], object],
        clock: Callable[[], float] = time.time,  # noqa: TID251  # that of the wall, for people
    ) -> None:
        self._clock = clock
        self._config = config
        self._version = version
        self._form = JsonForm(JSON_NAMES)
        self._put = put

    def __repr__(self) -> str:
        return f"<Output {'json' if self._config.json else 'text'}>"

    def tell(self, event: ServerEvent) -> None:
        """See Sink."""
        if isinstance(event, ServerListening):
            self._warn(event)
        said = self._form.text(event, self._clock()) if self._config.json else self._said(event)
        if said:
            self._put(f"{said}\n".encode("utf-8", "backslashreplace"))

    def _warn(self, event: ServerListening) -> None:
        if self._config.open_to_strangers:
            text = "no token is needed (--open): whoever reaches this server can publish an app; %s"
            logger.warning(text, self._config.public_by)
        http = event.url.startswith("http:")
        elsewhere = is_unencrypted(event.url) or not is_loopback(self._config.bind_host)
        if self._config.authentication_required and http and elsewhere:
            here = is_unencrypted(event.url)
            others = "tokens of other machines would come unencrypted, so clients there"
            those = f"tokens would go to {event.url} unencrypted, so clients" if here else others
            better = "serve https with --tls-cert, or by a proxy and --public-url https://..."
            logger.warning("%s send none without --insecure-server: %s", those, better)

    def _said(self, event: ServerEvent) -> str:
        match event:
            case ServerListening():
                return "\n".join(self._welcome(event))
            case ServerDraining():
                return self._draining(event)
            case ServerStopped():
                return _stopped(event)

    def _draining(self, event: ServerDraining) -> str:
        if not event.streams:
            return ""  # it ends within a second, and the last line says so
        requests = "1 request" if event.streams == 1 else f"{event.streams} requests"
        wait_s = f"{self._config.drain_timeout_s:g}"
        said = f"waiting up to {wait_s} s for {requests}"
        why = "Replaced by another server" if event.replaced else "Stopping"
        oldest = "" if event.oldest is None else f"; the oldest is {_oldest(event.oldest)}"
        again = "Ctrl-C" if event.replaced else "Ctrl-C again"
        return f"{why}: {said}{oldest}. {again} ends it now."

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
            file = f", or of {config.auth_file}" if config.auth_file is not None else ""
            return f"with a token of {config.state_dir}{file}{since}"
        if config.open_to_strangers:
            return f"no token is needed (--open), though {config.public_by}"
        return "no token is needed: this machine alone reaches the service"


def _oldest(request: OldestRequest) -> str:
    far = f"{progress(*request.answer)} down"
    if any(request.request):
        far = f"{progress(*request.request)} up, {far}"
    return f"a {plain_text(request.method)} for {request.name}, {far}, {duration(request.age_s)}"


def _stopped(event: ServerStopped) -> str:
    why = "Stopped, another server goes on" if event.replaced else "Stopped by the user"
    requests = "1 request" if event.cut_off == 1 else f"{event.cut_off} requests"
    return f"{why}, {requests} cut off." if event.cut_off else f"{why}."


def stdout_writer() -> LineWriter:
    """The writer of the process's stdout, for `line_writer.writing`."""
    return LineWriter(write_to_stdout, _said_of_dropped)


def _said_of_dropped(count: int) -> bytes:
    """Say it in the log: no program that reads events knows one of this kind."""
    logger.warning("%d lines of stdout were dropped: its reader is too slow", count)
    return b""


def listening(config: ServerConfig, port: int) -> ServerListening:
    """The event of sockets that listen on this port."""
    return ServerListening(bind_address(config.bind_host, port), config.public_url_for(APEX, port))
