"""The demo with stand-ins for the three programs; the real ones are run in tests/system."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import trio
import trio.testing

from examples import demo
from examples.demo import Place, Programs
from tunnel_client.observing.footer import Footer
from tunnel_client.observing.lines import PlainLines
from tunnel_client.observing.output import ClientOutput
from tunnel_client.observing.screen import Screen

READY = {"event": "ready", "url": "http://a.localhost:1", "name": "a", "server": "x"}
REQUEST = {
    "event": "request",
    "id": 1,
    "method": "GET",
    "path": "/x",
    "status": 200,
    "bytes_in": 0,
    "bytes_out": 5,
    "ms": 1.4,
    "error": None,
    "open_streams": 0,
}


def stand_in(log: Path, name: str, *lines: str, then: str = "signal.pause()") -> tuple[str, ...]:
    """A program that notes how it was called and how it ended, prints lines, and waits."""
    code = f"""
import os, signal, sys
assert os.getsid(0) == os.getpid(), "a Ctrl-C would reach this program too"
log = open({str(log)!r}, "a", buffering=1)
def stop(*_):
    log.write("{name} stopped\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
log.write("{name} " + " ".join(sys.argv[1:]) + "\\n")
sys.stdout.write({"".join(line + chr(10) for line in lines)!r})
sys.stdout.flush()
{then}
"""
    return (sys.executable, "-S", "-c", code)


def programs(log: Path, **changed: tuple[str, ...]) -> Programs:
    usual = Programs(
        server=stand_in(log, "server", json.dumps({"event": "listening"})),
        app=stand_in(log, "app", "demo app on http://127.0.0.1:3001 (3000 is taken)"),
        client=stand_in(log, "client", json.dumps(READY), json.dumps(REQUEST)),
    )
    return usual._replace(**changed)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def noted(log: Path) -> list[str]:
    return log.read_text().splitlines()


async def run_until(
    said: str | tuple[str, ...], target: str | None, programs: Programs
) -> tuple[int, list[str]]:
    """Run the demo, with a Ctrl-C once each of these was said; exit code and all it said."""
    lines: list[str] = []
    awaited = [said] if isinstance(said, str) else list(said)

    def say(line: str) -> None:
        lines.append(line)
        if awaited and awaited[0] in line:
            awaited.pop(0)
            signal.raise_signal(signal.SIGINT)

    return await demo.run(target, programs, say), lines


async def test_everything_is_started_and_stopped_in_order(log: Path) -> None:
    code, lines = await run_until("GET  /x", None, programs(log))
    assert code == 0
    assert "demo app on http://127.0.0.1:3001 (3000 is taken)" in lines
    assert "  Public URL   http://a.localhost:1" in lines
    assert "  leads to     http://127.0.0.1:3001" in lines
    assert lines[-1].endswith(" 200 GET  /x  5 B  1 ms")
    server, app, client, *ends = noted(log)
    bind = server.split()[2]
    assert server == f"server --bind {bind} --json --log-level warning"
    assert bind.startswith("127.0.0.1:")
    assert app == "app 3000"
    assert client == f"client http http://127.0.0.1:3001 --server http://{bind} --json"
    assert ends == ["client stopped", "app stopped", "server stopped"]


async def test_target_is_shared_instead_of_the_demo_app(log: Path) -> None:
    _, lines = await run_until("GET  /x", "https://localhost:8443", programs(log))
    assert "  leads to     https://localhost:8443" in lines
    assert "app" not in "".join(noted(log))
    assert noted(log)[1].startswith("client http https://localhost:8443 --server ")


async def test_an_app_is_named_by_its_url_and_it_is_said_that_nobody_listens(log: Path) -> None:
    down = {"event": "origin_down", "why": "nothing listens there", "wait_s": 3.0}
    client = stand_in(log, "client", json.dumps(READY), json.dumps(down))
    _, lines = await run_until("nothing listens", "5999", programs(log, client=client))
    assert "  leads to     http://localhost:5999" in lines
    assert lines[-1].endswith(" nothing listens there; requests wait for it, 3 s each")


async def test_a_target_that_is_none_is_told_as_the_client_tells_it(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _ = await run_until("never", "ftp://x", programs(log))
    assert code == 1
    assert "only http and https apps can be shared" in capsys.readouterr().err
    assert not has_started(log, "client")


async def test_taken_port_gives_the_next_free_one_and_says_so(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(demo, "SERVER_PORT", port)
        _, lines = await run_until("GET  /x", "3000", programs(log))
    found = int(lines[0].removeprefix(f"port {port} is taken: tunnel-server listens on "))
    assert port < found < port + demo.PORTS_TRIED
    assert noted(log)[0] == f"server --bind 127.0.0.1:{found} --json --log-level warning"


def test_port_is_free_only_on_both_addresses_of_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no ::1")
    with listener:
        port = listener.getsockname()[1]
        assert demo.free_port(port) > port
        monkeypatch.setattr(demo, "PORTS_TRIED", 1)
        with pytest.raises(demo.DemoError, match="are taken"):
            demo.free_port(port)


@pytest.mark.parametrize(
    ("which", "name"),
    [("server", "tunnel-server"), ("app", "the demo app"), ("client", "tunnel-client")],
)
@pytest.mark.parametrize("lines", [[], ["ready"]])
async def test_program_that_ends_ends_the_demo(
    log: Path, which: str, name: str, lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    usual = {
        "server": json.dumps({"event": "listening"}),
        "app": "demo app on http://127.0.0.1:3001",
        "client": json.dumps(READY),
    }
    broken = stand_in(log, which, *([usual[which]] if lines else []), then="sys.exit(7)")
    code, _ = await run_until("never said", None, programs(log, **{which: broken}))
    assert code == 1
    assert capsys.readouterr().err == f"demo: {name} has ended, with exit code 7\n"
    started = [line.split()[0] for line in noted(log)]
    assert sorted(started) == sorted([which, *(2 * [p for p in set(started) if p != which])])


async def test_program_that_does_not_stop_is_killed(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "STOP_TIMEOUT_S", 0.05)
    stubborn = "signal.signal(signal.SIGTERM, lambda *_: None)\nwhile True: signal.pause()"
    client = stand_in(log, "client", json.dumps(READY), json.dumps(REQUEST), then=stubborn)
    code, _ = await run_until("GET  /x", None, programs(log, client=client))
    assert code == 0
    assert noted(log)[-2:] == ["app stopped", "server stopped"]


# A client that waits for what is under way, and does what is asked of it at its end.
WAITS = """
stops = 0
def stop(*_):
    global stops
    stops += 1
    log.write("client asked\\n")
    if stops == {enough}:
        print({stopped!r}, flush=True)
        sys.exit(0)
    print({stopping!r}, flush=True)
signal.signal(signal.SIGTERM, stop)
print({request!r}, flush=True)
while True:
    signal.pause()
"""
STOPPING = {
    "event": "stopping",
    "under_way": 2,
    "wait_s": 8.0,
    "method": "PUT",
    "path": "/u",
    "bytes_in": 5,
    "bytes_out": 0,
    "length_in": 9,
    "length_out": None,
    "ms": 1200.0,
}
STOPPED = {"event": "stopped", "reason": "stopped by the user, 2 requests cut off"}
NEVER = 99


def waiting_client(log: Path, enough: int) -> tuple[str, ...]:
    said = {"request": REQUEST, "stopping": STOPPING, "stopped": STOPPED}
    then = WAITS.format(enough=enough, **{name: json.dumps(event) for name, event in said.items()})
    return stand_in(log, "client", then=then)


async def test_a_second_interrupt_is_passed_on_and_what_the_client_says_is_told(log: Path) -> None:
    client = waiting_client(log, 2)
    said = (" GET  /x ", "stopping")
    code, lines = await run_until(said, None, programs(log, client=client))
    assert code == 0
    stopping, stopped = (line.partition(" ")[2] for line in lines[-2:])
    assert stopping.startswith("stopping: up to 8 s for 2 requests; the oldest is PUT /u, ")
    assert stopping.endswith(". Ctrl-C again ends it now")
    assert stopped == "stopped by the user, 2 requests cut off"
    # All that run are asked at the second one, and each in its turn.
    assert sorted(noted(log)[3:]) == sorted(
        [*2 * ["client asked"], "app stopped", "server stopped"]
    )


async def test_a_third_interrupt_kills_what_still_runs(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "STOP_TIMEOUT_S", 600.0)
    client = waiting_client(log, NEVER)
    code, lines = await run_until(
        (" GET  /x ", "stopping", "stopping"), None, programs(log, client=client)
    )
    assert code == 0
    assert len([line for line in lines if " stopping: " in line]) == 2
    assert noted(log).count("client asked") == 2


def has_started(log: Path, which: str) -> bool:
    return log.exists() and f"{which} " in log.read_text()


@pytest.mark.parametrize("which", ["server", "app", "client"])
async def test_three_interrupts_end_the_demo_whatever_hangs(
    log: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    """Also a program that hangs as it starts, and says nothing."""
    monkeypatch.setattr(demo, "STOP_TIMEOUT_S", 600.0)
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: signal.pause()"
    hangs = programs(log, **{which: stand_in(log, which, then=deaf)})
    async with trio.open_nursery() as nursery:

        async def interrupt() -> None:
            while True:
                if has_started(log, which):
                    break
                await trio.sleep(0.01)
            for _ in range(3):
                signal.raise_signal(signal.SIGINT)
                await trio.testing.wait_all_tasks_blocked()

        nursery.start_soon(interrupt)
        assert await demo.run(None, hangs, lambda line: None) == 0


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_the_program_without_a_traceback(log: Path, stop: signal.Signals) -> None:
    code = f"""
import sys, trio
sys.path.insert(0, {str(Path(demo.__file__).parent.parent)!r})
from examples import demo
sys.exit(trio.run(demo.run, "3000", demo.Programs(*{tuple(programs(log))!r})))
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=-1, stderr=-1) as process:
        assert process.stdout is not None
        while b"GET  /x" not in process.stdout.readline():
            pass
        process.send_signal(stop)
        rest, error = process.communicate()
    assert (rest, error, process.returncode) == (b"", b"", 0)
    assert noted(log)[2:] == ["client stopped", "server stopped"]


async def test_the_clients_events_are_told_as_the_client_tells_them(log: Path) -> None:
    told = (
        READY,
        {"event": "opened", "id": 1, "kind": "http", "method": "GET", "path": "/", "visitor": "x"},
        {"event": "reconnecting", "attempt": 1, "wait_s": 0.51, "reason": "it is down"},
        {"event": "resumed", "away_s": 1.5},
        {"event": "something new"},
        REQUEST | {"path": "/\x1b[2J\n", "status": None, "error": "nothing\u202e listens"},
    )
    client = stand_in(log, "client", *map(json.dumps, told))
    _, lines = await run_until("GET  /", "3000", programs(log, client=client))
    assert "  Public URL   http://a.localhost:1" in lines
    *_, reconnecting, resumed, request = (line.partition(" ")[2] for line in lines)
    assert reconnecting == "it is down; trying again in 0.5 s (attempt 1), until it works"
    assert resumed == "resumed after 1.5 s; nothing was lost"
    assert request.isprintable()
    assert request == r"    GET  /\x1b[2J\n  failed after 1 ms: nothing\u202e listens"


def test_in_the_network_it_has_a_token_of_its_own(tmp_path: Path) -> None:
    place = demo.in_lan("192.168.1.5", tmp_path, demo.PROGRAMS.server)
    assert place.address == "192.168.1.5"
    assert place.server_flags[:4] == ("--domain", "192-168-1-5.nip.io", "--log-level", "error")
    assert "belongs to somebody else" in place.note
    token_file = Path(place.client_flags[place.client_flags.index("--token-file") + 1])
    assert token_file.read_text().startswith("tt_")
    assert token_file.stat().st_mode & 0o077 == 0
    with pytest.raises(demo.DemoError, match="no token could be made"):
        demo.in_lan("192.168.1.5", tmp_path, (sys.executable, "-c", "raise SystemExit(1)"))


async def test_in_the_network_both_programs_are_told_so(log: Path) -> None:
    place = Place("127.0.0.2", ("--domain", "x"), ("--insecure-server",), "a note")
    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        if "GET  /x" in line:
            signal.raise_signal(signal.SIGINT)

    assert await demo.run("3000", programs(log), say, place) == 0
    assert lines[0] == "a note"
    server, client, *_ = noted(log)
    assert server.startswith("server --bind 127.0.0.2:")
    assert server.endswith(" --json --domain x")
    assert client.startswith("client http 3000 --server http://127.0.0.2:")
    assert client.endswith(" --json --insecure-server")


def test_without_a_network_there_is_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "ELSEWHERE", ("127.0.0.1", 9))
    with pytest.raises(demo.DemoError, match="it knows itself alone"):
        demo.lan_address()


@pytest.mark.parametrize("arguments", [["--help"], ["3000", "4000"], ["--lan", "--lan"]])
def test_bad_usage_is_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main(arguments) == 2
    assert capsys.readouterr().err == "usage: python examples/demo.py [--lan] [TARGET]\n"


async def test_what_the_programs_log_goes_above_the_footer(
    monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery
) -> None:
    written: list[bytes] = []
    screen = Screen(written.append, lambda: os.terminal_size((80, 24)), lambda: True)
    output = ClientOutput(PlainLines("x"), screen, Footer("x"), screen.log)
    monkeypatch.setattr(demo, "output_for", lambda chosen, environ, inspector=None: output)
    telling = demo.Telling(demo.say_at_once, nursery)
    assert telling.log is not None
    async with telling:
        tell = telling.of("x", None)
        tell(json.dumps(READY))
        for number, method in enumerate(("opened", "opened", "request")):
            tell(
                json.dumps(
                    {**REQUEST, "event": method, "id": number, "kind": "http", "visitor": "x"}
                )
            )
        while b"2 requests, " not in b"".join(written):
            await trio.testing.wait_all_tasks_blocked(0.01)
        os.write(telling.log, b"a rec")
        os.write(telling.log, b"ord\nhalf a line")
    said = b"".join(written)
    assert b"a record\n" in said
    assert b"half a line\n" in said
