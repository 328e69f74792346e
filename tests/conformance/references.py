"""nginx, HAProxy and Caddy go through all cases, and the tables of where they differ.

`make references` runs those that are installed, in some minutes, writes the parts of
docs/conformance.md between its markers, and prints for each difference the step and the bytes.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

import trio

from tests.conformance import http_cases, websocket_cases
from tests.conformance.beside_h11 import rows
from tests.conformance.reading_table import by_clients, reading_table, through_a_proxy
from tests.conformance.websocket_player import Differs, Player
from tests.conformance.websocket_script import Case
from tests.conformance.websocket_ways import LoopbackWay, listen
from tests.needs import find
from tests.other_readers import Reading

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "conformance.md"
BEGIN: Final = "<!-- make references writes this: %s -->\n"
END: Final = "<!-- to here -->\n"

Groups = dict[str, list[Case]]

START_S: Final = 10.0
# A proxy that does what the script waits for does it in milliseconds.
STEP_S: Final = 1.0

NGINX: Final = """
daemon off; master_process off; pid nginx.pid; error_log stderr crit;
events {{ }}
http {{
    access_log off;
    client_body_temp_path temp; proxy_temp_path temp;
    fastcgi_temp_path temp; uwsgi_temp_path temp; scgi_temp_path temp;
    map $http_upgrade $connection_field {{ default upgrade; "" close; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{app}; proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_field;
        }}
    }}
}}
"""
HAPROXY: Final = """
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout tunnel 1h
frontend public
    bind 127.0.0.1:{port}
    default_backend app
backend app
    http-reuse never
    server app 127.0.0.1:{app}
"""
CADDY: Final = """
{{
    admin off
    auto_https off
}}
http://:{port} {{
    bind 127.0.0.1
    reverse_proxy 127.0.0.1:{app} {{
        transport http {{
            compression off
            keepalive off
        }}
    }}
}}
"""


class Reference(NamedTuple):
    """A proxy: its program, its configuration, how it is started and how it tells its version."""

    name: str
    program: str
    config: str
    arguments: tuple[str, ...]
    version: tuple[str, ...]


REFERENCES: Final = (
    Reference("nginx", "nginx", NGINX, ("-p", ".", "-e", "stderr", "-c", "config"), ("-v",)),
    Reference("HAProxy", "haproxy", HAPROXY, ("-db", "-f", "config"), ("-v",)),
    Reference(
        "Caddy",
        "caddy",
        CADDY,
        ("run", "--config", "config", "--adapter", "caddyfile"),
        ("version",),
    ),
)


@asynccontextmanager
async def through(reference: Reference) -> AsyncIterator[LoopbackWay]:
    """The proxy, from a port to an app's listener; both on 127.0.0.1."""
    program = find(reference.program)
    assert program is not None
    listener, app = await listen()
    port = free_port()
    async with listener:
        with TemporaryDirectory() as folder:
            (Path(folder) / "config").write_text(reference.config.format(port=port, app=app))
            process = await trio.lowlevel.open_process(
                [program, *reference.arguments],
                cwd=folder,
                env={"HOME": folder},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                await listening(port)
                yield LoopbackWay(port, listener, exact=False)
            finally:
                process.terminate()
                with trio.move_on_after(START_S, shield=True):
                    await process.wait()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


async def listening(port: int) -> None:
    """Nothing else tells when another's program is ready."""
    with trio.fail_after(START_S):
        while True:
            try:
                await (await trio.open_tcp_stream("127.0.0.1", port)).aclose()
            except OSError:
                await trio.sleep(0.05)
            else:
                return


async def differences(reference: Reference, cases: list[Case]) -> dict[str, str]:
    """By the case's name, the first step that goes otherwise."""
    found: dict[str, str] = {}
    async with through(reference) as way:
        for case in cases:
            try:
                await Player(way, STEP_S).play(case.script)
            except Differs as error:
                found[case.name] = str(error)
                await way.drain()
    return found


def version_of(reference: Reference) -> str:
    done = subprocess.run(
        [reference.program, *reference.version], capture_output=True, text=True, check=True
    )
    words = (done.stdout + done.stderr).replace("/", " ").split()
    return next(word for word in words if word[0].isdigit() or word[:2] == "v2")


def table(groups: Groups, found: dict[str, dict[str, str]]) -> str:
    """For each group how many cases go as they do here, and below it those that do not."""
    lines = [
        f"| cases about | number | {' | '.join(found)} |",
        f"|---|---|{'---|' * len(found)}",
    ]
    for group, cases in groups.items():
        counts = [str(sum(case.name not in of_one for case in cases)) for of_one in found.values()]
        lines.append(f"| {group} | {len(cases)} | {' | '.join(counts)} |")
    lines += ["", "Those that go otherwise, and where:"]
    for group, cases in groups.items():
        lines += others(group, cases, found)
    return "\n".join(lines) + "\n"


def others(group: str, cases: list[Case], found: dict[str, dict[str, str]]) -> list[str]:
    """The group's cases that go otherwise, by the proxies in which they do."""
    by_proxies: dict[str, list[str]] = {}
    for case in cases:
        names = [name.split(" ")[0] for name, of_one in found.items() if case.name in of_one]
        if names:
            by_proxies.setdefault(", ".join(names), []).append(case.name)
    rows = [f"* {names}: {'; '.join(which)}" for names, which in by_proxies.items()]
    return ["", f"**{group}**", "", *rows] if rows else []


async def main() -> None:
    write("beside h11", rows())
    write("readings", reading_table(await readings()))
    for part, groups in (("HTTP", http_cases.GROUPS), ("WebSocket", websocket_cases.GROUPS)):
        write(part, table(groups, await all_differences(groups)))


async def readings() -> dict[str, list[Reading | None]]:
    """Of the clients and the proxies that are installed."""
    found = await by_clients()
    for reference in REFERENCES:
        if find(reference.program):
            async with through(reference) as way:
                name = f"{reference.name} {version_of(reference)}"
                found[name] = await through_a_proxy(way.port, way.listener)
    return found


async def all_differences(groups: Groups) -> dict[str, dict[str, str]]:
    """Of each reference that is installed; each is printed as well."""
    every = [case for cases in groups.values() for case in cases]
    found: dict[str, dict[str, str]] = {}
    for reference in REFERENCES:
        if find(reference.program):
            name = f"{reference.name} {version_of(reference)}"
            found[name] = await differences(reference, every)
            for case, why in found[name].items():
                print(f"{reference.name}: {case}: {why}")
    return found


def write(part: str, text: str) -> None:
    """Put it between the part's markers."""
    whole = DOCUMENT.read_text()
    begin = BEGIN % part
    before, _, rest = whole.partition(begin)
    assert rest, f"no marker for {part}"
    DOCUMENT.write_text(before + begin + text + END + rest.partition(END)[2])


if __name__ == "__main__":
    trio.run(main)
