"""The apps that replays go to: the shared one as it is asked anyway, and others of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from protocol.http.fields import Fields
from protocol.mux.messages import Open
from protocol.program.observing import Sink
from tunnel_client.identity.rewriting import Identity, Visited, visited_origin
from tunnel_client.observing.events import RequestEnded, RequestOpened, WebSocketOpened
from tunnel_client.origin.choosing import IdentityChooser
from tunnel_client.origin.dial import Dialer
from tunnel_client.origin.dispatch import Dispatcher
from tunnel_client.settings.config import ClientConfig
from tunnel_client.settings.target import Target

if TYPE_CHECKING:
    from tunnel_client.inspector.replaying.replays import TapFor


class AsWritten(Identity):
    """Gives the app the fields of a request as they are; answers are as from itself."""

    def asked(self, opened: Open, fields: Fields) -> tuple[Fields, Visited]:
        """See Identity."""
        return fields, visited_origin(opened)


class ConfiguredApps:
    """Makes dispatchers as the program's settings have it.

    Args:
        config: those.
        dialer, identity, chooser: how the shared app is reached and asked; see Dispatcher.
    """

    def __init__(
        self,
        config: ClientConfig,
        dialer: Dialer,
        identity: Identity,
        chooser: IdentityChooser | None,
    ) -> None:
        self._config = config
        self._dialer = dialer
        self._identity = identity
        self._chooser = chooser

    def __repr__(self) -> str:
        return f"<ConfiguredApps {self._config.target} {self._identity!r}>"

    def dispatcher(
        self,
        target: Target | None,
        tasks: trio.Nursery,
        sink: Sink[RequestEnded | RequestOpened | WebSocketOpened],
        tap_for: TapFor,
        *,
        as_written: bool,
    ) -> Dispatcher:
        """See ReplayApps."""
        is_shared = target is None
        return Dispatcher(
            self._dialer if target is None else self._other(target),
            sink,
            tasks,
            origin_timeout_s=self._config.origin_timeout_s,
            identity=self._identity_at(target, as_written=as_written),
            tap_for=tap_for,
            chooser=self._chooser if is_shared and not as_written else None,
        )

    def _identity_at(self, target: Target | None, *, as_written: bool) -> Identity:
        if as_written:
            return AsWritten(target or self._config.target)
        if target is None:
            return self._identity
        edits = self._config.request_edits, self._config.answer_edits
        return Identity(target, request_edits=edits[0], answer_edits=edits[1])

    def _other(self, target: Target) -> Dialer:
        config = self._config
        return Dialer(target, insecure=config.origin_insecure, ca=config.origin_ca)
