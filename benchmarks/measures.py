"""What is measured: each measure takes one route and gives readings for rows of the table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import trio

from benchmarks import usage, wrk
from benchmarks.native_programs import NativePrograms
from benchmarks.peers.route import Route

MIB = 1024 * 1024
MB = 1_000_000

MANY_STREAMS = 8
GET_CONNECTIONS = 32
ECHO_WEBSOCKETS = 64
IDLE_WEBSOCKETS = 500
WARM_UP_S = 2  # not counted: in that time node compiles what it runs often, and doubles its speed
SETTLE_S = 0.5  # for what a program still does after its last answer


@dataclass(frozen=True)
class Tools:
    """What the measures work with, and how long a load lasts."""

    native: NativePrograms
    seconds: int


@dataclass(frozen=True)
class Measure:
    name: str
    run: Callable[[Tools, Route], Awaitable[dict[str, float]]]
    websockets: int = 0  # open at once
    of_programs: bool = False  # there is nothing to read where a peer has no program


async def gets(tools: Tools, route: Route) -> dict[str, float]:
    await wrk.get(route, GET_CONNECTIONS, WARM_UP_S)
    before = cpu_of(route)
    result = await wrk.get(route, GET_CONNECTIONS, tools.seconds)
    thousands = result.requests / 1000
    spent = {name: (after - before[name]) / thousands for name, after in cpu_of(route).items()}
    found = {"gets": result.per_s} | {f"cpu {name}": cpu_s for name, cpu_s in spent.items()}
    return found | ({"cpu": sum(spent.values())} if spent else {})


async def latency(tools: Tools, route: Route) -> dict[str, float]:
    return {"latency": (await wrk.get(route, 1, tools.seconds)).p50_ms}


async def download(tools: Tools, route: Route) -> dict[str, float]:
    return await transfer("download", tools, route)


async def upload(tools: Tools, route: Route) -> dict[str, float]:
    return await transfer("upload", tools, route)


async def transfer(mode: str, tools: Tools, route: Route) -> dict[str, float]:
    return {
        f"{mode} {streams}": await tools.native.load(mode, route, streams, tools.seconds) / MB
        for streams in (1, MANY_STREAMS)
    }


async def websocket(tools: Tools, route: Route) -> dict[str, float]:
    before = cpu_of(route)
    per_s = await tools.native.load("echo", route, ECHO_WEBSOCKETS, tools.seconds)
    thousands = per_s * tools.seconds / 1000
    spent = [(after - before[name]) / thousands for name, after in cpu_of(route).items()]
    return {"websocket": per_s} | ({"websocket cpu": sum(spent)} if spent else {})


async def idle(tools: Tools, route: Route) -> dict[str, float]:
    """Before the loads: a program that has worked already takes memory that it has left."""
    before = memory_of(route)
    async with tools.native.idle_websockets(route, IDLE_WEBSOCKETS) as load:
        await load.line("held")
        await trio.sleep(SETTLE_S)
        after = memory_of(route)
    return {
        f"idle {name}": (after[name].resident_bytes - before[name].resident_bytes) / MIB
        for name in after
    }


def cpu_of(route: Route) -> dict[str, float]:
    return {name: usage.cpu_s(pid) for name, pid in route.programs.items()}


def memory_of(route: Route) -> dict[str, usage.Memory]:
    return {name: usage.memory(pid) for name, pid in route.programs.items()}


async def start(_tools: Tools, route: Route) -> dict[str, float]:
    """First in a round, when only the one GET of the check has been through."""
    memory = {f"start {name}": m.resident_bytes / MIB for name, m in memory_of(route).items()}
    return memory | {f"start cpu {name}": cpu_s for name, cpu_s in cpu_of(route).items()}


async def peak(_tools: Tools, route: Route) -> dict[str, float]:
    """Last in a round, so it covers all the other measures."""
    return {f"peak {name}": m.peak_bytes / MIB for name, m in memory_of(route).items()}


# In the order in which a round takes them.
MEASURES = (
    Measure("start", start, of_programs=True),
    Measure("idle", idle, websockets=IDLE_WEBSOCKETS, of_programs=True),
    Measure("gets", gets),
    Measure("latency", latency),
    Measure("download", download),
    Measure("upload", upload),
    Measure("websocket", websocket, websockets=ECHO_WEBSOCKETS),
    Measure("peak", peak, of_programs=True),
)
