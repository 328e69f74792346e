from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest
import trio

from tunnel_server.app import run
from tunnel_server.config import ServerConfig
from tunnel_server.output import Output


@pytest.fixture
def config(tmp_path: Path) -> ServerConfig:
    return ServerConfig(bind_port=0, state_dir=tmp_path, json=True, drain_timeout_s=1.0)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_stops_it_with_0(
    config: ServerConfig,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    listening = Output.listening

    def say(self: Output, port: int) -> None:
        listening(self, port)
        signal.raise_signal(getattr(signal, name))

    monkeypatch.setattr(Output, "listening", say)
    assert run(config) == 0
    out = capsys.readouterr().out
    assert out.startswith('{"event": "listening", "bind": "127.0.0.1:')
    assert out.count("\n") == 1


def test_a_second_signal_stops_it_at_once(
    config: ServerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forever(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)
        await trio.sleep_forever()

    monkeypatch.setattr(Output, "listening", lambda *_: signal.raise_signal(signal.SIGTERM))
    monkeypatch.setattr("tunnel_server.app.drain", forever)
    assert run(config) == 0


def test_a_port_that_is_taken_is_one_line_and_1(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run(ServerConfig(bind_port=port, state_dir=tmp_path)) == 1
    out, err = capfd.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert f"127.0.0.1:{port} is in use by another program" in line
    assert "--bind" in line


def test_an_address_that_is_not_ours_is_one_line_and_1(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(ServerConfig(bind_host="192.0.2.1", bind_port=1, open=True, state_dir=tmp_path)) == 1
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "cannot listen" in line]
    assert "192.0.2.1:1" in line
