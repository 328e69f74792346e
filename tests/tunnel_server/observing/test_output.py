from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from protocol.program.line_writer import BYTES_MAX, writing
from tunnel_server.observing import output as output_module
from tunnel_server.observing.events import (
    OldestRequest,
    ServerDraining,
    ServerEvent,
    ServerStopped,
)
from tunnel_server.observing.output import Output, listening, stdout_writer
from tunnel_server.settings.config import ServerConfig
from tunnel_server.settings.values import PublicUrl


def told(config: ServerConfig, event: ServerEvent) -> str:
    put: list[bytes] = []
    Output(config, "1.2.3", put.append, lambda: 0.0).tell(event)
    return b"".join(put).decode()


def printed(config: ServerConfig, port: int = 41233) -> str:
    return told(config, listening(config, port))


def test_json_is_one_object_on_one_line() -> None:
    text = printed(ServerConfig(json=True))
    assert text.count("\n") == 1
    assert json.loads(text) == {
        "event": "listening",
        "time": "1970-01-01T00:00:00.000Z",
        "bind": "127.0.0.1:41233",
        "url": "http://localhost:41233",
    }


def test_url_is_the_public_one_where_it_is_given() -> None:
    config = ServerConfig(
        bind_host="::1", public_url=PublicUrl("https", "example.com", 443), json=True
    )
    assert json.loads(printed(config, 80)) == {
        "event": "listening",
        "time": "1970-01-01T00:00:00.000Z",
        "bind": "[::1]:80",
        "url": "https://example.com",
    }


def test_people_read_where_it_listens_who_may_connect_and_how() -> None:
    assert printed(ServerConfig(), 8080).splitlines() == [
        "tunnel-server 1.2.3 listens on 127.0.0.1:8080",
        "  service  http://localhost:8080",
        "  tunnels  http://NAME.localhost:8080",
        "  access   no token is needed: this machine alone reaches the service",
        "  connect  tunnel-client http 3000",
        "Ctrl-C stops it.",
    ]


def test_people_read_where_tokens_are_if_they_are_needed() -> None:
    state, file = Path("/state"), Path("/etc/tokens")
    text = printed(ServerConfig(domain="example.com", state_dir=state, auth_file=file))
    since = "since its domain is example.com"
    assert f"  access   with a token of /state, or of /etc/tokens, {since}\n" in text
    command = "tunnel-client http 3000 --server http://example.com:41233 --token-file FILE"
    assert f"  connect  {command} --insecure-server\n" in text


def test_tokens_that_would_cross_unencrypted_are_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A client sends none there, so the command that is printed must have the flag."""
    for fine in (
        ServerConfig(auth_file=Path("tokens")),  # of this machine alone
        ServerConfig(domain="example.com", open=True, log_level="error"),  # no token is needed
        ServerConfig(bind_host="0.0.0.0", public_url=PublicUrl("https", "example.com", 443)),
    ):
        printed(fine)
        assert "unencrypted" not in caplog.text
    printed(ServerConfig(bind_host="0.0.0.0"))
    text = "tokens of other machines would come unencrypted, so clients there send none without"
    assert text in caplog.text
    caplog.clear()
    printed(ServerConfig(public_url=PublicUrl("http", "example.com", 80)))
    assert "tokens would go to http://example.com unencrypted, so clients send none" in caplog.text


def test_server_open_to_strangers_is_warned_of_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    printed(ServerConfig())
    assert not caplog.records
    printed(ServerConfig(bind_host="0.0.0.0", open=True, json=True))
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "no token is needed" in caplog.text
    assert caplog.text.endswith("; it listens on 0.0.0.0\n")
    access = "no token is needed (--open), though it listens on 0.0.0.0"
    assert f"  access   {access}\n" in printed(ServerConfig(bind_host="0.0.0.0", open=True))
    text = printed(ServerConfig(domain="example.com", state_dir=Path("/state")))
    assert "  access   with a token of /state, since its domain is example.com\n" in text


@pytest.mark.parametrize(
    ("streams", "words"),
    [
        (1, "waiting up to 8 s for 1 request"),
        (3, "waiting up to 8 s for 3 requests"),
    ],
)
def test_people_read_what_a_stop_waits_for_and_programs_do_not(streams: int, words: str) -> None:
    event = ServerDraining(streams, replaced=False)
    said = f"Stopping: {words}. Ctrl-C again ends it now.\n"
    assert told(ServerConfig(), event) == said
    assert told(ServerConfig(json=True), event) == ""


@pytest.mark.parametrize("replaced", [False, True])
def test_a_stop_that_waits_for_nothing_says_nothing(replaced: bool) -> None:
    assert told(ServerConfig(), ServerDraining(0, replaced)) == ""


@pytest.mark.parametrize(
    ("request_", "answer", "far"),
    [
        ((0, None), (12_300_000, 10_000_000_000), "12.3 MB of 10.0 GB down"),
        ((3_100, 20_000), (0, None), "3.1 kB of 20.0 kB up, 0 B down"),
        ((0, 5), (0, None), "0 B of 5 B up, 0 B down"),
        ((7, None), (9, None), "7 B up, 9 B down"),
    ],
)
def test_a_stop_says_which_request_is_the_oldest_and_how_far_it_is(
    request_: tuple[int, int | None], answer: tuple[int, int | None], far: str
) -> None:
    oldest = OldestRequest("app", b"PUT", 4.04, request_, answer)
    text = told(ServerConfig(), ServerDraining(2, False, oldest))
    said = f"waiting up to 8 s for 2 requests; the oldest is a PUT for app, {far}, 4.0 s"
    assert text == f"Stopping: {said}. Ctrl-C again ends it now.\n"


@pytest.mark.parametrize(
    ("cut_off", "replaced", "words"),
    [
        (0, False, "Stopped by the user."),
        (1, False, "Stopped by the user, 1 request cut off."),
        (2, True, "Stopped, another server goes on, 2 requests cut off."),
    ],
)
def test_the_last_line_says_what_happened(cut_off: int, replaced: bool, words: str) -> None:
    event = ServerStopped(cut_off, replaced)
    assert told(ServerConfig(), event) == f"{words}\n"
    assert told(ServerConfig(json=True), event) == ""


def test_a_server_that_is_replaced_says_so() -> None:
    text = told(ServerConfig(), ServerDraining(1, replaced=True))
    said = "Replaced by another server: waiting up to 8 s for 1 request. Ctrl-C ends it now.\n"
    assert text == said


def test_lines_that_were_dropped_are_told_in_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[bytes] = []
    monkeypatch.setattr(output_module, "write_to_stdout", written.append)
    writer = stdout_writer()
    with writing(writer):
        writer.put(b"x" * (BYTES_MAX + 1))
    assert b"".join(written) == b""
    assert "1 lines of stdout were dropped" in caplog.text
