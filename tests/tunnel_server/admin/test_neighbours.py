from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from tunnel_server.admin.control_socket import control_place
from tunnel_server.admin.neighbours import warn_of_neighbours
from tunnel_server.settings.config import ServerConfig


@pytest.mark.parametrize(
    ("domain", "warned"), [("example.com", True), ("localhost", False)], ids=["public", "local"]
)
def test_another_server_with_the_same_names_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, domain: str, *, warned: bool
) -> None:
    tmp_path.chmod(0o700)
    config = ServerConfig(state_dir=tmp_path, domain=domain, bind_port=8080)
    other = control_place(tmp_path, "127.0.0.1:9090")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / other.name))
        warn_of_neighbours(config)
        assert not caplog.records  # what a crashed one left
        server.listen()
        warn_of_neighbours(config)
        assert ("the server on 127.0.0.1:9090" in caplog.text) is warned
        caplog.clear()
        warn_of_neighbours(replace(config, bind_port=9090))  # itself
        assert not caplog.records


def test_a_state_folder_that_cannot_be_looked_into_has_no_neighbours(tmp_path: Path) -> None:
    """Such a server starts with a warning, and must not end here."""
    (tmp_path / "state").write_text("")
    warn_of_neighbours(ServerConfig(state_dir=tmp_path / "state", domain="example.com"))
