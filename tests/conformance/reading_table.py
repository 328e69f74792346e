"""The rows of answer_readings, as curl, http.client, Go, nginx, HAProxy and Caddy read them.

Of a proxy it is what curl gets through it. `make references` writes the table.
"""

from __future__ import annotations

import platform
import subprocess
from functools import partial
from tempfile import TemporaryDirectory
from typing import Final

import trio

from tests.conformance.answer_readings import BEHIND, ROWS
from tests.needs import find
from tests.other_readers import (
    Reading,
    an_app_that_says,
    read_by_curl,
    read_by_http_client,
    read_here,
    say,
)

ANSWERS: Final = [row.answer + BEHIND for row in ROWS]
SHOWN_BYTES: Final = 6

Readings = list[Reading | None]

GO: Final = """
package main

import ("encoding/hex"; "fmt"; "io"; "net/http"; "os"; "strconv")

func main() {
    http.DefaultTransport.(*http.Transport).DisableKeepAlives = true
    count, _ := strconv.Atoi(os.Args[2])
    for n := 0; n < count; n++ {
        answer, err := http.Get(os.Args[1] + strconv.Itoa(n))
        if err != nil { fmt.Println(n); continue }
        body, err := io.ReadAll(answer.Body)
        if err != nil { fmt.Println(n); continue }
        fmt.Println(n, answer.StatusCode, hex.EncodeToString(body) + "-")
    }
}
"""


def here() -> Readings:
    return [read_here(answer) for answer in ANSWERS]


async def by_clients() -> dict[str, Readings]:
    """By name and version, of those that are installed."""
    found: dict[str, Readings] = {}
    async with an_app_that_says(ANSWERS) as port:
        if find("curl"):
            found[f"curl {_version('curl', '--version')}"] = await read_by_curl(port, len(ANSWERS))
        name = f"http.client {platform.python_version()}"
        found[name] = [read_by_http_client(answer)[0] for answer in ANSWERS]
        if find("go"):
            name = f"Go {_version('go', 'version').removeprefix('go')}"
            found[name] = await _by_go(port)
    return found


async def through_a_proxy(port: int, listener: trio.SocketListener) -> Readings:
    """Of the proxy at this port, with this listener as its app's."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(trio.serve_listeners, partial(say, ANSWERS), [listener]))
        readings = await read_by_curl(port, len(ANSWERS))
        nursery.cancel_scope.cancel()
    return readings


async def _by_go(port: int) -> Readings:
    with TemporaryDirectory() as folder:
        source = trio.Path(folder, "reader.go")
        await source.write_text(GO)
        done = await trio.run_process(
            ["go", "run", str(source), f"http://127.0.0.1:{port}/", str(len(ANSWERS))],
            capture_stdout=True,
        )
    lines = [line.split() for line in done.stdout.decode().splitlines()]
    return [_go_reading(*rest) for _, *rest in lines]


def _go_reading(status: str = "", body: str = "") -> Reading | None:
    return Reading(int(status), bytes.fromhex(body.rstrip("-"))) if status else None


def _version(program: str, flag: str) -> str:
    done = subprocess.run([program, flag], capture_output=True, text=True, check=True)
    return next(word for word in done.stdout.split() if word.lstrip("go")[:1].isdigit())


def reading_table(found: dict[str, Readings]) -> str:
    """Each row with its section, and what each program has read."""
    lines = [
        f"| an app writes | the RFC says | here | {' | '.join(found)} |",
        f"|---|---|---|{'---|' * len(found)}",
    ]
    for row, *readings in zip(ROWS, here(), *found.values(), strict=True):
        cells = " | ".join(map(_cell, readings))
        lines.append(f"| {row.name} | {row.section}: {row.said} | {cells} |")
    return "\n".join(lines) + "\n"


def _cell(reading: Reading | None) -> str:
    if reading is None or reading.status >= 500:
        return "refused"
    if not reading.body:
        return "empty"
    if BEHIND[:12] in reading.body:
        return "reads on"
    body = reading.body
    text = repr(body if len(body) <= SHOWN_BYTES else body[:SHOWN_BYTES])[2:-1]
    return f"`{text}`" if len(body) <= SHOWN_BYTES else f"`{text}`..."
