from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.tools.watch import changed, concerned, times

FILES = {
    "protocol/names.py": "",
    "tunnel_server/visitors/edge.py": "from protocol.names import tunnel_key\n",
    "tests/edge_fakes.py": "from tunnel_server.visitors.edge import Edge\n",
    "tests/protocol/test_names.py": "from protocol.names import tunnel_key\n",
    "tests/tunnel_server/visitors/test_edge.py": "from tests.edge_fakes import World\n",
    "tests/tunnel_server/visitors/test_edge_clauses.py": "",
    "tests/tunnel_server/visitors/test_edges.py": "from protocol.namesake import x\n",
    "tests/tunnel_server/test_app.py": "from tunnel_server.visitors.edge import Edge\n",
    "tests/system/test_names.py": "from protocol.names import tunnel_key\n",
    "tests/e2e/app/node_modules/x/test_names.py": "",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, source in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(source)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "tests"),
    [
        ("protocol/names.py", ["tests/protocol/test_names.py"]),
        (
            "tunnel_server/visitors/edge.py",
            [
                "tests/tunnel_server/test_app.py",
                "tests/tunnel_server/visitors/test_edge.py",
                "tests/tunnel_server/visitors/test_edge_clauses.py",
            ],
        ),
        ("tests/edge_fakes.py", ["tests/tunnel_server/visitors/test_edge.py"]),
        ("tests/tunnel_server/test_app.py", ["tests/tunnel_server/test_app.py"]),
        ("tests/system/test_names.py", []),
    ],
)
def test_a_change_concerns_the_tests_named_after_it_and_those_that_import_it(
    root: Path, file: str, tests: list[str]
) -> None:
    assert concerned(root, [root / file]) == [root / test for test in tests]


def test_changed_is_what_is_new_or_was_written_anew(root: Path) -> None:
    before = times(root)
    assert len(before) == len(FILES) - 1  # without node_modules
    assert changed(before, times(root)) == set()
    new, old, gone = (root / f"protocol/{name}.py" for name in ("new", "names", "gone"))
    new.touch()
    os.utime(old, ns=(0, 1))
    before[gone] = 1
    assert changed(before, times(root)) == {new, old}
