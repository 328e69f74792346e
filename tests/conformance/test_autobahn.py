"""The Autobahn cases through the tunnel end as they do without it.

kosoku (PyPI) runs the cases of the Autobahn test suite, which itself needs Python 2. It is the
fuzzing client here, against one echo server: directly, then through the tunnel. Each case must
have the same verdict twice, on the messages and on the close.

Cases 1 to 7 and 10 run by default. AUTOBAHN_CASES names others: those of `make conformance`, 9, 12
and 13, take a quarter of an hour.
"""

from __future__ import annotations

import json
import os
from fnmatch import filter as matching
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.conformance.autobahn.echo_server import echo
from tests.conformance.autobahn.rename_host import serve_renamed
from tests.needs import needs
from tests.programs import Address, open_programs

CASES = os.environ.get("AUTOBAHN_CASES", "1.* 2.* 3.* 4.* 5.* 6.* 7.* 10.*").split()
LIMIT_S = 3600 if "AUTOBAHN_CASES" in os.environ else 240

Verdicts = dict[str, tuple[str, str]]


async def verdicts(address: Address, folder: Path) -> Verdicts:
    """Behaviour and closing behaviour of the server at this address, by case."""
    (kosoku,) = needs("kosoku")
    cases = [argument for case in CASES for argument in ("--include", case)]
    async with trio.open_nursery() as nursery:
        port = await serve_renamed(address, nursery)
        # It ends with 1 when a case fails, also one that fails without the tunnel.
        await trio.run_process(
            [kosoku, f"ws://127.0.0.1:{port}", *cases, "--outdir", str(folder)], check=False
        )
        nursery.cancel_scope.cancel()
    (report,) = json.loads((folder / "index.json").read_text()).values()
    return {case: (v["behavior"], v["behaviorClose"]) for case, v in report.items()}


@pytest.mark.timeout(LIMIT_S)
@pytest.mark.needs("kosoku")
async def test_every_case_ends_as_it_does_without_the_tunnel(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    listeners = await nursery.start(partial(trio.serve_tcp, echo, 0, host="127.0.0.1"))
    port: int = listeners[0].socket.getsockname()[1]
    direct = await verdicts(Address(port, "localhost"), tmp_path / "direct")
    assert [pattern for pattern in CASES if not matching(list(direct), pattern)] == []
    assert "FAILED" not in {behaviour for behaviour, _ in direct.values()}  # the suite works
    async with open_programs(tmp_path) as programs:
        tunnel = await programs.tunnel(port)
        through = await verdicts(tunnel.address, tmp_path / "through")
    different = {
        case: (direct[case], through[case]) for case in direct if through[case] != direct[case]
    }
    assert not different
