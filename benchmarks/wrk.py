"""wrk, the load for small GETs, and what it prints."""

from __future__ import annotations

import re
from dataclasses import dataclass

from benchmarks.peers.route import Route
from benchmarks.programs import BenchmarkError, output, path_of

GET_BYTES = 1024
GRACE_S = 15.0  # over the time asked for; wrk itself stops on time unless a connection hangs

UNIT_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True)
class WrkResult:
    requests: int
    per_s: float
    p50_ms: float


async def get(route: Route, connections: int, seconds: int) -> WrkResult:
    """Keep-alive GETs of GET_BYTES, as many as go.

    Raises BenchmarkError when one of them fails, or wrk does.
    """
    argv = [path_of("wrk"), "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    argv += ["-H", f"Host: {route.host}", f"http://127.0.0.1:{route.port}/bytes/{GET_BYTES}"]
    return parse(await output(argv, seconds + GRACE_S))


def parse(text: str) -> WrkResult:
    """Reads the report. Raises BenchmarkError when it names errors or is not a report."""
    if wrong := re.search(r"(Socket errors|Non-2xx or 3xx responses): .*", text):
        raise BenchmarkError(f"wrk: {wrong[0]}")
    requests = re.search(r"(\d+) requests in", text)
    per_s = re.search(r"Requests/sec:\s+([\d.]+)", text)
    p50 = re.search(r"^\s+50%\s+([\d.]+)(us|ms|s|m)$", text, re.MULTILINE)
    if not (requests and per_s and p50):
        raise BenchmarkError("wrk printed no report")
    return WrkResult(int(requests[1]), float(per_s[1]), float(p50[1]) * UNIT_MS[p50[2]])
