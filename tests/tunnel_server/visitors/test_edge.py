from __future__ import annotations

import pytest

from tests.edge_fakes import make_edge
from tunnel_server.settings.config import ServerConfig
from tunnel_server.visitors.crowd import connections_for
from tunnel_server.visitors.edge import shortage_to_come


def test_its_url_is_the_apex() -> None:
    edge = make_edge()
    assert edge.public_url == "http://localhost:8080"


async def test_it_says_what_its_directory_does() -> None:
    edge = make_edge()
    registry = "<Registry 0 held, 0 remembered>"
    assert repr(edge) == f"<Edge 0 connections <Directory serving 0 sessions {registry}>>"
    await edge.directory.drain()
    assert edge.directory.draining
    assert "<Directory draining" in repr(edge)


@pytest.mark.parametrize(
    ("connections", "sessions", "descriptors"),
    [(1000, 100, 1163), (1, 16, 80), (None, 1000, 1127), (100_000, None, 101_087)],
)
def test_flags_that_ask_for_more_than_the_descriptors_allow_are_told(
    connections: int | None, sessions: int | None, descriptors: int
) -> None:
    config = ServerConfig(max_connections=connections, max_sessions=sessions)
    assert shortage_to_come(config, descriptors + 1) is None
    said = shortage_to_come(config, descriptors)
    assert said is not None
    assert f"{descriptors + 1:,} file descriptors are needed" in said
    assert f"there are {descriptors:,}." in said
    assert "ulimit -n" in said


def test_what_is_asked_for_is_told_with_what_would_do() -> None:
    config = ServerConfig(max_connections=1000, max_sessions=20)
    said = shortage_to_come(config, 100) or ""
    assert said.startswith("--max-connections 1,000 and --max-sessions 20: 1,084 file descriptors")
    assert said.endswith("LimitNOFILE= in systemd, or say --max-connections 16")
    few = ServerConfig(max_connections=16, max_sessions=20)
    assert shortage_to_come(few, 100) is None
    said = shortage_to_come(config, 84) or ""  # where no number would do
    assert said.endswith("LimitNOFILE= in systemd")


@pytest.mark.parametrize("descriptors", [40, 1024, 20_000])
def test_where_nothing_is_asked_for_the_descriptors_decide(descriptors: int) -> None:
    assert shortage_to_come(ServerConfig(), descriptors) is None


def test_what_would_do_is_what_a_server_without_the_flag_takes() -> None:
    connections = connections_for(1000, 100)
    config = ServerConfig(max_connections=connections, max_sessions=100)
    assert shortage_to_come(config, 1000) is None
    assert shortage_to_come(config, 999) is not None
