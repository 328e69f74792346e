from __future__ import annotations

from tests.edge_fakes import make_edge


def test_its_url_is_the_apex() -> None:
    edge = make_edge()
    assert edge.public_url == "http://localhost:8080"


def test_it_is_draining_when_its_directory_is() -> None:
    edge = make_edge()
    registry = "<Registry 0 held, 0 remembered>"
    assert repr(edge) == f"<Edge 0 connections <Directory serving 0 sessions {registry}>>"
    edge.directory.drain()
    assert edge.draining
    assert "<Directory draining" in repr(edge)
