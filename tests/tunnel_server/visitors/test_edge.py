from __future__ import annotations

from tests.edge_fakes import make_edge


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
