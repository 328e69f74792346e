"""A directory with what it stands on: kept names, their registry, and what writes them down."""

from __future__ import annotations

import os
from functools import partial

from protocol.program.process import version
from tunnel_server.owners.authenticator import KEY, Authenticator
from tunnel_server.owners.names import Change, KeptNames
from tunnel_server.owners.store import Store, StoreContent, first_read
from tunnel_server.owners.store_writer import StoreWriter
from tunnel_server.owners.stored_tokens import StoredTokens
from tunnel_server.settings.config import ServerConfig
from tunnel_server.tunnels.directory import Directory
from tunnel_server.tunnels.registry import Registry


def build_directory(
    config: ServerConfig, authenticator: Authenticator, store: Store | None
) -> tuple[Directory, StoreWriter | None]:
    """Names, their registry and what writes them down; nothing does without a store.

    The tokens of the store are known afterwards, too. Raises StoreUnusableError.
    """

    def read(content: StoreContent) -> None:
        authenticator.read(content.tokens)
        written = content.names if config.keep_names_s else {}
        # What an install key holds nobody may claim, and nobody need fear, where tokens are needed.
        if config.authentication_required:
            written = {n: kept for n, kept in written.items() if not kept.owner.startswith(KEY)}
        names.read(written)
        directory.read_again()

    def changed(name: str, change: Change) -> None:
        if change is None:
            registry.forget(name)
        directory.changed_hands(name)
        if writer is not None:
            writer.changed(name, change)

    first = StoreContent({}, StoredTokens())
    writer = None
    if store is not None:
        first = first_read(store, config.names_key)
        writer = StoreWriter(store, config.names_key, read, first.names)
        authenticator.write_used_by(writer.token_used)
    url_of = partial(config.public_url_for, port=config.bind_port)
    registry = Registry(
        url_of,
        os.urandom,
        lambda name: names.get(name) is not None,
        lambda carrier: directory.address_of(carrier),
    )
    names = KeptNames(config.keep_names_s, lambda name: registry.find(name) is not None, changed)
    directory = Directory(config, authenticator, registry, names, version=version())
    read(first)
    return directory, writer
