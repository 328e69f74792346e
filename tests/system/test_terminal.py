"""The client as a person sees it: on terminals of two sizes, in tmux, and in a pipe."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from wsproto.events import CloseConnection

from tests.programs import STOP_S, Address, Programs, isolated
from tests.system.line_to_cut import LineToCut
from tests.system.on_terminal import OnPty, Tmux, client_command, on_pty
from tests.system.origin import Origin
from tests.system.test_client_life import begin_talk
from tests.system.visitor import fetch, visit

SIZES = [(80, 24), (40, 12)]
MANY = 1_000


def footer_stands_once(shown: OnPty, url: str) -> bool:
    """Whether the screen ends in the footer, and has it nowhere else."""
    rule = "-" * (shown.terminal.screen.columns - 1)
    urls = [row for row in shown.screen if row.startswith(url)]
    return shown.screen.count(rule) == len(urls) == 1


def on_screen_once(screen: list[str], columns: int, url: str) -> bool:
    whole = "".join(row.ljust(columns) for row in screen)
    # Where it is narrow the inspector's row is the last.
    is_last = any("connected" in row for row in screen[-2:])
    return is_last and screen.count("-" * (columns - 1)) == 1 and whole.count(url + " -> ") == 1


async def many_requests(here: Address, count: int) -> None:
    for number in range(count):
        assert (await fetch(here, f"/?n={number}")).status == 200


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("columns", "rows"), SIZES)
async def test_a_day_on_a_terminal(
    programs: Programs, origin: Origin, tmp_path: Path, columns: int, rows: int
) -> None:
    server, port = await programs.server()
    here, url = Address(port, "app.localhost"), f"http://app.localhost:{port}"
    command = client_command(origin.port, port, "--drain-timeout", "1")
    async with on_pty(tmp_path, command, columns, rows, {}) as client:
        await client.shows("0 requests, 0 open")
        await client.until(lambda shown: footer_stands_once(shown, url))
        await fetch(here, "/?token=abcdefgh")
        await client.shows("1 request, 0 open")

        await many_requests(here, MANY)
        await client.shows("1,001 requests, 0 open")
        await client.until(lambda shown: footer_stands_once(shown, url))

        async with visit(here) as visitor:
            talk = await begin_talk(visitor)
            await client.shows("1,002 requests, 1 open")
            await talk.say(CloseConnection(1001, ""))
            await talk.hear()
        await client.shows("1,002 requests, 0 open")

        await server.stop()
        await client.shows("offline for ")
        await client.shows("until it works")
        await client.until(lambda shown: footer_stands_once(shown, url))
        await programs.server(bind=f"127.0.0.1:{port}")
        await client.shows("connected, ")
        await fetch(here, "/")
        await client.shows("1,003 requests, 0 open")
        assert await client.stop() == 0
    said = wrapped_back(client.terminal.lines, columns)
    assert said[-1].endswith(" stopped by the user")
    assert "-" * (columns - 1) not in said
    assert not [line for line in said if line.startswith("connected, ")]
    told = [line[9:] for line in said]
    assert sum("/?token=••• " in line for line in told) == 1
    assert "101 WS   /ws  opened" in told
    assert any(
        re.fullmatch(r"101 WS   /ws  closed 1001 by the visitor, 1 up, 1 down, .*", line)
        for line in told
    )
    assert any("connected again: " in line for line in told)
    # A line that fills a row exactly is one with the next here.
    shown = re.findall(r"200 GET  /\?n=\d+  \d+ B  \d+ ms", "\n".join(said))
    hidden = re.findall(r" \((\d+) more[^)]*\)", "\n".join(said))
    assert len(shown) + sum(map(int, hidden)) == MANY


def wrapped_back(rows: list[str], columns: int) -> list[str]:
    """The lines, where a terminal has wrapped those that fill a row."""
    lines = [""]
    for row in rows:
        lines[-1] += row
        if len(row) < columns:
            lines.append("")
    return lines[:-1] if not lines[-1] else lines


@pytest.mark.parametrize(("columns", "rows"), SIZES)
async def test_a_session_that_is_resumed_was_offline_meanwhile(
    programs: Programs,
    origin: Origin,
    tmp_path: Path,
    nursery: trio.Nursery,
    columns: int,
    rows: int,
) -> None:
    _, port = await programs.server()
    line = await LineToCut(port).serve(nursery)
    url = f"http://app.localhost:{port}"
    async with on_pty(
        tmp_path, client_command(origin.port, line.port), columns, rows, {}
    ) as client:
        await client.shows("0 requests, 0 open")
        line.cut()
        await client.shows("offline for ")
        await client.until(lambda shown: footer_stands_once(shown, url))
        line.mend()
        await client.shows("nothing was lost")
        await client.shows("connected")
        await client.until(lambda shown: footer_stands_once(shown, url))
        assert await client.stop() == 0


async def test_the_demo_looks_as_the_client_does(tmp_path: Path) -> None:
    demo = Path(__file__).parents[2] / "examples" / "demo.py"
    async with on_pty(tmp_path, [sys.executable, str(demo)], 200, 30, {}) as client:
        await client.shows("0 requests, 0 open")
        url = re.findall(r"Public URL +http://(\S+):(\d+)", "\n".join(client.screen))[0]
        here = Address(int(url[1]), url[0])
        assert (await fetch(here, "/")).status == 200
        await client.shows("200 GET  /")
        link = re.findall(r"inspect +http://127.0.0.1:(\d+)/#t=(\S+)", "\n".join(client.screen))[0]
        async with visit(Address(int(link[0]), "127.0.0.1")) as asker:
            await asker.request("/api/exchanges/1", "GET", [("Authorization", f"Bearer {link[1]}")])
            assert (await asker.answer()).status == 200
        await client.until(lambda shown: footer_stands_once(shown, f"http://{url[0]}:{url[1]}"))
        client.process.send_signal(signal.SIGINT)
        with trio.fail_after(STOP_S):
            await client.ended.wait()
            assert await client.process.wait() == 0
    said = client.terminal.lines
    assert any("stopped by the user" in line for line in said)
    assert "-" * 199 not in said


async def test_an_app_that_is_down_is_said_in_the_footer(
    programs: Programs, tmp_path: Path
) -> None:
    _, port = await programs.server()
    command = client_command(9, port, "--origin-wait", "0")
    async with on_pty(tmp_path, command, 80, 24, {}) as client:
        await client.until(
            lambda shown: (
                "nothing listens" in shown.screen[-2] + shown.screen[-3]
                or any(row.startswith("nothing listens") for row in shown.screen)
            )
        )
        assert (await fetch(Address(port, "app.localhost"), "/")).status == 502
        await client.shows("502 GET  /")


async def test_a_refusal_is_the_last_line_and_leaves_no_footer(
    programs: Programs, origin: Origin, tmp_path: Path
) -> None:
    tunnel = await programs.tunnel(origin.port)
    command = client_command(origin.port, tunnel.address.port)
    async with on_pty(tmp_path, command, 80, 24, {}) as client:
        await client.ended.wait()
        assert await client.process.wait() == 3
    assert "refused by the server" in "".join(client.terminal.lines)
    assert "-" * 79 not in client.terminal.lines


async def test_lines_of_the_log_stand_above_the_footer(
    programs: Programs, origin: Origin, tmp_path: Path
) -> None:
    _, port = await programs.server()
    here, url = Address(port, "app.localhost"), f"http://app.localhost:{port}"
    command = client_command(origin.port, port, "--log-level", "debug")
    async with on_pty(tmp_path, command, 120, 24, {}) as client:
        await client.shows("0 requests")
        await many_requests(here, 50)
        await client.shows("50 requests, 0 open")
        await client.until(lambda shown: footer_stands_once(shown, url))
        await client.until(lambda shown: "request 50:" in "".join(shown.terminal.lines))
        assert await client.stop() == 0
    logged = [
        line for line in client.terminal.lines if re.search(r"debug: .* request \d+: GET", line)
    ]
    assert len(logged) == 50


@pytest.mark.parametrize("path", ["/?x=" + "x" * 8_000, "/%1b%5b2J%E2%80%AE%E6%97%A5e%CC%81"])
async def test_any_path_leaves_the_footer_where_it_is(
    programs: Programs, origin: Origin, tmp_path: Path, path: str
) -> None:
    _, port = await programs.server()
    url = f"http://app.localhost:{port}"
    async with on_pty(tmp_path, client_command(origin.port, port), 40, 12, {}) as client:
        await client.shows("0 requests")
        await fetch(Address(port, "app.localhost"), path)
        await client.shows("1 request, 0 open")
        await client.until(lambda shown: footer_stands_once(shown, url))
        assert await client.stop() == 0
    assert b"\x1b[2J" not in client.raw


@pytest.mark.parametrize(
    ("flags", "env", "colour", "footer"),
    [
        ((), {}, True, True),
        ((), {"NO_COLOR": "1"}, False, True),
        ((), {"CI": "1"}, True, False),
        ((), {"TERM": "dumb"}, False, False),
        (("--plain",), {"FORCE_COLOR": "1"}, False, False),
    ],
)
async def test_colour_and_footer_follow_from_flags_and_environment(
    programs: Programs,
    origin: Origin,
    tmp_path: Path,
    flags: tuple[str, ...],
    env: dict[str, str],
    colour: bool,
    footer: bool,
) -> None:
    _, port = await programs.server()
    command = client_command(origin.port, port, *flags)
    async with on_pty(tmp_path, command, 80, 24, env) as client:
        await client.shows("Requests:")
        await fetch(Address(port, "app.localhost"), "/")
        await client.shows("200 GET")
        assert await client.stop() == 0
    assert (b"\x1b[32m200\x1b[0m" in client.raw) is colour
    assert (b"\x1b[?2026h" in client.raw) is footer
    if not colour and not footer:
        assert b"\x1b" not in client.raw


@pytest.mark.parametrize("env", [{}, {"FORCE_COLOR": "1"}])
async def test_a_pipe_gets_lines_and_no_escape_sequence_but_colours_by_force(
    programs: Programs, origin: Origin, tmp_path: Path, env: dict[str, str]
) -> None:
    _, port = await programs.server()
    process: trio.Process = await trio.lowlevel.open_process(
        client_command(origin.port, port, "--qr"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**isolated(tmp_path / "pipe"), **env},
    )
    assert process.stdout is not None
    said = b""
    async with process.stdout as stdout:
        with trio.fail_after(20):
            while b"Requests:" not in said:
                said += await stdout.receive_some()
            await fetch(Address(port, "app.localhost"), "/")
            while b" GET  /" not in said:
                said += await stdout.receive_some()
            process.send_signal(signal.SIGTERM)
            async for data in stdout:
                said += data
    assert await process.wait() == 0
    assert said.endswith(b" stopped by the user\n")
    assert "▀".encode() in said
    left = re.sub(rb"\x1b\[[0-9;]+m", b"", said)
    assert b"\x1b" not in left
    assert (left != said) is bool(env)


# --- tmux ---


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    tmux = Tmux(tmp_path, 80, 24)
    yield tmux
    tmux.end()


@pytest.mark.needs("tmux")
@pytest.mark.timeout(120)
async def test_after_each_resize_the_footer_is_on_the_screen_once(
    programs: Programs, origin: Origin, tmux: Tmux
) -> None:
    _, port = await programs.server()
    here, url = Address(port, "app.localhost"), f"http://app.localhost:{port}"
    tmux.type("clear; " + " ".join(client_command(origin.port, port)))
    tmux.press("Enter")
    await tmux.until(lambda screen: "0 requests" in screen[-1])
    await many_requests(here, 5)
    for columns in (50, 90, 60, 80):
        tmux.resize(columns, 24)
        await many_requests(here, 1)
        await tmux.until(lambda screen, width=columns: on_screen_once(screen, width, url))  # type: ignore[misc]  # bound now
    requests = [line for line in tmux.lines if " GET  /?n=" in line]
    assert len(requests) == 9
    tmux.press("C-c")
    screen = await tmux.until(lambda screen: "stopped by the user" in "".join(screen[-3:]))
    assert not any(row.startswith("-----") for row in screen)


@pytest.mark.needs("tmux")
@pytest.mark.timeout(120)
async def test_after_ctrl_z_and_fg_the_footer_stands_below_what_the_shell_said(
    programs: Programs, origin: Origin, tmux: Tmux
) -> None:
    _, port = await programs.server()
    here, url = Address(port, "app.localhost"), f"http://app.localhost:{port}"
    tmux.type("clear; " + " ".join(client_command(origin.port, port)))
    tmux.press("Enter")
    await tmux.until(lambda screen: "0 requests" in screen[-1])
    tmux.press("C-z")
    await tmux.until(lambda screen: "Stopped" in "".join(screen))
    tmux.type("echo 'typed here'; fg")
    tmux.press("Enter")
    await tmux.until(lambda screen: "connected" in screen[-1])
    await many_requests(here, 1)
    await tmux.until(lambda screen: "1 request, 0 open" in screen[-1])
    lines = tmux.lines
    assert "typed here" in lines
    below = lines[lines.index("typed here") :]
    assert sum(url + " -> " in line for line in below) == 1
    assert any(" GET  /" in line for line in below)
