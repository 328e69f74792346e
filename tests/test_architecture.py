"""The import rules of the project, read from the source.

An import counts wherever it stands: at the top, inside a function, under TYPE_CHECKING. In each
case a reader has to know the other module. Where only a type would need a circle or a driver, say
it with a Protocol or move it down.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# folder -> the folders whose modules it may import
MAY_IMPORT = {
    "protocol": {"protocol"},
    "tunnel_server": {"protocol", "tunnel_server"},
    "tunnel_client": {"protocol", "tunnel_client"},
}
OURS = {*MAY_IMPORT, "tests", "benchmarks", "examples"}

# The modules of protocol/ that run tasks. All others there are plain, every __init__ included, so
# no package hands out a driver's names.
DRIVERS = {
    "protocol.drivers.latch",
    "protocol.drivers.transport",
    "protocol.drivers.stream",
    "protocol.drivers.attachment",
    "protocol.drivers.session",
    "protocol.drivers.sockets",
    "protocol.drivers.tcp",
    "protocol.program.process",
}

# A plain module is given bytes, the time and random numbers, and asks nobody for them.
NOT_PLAIN = {
    *("trio", "trio_websocket", "asyncio", "threading", "socket", "ssl", "select", "selectors"),
    *("os", "subprocess", "signal", "time", "random", "secrets", "importlib"),
}


def imported_names(source: str, modules: set[str]) -> set[str]:
    """The modules that a source imports, relative ones with their dots."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            members = (f"{base}.{alias.name}" for alias in node.names)
            names.update(member if member in modules else base for member in members)
    return names


def forbidden(module: str, names: set[str]) -> set[str]:
    top = module.partition(".")[0]
    plain = top == "protocol" and module not in DRIVERS
    return {
        name
        for name in names
        if name.startswith(".")
        or name.partition(".")[0] in OURS - MAY_IMPORT[top]
        or (plain and (name in DRIVERS or name.partition(".")[0] in NOT_PLAIN))
    }


def violations(sources: Mapping[str, str]) -> list[str]:
    modules = sources.keys() | DRIVERS
    graph = {module: imported_names(source, modules) for module, source in sources.items()}
    found = [
        f"{module} imports {name}"
        for module, names in graph.items()
        for name in sorted(forbidden(module, names))
    ]
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found.append("circle: " + " <- ".join(error.args[1]))
    return found


def test_project_keeps_the_rules() -> None:
    sources = {}
    for top in MAY_IMPORT:
        for path in (ROOT / top).rglob("*.py"):
            assert (path.parent / "__init__.py").exists(), f"{path.parent} is not installed"
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            sources[name.removesuffix(".__init__")] = path.read_text()
    assert sources.keys() >= MAY_IMPORT.keys()
    found = violations(sources)
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("module", "statement"),
    [
        ("protocol.drivers.session", "import tunnel_server"),
        ("protocol.drivers.stream", "from tunnel_client.uplink.agent import Agent"),
        ("tunnel_server.app", "from tunnel_client import agent"),
        ("tunnel_client.uplink.agent", "import tunnel_server.tunnels.registry as registry"),
        ("tunnel_client.uplink.agent", "from tests.needs import needs"),
        ("protocol.mux.core", "import protocol.drivers.session"),
        ("protocol.mux.core", "from protocol.drivers import session"),
        ("protocol.http.http1", "from protocol.drivers.transport import Transport"),
        ("protocol.mux", "from protocol.drivers.session import Session"),
        ("protocol", "from protocol.drivers.stream import TunnelStream"),
        ("protocol.mux.core", "from . import wire"),
        ("protocol.mux.core", "from ..mux import wire"),
        ("protocol.mux.core", "import protocol.mux.core"),
        *(("protocol.mux.wire", f"import {name}") for name in sorted(NOT_PLAIN)),
        ("protocol.mux.wire", "from os import urandom"),
        ("protocol.mux.wire", "import os.path"),
        ("protocol.mux.wire", "from trio.lowlevel import checkpoint"),
    ],
)
@pytest.mark.parametrize("place", ["", "def f():\n    ", "if TYPE_CHECKING:\n    "])
def test_forbidden_import_is_found(module: str, statement: str, place: str) -> None:
    assert violations({module: place + statement})


@pytest.mark.parametrize("place", ["", "def f():\n    ", "if TYPE_CHECKING:\n    "])
def test_circle_is_found(place: str) -> None:
    sources = {
        "protocol.mux.core": "from protocol.mux import streams",
        "protocol.mux.streams": "from protocol.mux.windows import Window",
        "protocol.mux.windows": place + "import protocol.mux.core",
    }
    assert [v.partition(":")[0] for v in violations(sources)] == ["circle"]


def test_allowed_imports_pass() -> None:
    sources = {
        "protocol": "",
        "protocol.mux": "from protocol.mux.core import Core",
        "protocol.mux.core": "import struct\nimport h11\nfrom protocol.mux import wire",
        "protocol.mux.wire": "from protocol import VERSION",
        "protocol.drivers.session": "import trio\nfrom protocol.mux import core, transport",
        "protocol.drivers.transport": "import trio_websocket",
        "tunnel_server.app": "import os, trio\nfrom protocol.drivers.session import Session",
    }
    assert violations(sources) == []
