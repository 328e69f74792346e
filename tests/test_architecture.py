"""The import rules of the project, read from the source, and the maps of it.

An import counts wherever it stands: at the top, inside a function, under TYPE_CHECKING. In each
case a reader has to know the other module. Where only a type would need a circle or a driver, say
it with a Protocol or move it down.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ("tunnel_server", "tunnel_client")
PACKAGES = ("protocol", *PROGRAMS)
OURS = {*PACKAGES, "tests", "benchmarks", "examples"}

# Who may import whom: a wing -> the wings, or single modules, that it may import beside its own.
# All may import `protocol` itself, the `__init__`; the rooms of a program all of `protocol`; what
# stands beside the rooms (app, cli) everything below. Rooms that have nothing yet are listed, too,
# so that what comes finds its door: see TO_COME.
PROTOCOL_MAY_IMPORT = {
    "http": "errors limits",
    "mux": "http errors limits",
    "drivers": "mux http errors limits",
    "program": "errors limits names options",
}
SERVER_MAY_IMPORT = {
    "settings": "",
    "owners": "settings",
    "observing": "settings",
    "listening": "settings",
    "answers": "settings",
    "tunnels": "owners answers observing settings",
    "gates": "answers owners observing settings",
    "certificates": "tunnels owners observing settings",
    "cluster": "tunnels owners observing settings",
    "admin": "tunnels owners observing listening answers settings",
    "visitors": "gates tunnels owners answers observing settings",
}
CLIENT_MAY_IMPORT = {
    "settings": "",
    "observing": "",
    "identity": "settings",
    "uplink": "settings observing",  # and never origin: they meet in app
    "origin": "identity settings observing",  # and never uplink
    "inspector": "origin observing settings",
    "inspector.capture": "origin",
    "inspector.shown": "observing",
    # `heads` reads heads as they were captured, for all who show something.
    "inspector.exports": "inspector.capture inspector.shown inspector.web.heads",
    "inspector.comparing": "inspector.capture inspector.shown inspector.web.heads",
    "inspector.replaying": (
        "inspector.capture inspector.shown inspector.web.heads identity origin observing settings"
    ),
    "inspector.web": (
        "inspector.capture inspector.shown inspector.exports inspector.comparing"
        " inspector.replaying origin observing settings"
    ),
    "doctor": "origin uplink observing settings",
}
# Wings of the table without a folder yet; one that gets it leaves this list, and is held.
TO_COME = {
    *(f"tunnel_server.{wing}" for wing in ("certificates", "cluster")),
    "tunnel_client.doctor",
}
MAY_IMPORT = {
    f"{package}.{wing}": {f"{package}.{other}" for other in (wing, *others.split())}
    for package, table in (
        ("protocol", PROTOCOL_MAY_IMPORT),
        ("tunnel_server", SERVER_MAY_IMPORT),
        ("tunnel_client", CLIENT_MAY_IMPORT),
    )
    for wing, others in table.items()
}

# A plain module is given bytes, the time and random numbers, and asks nobody for them. All modules
# of protocol/ are plain, every __init__ included, but those of these two wings.
NOT_PLAIN_WINGS = ("protocol.drivers", "protocol.program")
NOT_PLAIN = {
    *("trio", "trio_websocket", "asyncio", "threading", "socket", "ssl", "select", "selectors"),
    *("os", "subprocess", "signal", "time", "random", "secrets", "importlib"),
}
# In protocol/program these alone may run tasks; the others serve the command line, too.
PROGRAM_ON_TRIO = (
    "protocol.program.observing",
    "protocol.program.process",
    "protocol.program.stop_signals",
)


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


def wing_of(module: str) -> str:
    """The wing that a module belongs to; its package's name where it stands beside the wings.

    A wing may have wings of its own, which stand in the table by themselves.
    """
    parts = module.split(".")
    for count in (3, 2):
        if (wing := ".".join(parts[:count])) in MAY_IMPORT:
            return wing
    return parts[0]


def is_plain(module: str) -> bool:
    return module.partition(".")[0] == "protocol" and wing_of(module) not in NOT_PLAIN_WINGS


def allowed(module: str, name: str) -> bool:
    """Whether a module may import this one of ours."""
    top, imported_top = module.partition(".")[0], name.partition(".")[0]
    if imported_top not in (top, "protocol"):
        return False
    if name == "protocol" or (top != imported_top):
        return True
    wing, imported_wing = wing_of(module), wing_of(name)
    if wing == top:  # app, cli; a plain module of protocol/ has only others beside it
        return top != "protocol" or imported_wing == top
    return imported_wing in MAY_IMPORT[wing] or name in MAY_IMPORT[wing]


def forbidden(module: str, names: set[str]) -> set[str]:
    outside = NOT_PLAIN if is_plain(module) else set()
    if wing_of(module) == "protocol.program" and module not in PROGRAM_ON_TRIO:
        outside = {"trio", "trio_websocket"}
    return {
        name
        for name in names
        if name.startswith(".")
        or name.partition(".")[0] in outside
        or (name.partition(".")[0] in OURS and not allowed(module, name))
    }


def violations(sources: Mapping[str, str]) -> list[str]:
    modules = sources.keys() | {"protocol.drivers.session"}
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


def sources_of_the_project() -> dict[str, str]:
    sources = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            assert (path.parent / "__init__.py").exists(), f"{path.parent} is not installed"
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            sources[name.removesuffix(".__init__")] = path.read_text()
    return sources


def test_project_keeps_the_rules() -> None:
    sources = sources_of_the_project()
    assert sources.keys() & MAY_IMPORT.keys() == MAY_IMPORT.keys() - TO_COME
    found = violations(sources)
    assert not found, "\n".join(found)


def test_table_names_no_wing_that_it_does_not_have() -> None:
    """A typo on the right would forbid what is meant, and one on the left would hold nothing."""
    for wing, others in MAY_IMPORT.items():
        unknown = others - MAY_IMPORT.keys() - sources_of_the_project().keys()
        assert not unknown, f"{wing}: {unknown}"
    assert MAY_IMPORT.keys() >= TO_COME


def test_programs_hold_rooms_and_nothing_else() -> None:
    for package in PROGRAMS:
        files = {path.name for path in (ROOT / package).iterdir() if path.is_file()}
        wings = {f"{package}.{path.name}" for path in (ROOT / package).iterdir() if path.is_dir()}
        beside = {"__init__.py", "__main__.py", "cli.py", "app.py", "py.typed"}
        assert files == beside
        assert {wing for wing in wings if not wing.endswith("__pycache__")} <= MAY_IMPORT.keys()


def test_the_wire_loads_nothing_of_the_command_line() -> None:
    """A program that uses `protocol` alone, as an inspector's would, pays for no settings."""
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, protocol.drivers.session; print(*sys.modules)"],
        capture_output=True,
        check=True,
        text=True,
        cwd=ROOT,
    ).stdout.split()
    assert "protocol.mux.core" in loaded
    assert not {"click", "typer", "platformdirs"} & set(loaded)
    assert not [name for name in loaded if name.startswith("protocol.program")]


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
        ("protocol.http.heads", "from protocol.mux.messages import Open"),
        ("protocol.mux.core", "from protocol.program.text import size"),
        ("protocol.drivers.session", "from protocol.program.text import size"),
        ("protocol.errors", "from protocol.http.fields import Fields"),
        ("protocol.program.settings", "import trio"),
        ("tunnel_server.settings.config", "from tunnel_server.owners import tokens"),
        ("tunnel_server.gates.chain", "from tunnel_server.tunnels.registry import Tunnel"),
        ("tunnel_server.tunnels.registry", "from tunnel_server.gates.chain import Gate"),
        ("tunnel_server.cluster.forwarding", "from tunnel_server.visitors.edge import Edge"),
        ("tunnel_client.inspector.web", "from tunnel_client.uplink.agent import Agent"),
        ("tunnel_client.origin.tap", "from tunnel_client.inspector.capture import Capture"),
        ("tunnel_client.inspector.capture.tap", "import tunnel_client.inspector.shown.text"),
        ("tunnel_client.inspector.shown.text", "import tunnel_client.inspector.capture.tap"),
        ("tunnel_server.tunnels.control", "from tunnel_server.visitors.edge import Edge"),
        ("tunnel_server.visitors.edge", "from tunnel_server.app import run"),
        ("tunnel_client.uplink.agent", "from tunnel_client.origin.dispatch import Dispatcher"),
        ("tunnel_client.origin.dispatch", "from tunnel_client.uplink import agent"),
        ("tunnel_client.settings.values", "from tunnel_client.identity.rewriting import Mode"),
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
        "protocol.program.process": "import trio, os\nfrom protocol.errors import TunnelError",
        "tunnel_server.visitors.edge": "from tunnel_server.tunnels import registry",
        "tunnel_server.visitors.requests": "from tunnel_server.gates.chain import Gate",
        "tunnel_client.doctor.checks": "from tunnel_client.uplink import connect",
        "tunnel_server.app": "import os, trio\nfrom tunnel_server.visitors.edge import Edge",
    }
    assert violations(sources) == []


# --- maps: what a reader is told is there is there, and nothing else ---

ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text()


def modules_in(package: str) -> set[str]:
    """The names of the modules and folders right in a package."""
    paths = [*(ROOT / package).glob("*.py"), *(ROOT / package).glob("*/__init__.py")]
    names = {path.parent.name if path.name == "__init__.py" else path.stem for path in paths}
    return names - {Path(package).name}


def map_of_the_house() -> dict[str, set[str]]:
    """The folders that ARCHITECTURE.md's map names, and the modules that it names in each."""
    text = ARCHITECTURE.partition("## The house")[2].split("```")[1]
    found: dict[str, set[str]] = {}
    package = folder = ""
    for word in text.split():
        if not word.endswith("/"):
            found[folder].add(word)
            continue
        name = word.removesuffix("/")
        package, folder = (name, name) if name in PACKAGES else (package, f"{package}/{name}")
        found[folder] = set()
    return found


def test_architecture_names_every_module() -> None:
    inits = [path for package in PACKAGES for path in (ROOT / package).rglob("__init__.py")]
    folders = {str(path.parent.relative_to(ROOT)) for path in inits}
    found = map_of_the_house()
    assert found.keys() == folders
    for folder in folders:
        names = {name for name in modules_in(folder) if not (ROOT / folder / name).is_dir()}
        assert found[folder] == names, folder


@pytest.mark.parametrize("package", ["protocol", "protocol/mux"])
def test_package_names_every_module_of_its_own(package: str) -> None:
    docstring = ast.get_docstring(ast.parse((ROOT / package / "__init__.py").read_text())) or ""
    prefix = package.replace("/", ".") + "."
    named = {name.removeprefix(prefix) for name in re.findall(r"`([\w.]+)`", docstring)}
    assert {name for name in named if "." not in name} == modules_in(package)
