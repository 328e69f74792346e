"""A visitor writes fields in a proxy's name, before each proxy with its file of deploy/."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from benchmarks.programs import free_port
from tests.programs import Address, Programs
from tests.system.deploy_files import FRONTS, VISITOR, Kind, each
from tests.system.fronts import open_front, proxying, visited, write_certificates
from tests.system.origin import Origin
from tests.system.visitor import Fields, visit

# What a visitor says in each field: another address than its own.
SAID = "203.0.113.9"

# The table of docs/behind-a-proxy.md. The files set these, ...
SET = ("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto")
# ... and clear these: what other proxies set, ...
CLEARED = (
    *("X-Forwarded-Port", "X-Forwarded-Server", "X-Forwarded-Prefix", "X-Forwarded-By"),
    *("X-Forwarded-Scheme", "X-Forwarded-Ssl", "X-Forwarded-Client-Cert", "X-Forwarded-User"),
    *("X-Forwarded-Email", "X-Forwarded-Groups", "X-Forwarded-Preferred-Username"),
    *("X-Forwarded-Access-Token", "X-Real-IP", "Forwarded"),
)
# ... and what no server of ours looks at, but apps believe.
BELIEVED = (
    *("X-Client-IP", "Client-IP", "True-Client-IP", "CF-Connecting-IP", "Fastly-Client-IP"),
    *("X-Cluster-Client-IP", "Proxy", "X-Sendfile-Type", "X-Accel-Mapping"),
)
# Names and spellings without end: tunnel-server drops them.
DROPPED = (
    *("X-Forwarded", "X-Forwarded-Anything", "X-ForwardedFor", "X-Forwarded_For"),
    *("X_Forwarded_For", "X.Forwarded.Host", "X~Forwarded~Proto", "X_Real_IP", "X.Real.IP"),
)

LISTED = "X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Proto"
CONNECTIONS: list[Fields] = [
    [("Connection", f"close, {LISTED}")],
    [("Connection", "keep-alive"), ("cONNECTION", f"x-fORWARDED-pROTO ,{LISTED.lower()}")],
    [("Connection", f"X-Forwarded-,{LISTED},X-Forwarded-Proto-X")],
]
# An app that does not agree to a WebSocket answers as to any other request.
UPGRADES: list[Fields] = [
    [("Connection", f"Upgrade, {LISTED}"), ("Upgrade", "websocket")],
    [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Forwarded", f"for={SAID}")],
]

TOLD = re.compile(r"a trusted proxy has sent ([^ ,]+)")


def twice(names: Iterable[str]) -> Fields:
    """Each of these as it is written by most, and once more in other letters."""
    return [(spelling, SAID) for name in names for spelling in (name, name.swapcase())]


async def asked(address: Address, fields: Fields) -> Fields:
    """What the app is asked with in the end, but for what is of its connection alone."""
    async with visit(address) as visitor:
        await visitor.request("/head", fields=fields)
        assert (await visitor.answer()).status == 200
        pairs = json.loads(b"".join([data async for data in visitor.body()]))
    return sorted((name, said) for name, said in pairs if name not in ("connection", "upgrade"))


@each({name: kind for name, kind in FRONTS.items() if kind.reads_http})
async def test_the_server_is_told_what_the_file_sets_and_nothing_by_visitors(
    tmp_path: Path, origin: Origin, kind: Kind
) -> None:
    port = free_port()
    write_certificates(tmp_path)
    async with proxying(kind, tmp_path, port, origin.port):  # the app in the server's place
        address = visited(kind, tmp_path, port)
        for fields in ([], twice((*SET, *CLEARED, *BELIEVED)), *CONNECTIONS, *UPGRADES):
            assert await asked(address, fields) == [
                ("host", address.authority),
                ("x-forwarded-for", VISITOR),
                ("x-forwarded-host", address.authority),
                ("x-forwarded-proto", "https"),
            ], fields


@each(FRONTS)
async def test_the_app_is_told_of_a_visitor_by_the_tunnel_alone(
    programs: Programs, origin: Origin, kind: Kind
) -> None:
    async with open_front(kind, programs, origin) as front:
        told = [
            ("forwarded", kind.forwarded(front.address.authority)),
            ("host", front.address.authority),
            ("tunnel-hops", "1"),
            ("x-forwarded-for", kind.chain),
            ("x-forwarded-host", front.address.authority),
            ("x-forwarded-port", str(front.address.port)),
            ("x-forwarded-proto", "https"),
        ]
        spoofed = twice((*SET, *CLEARED, *DROPPED))
        for fields in ([], spoofed, *CONNECTIONS):
            assert await asked(front.address, fields) == told, fields
        # Bytes pass HAProxy: there these are the visitor's own words, as without any proxy.
        passed = [] if kind.reads_http else [(name.lower(), said) for name, said in twice(BELIEVED)]
        assert await asked(front.address, twice(BELIEVED)) == sorted([*told, *passed])
        # No visitor makes the log advise to believe it.
        await front.server.stop()
        warned = set(TOLD.findall(front.server.stderr))
        assert warned.isdisjoint(name.lower() for name in (*SET, *CLEARED))


@each(FRONTS)
async def test_a_loop_is_noticed_through_a_proxy(
    programs: Programs, origin: Origin, kind: Kind
) -> None:
    """Tunnel-Hops is the one field about a request's way that has to pass."""
    async with open_front(kind, programs, origin) as front:
        assert ("tunnel-hops", "3") in await asked(front.address, [("Tunnel-Hops", "2")])
        async with visit(front.address) as visitor:
            await visitor.request("/head", fields=[("Tunnel-Hops", "3")])
            answer = await visitor.answer()
            assert (answer.status, answer.error) == (508, "loop-detected")
