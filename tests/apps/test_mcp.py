"""An MCP server, and a client that reaches nothing but the tunnel: both of the Python SDK."""

from __future__ import annotations

import json

import pytest
import trio

from tests.apps.environments import HERE, environment
from tests.e2e.browser import foreign_tunnel
from tests.e2e.dev_servers import dev_server, free_port
from tests.patience import PATIENCE
from tests.programs import Programs

APP = HERE / "mcp-app"
CLIENT_S = 60 * PATIENCE


@pytest.mark.timeout(600)  # the first one installs the SDK
async def test_a_client_finds_where_tokens_are_to_be_had_and_uses_a_tool(
    programs: Programs,
) -> None:
    python = str(await environment("mcp") / "python")
    async with dev_server(APP, python, "server.py", str(free_port())) as port:
        tunnel = await foreign_tunnel(programs, port)
        origin = f"http://{tunnel.address.authority}"
        with trio.fail_after(CLIENT_S):
            done = await trio.run_process(
                [python, "client.py", origin], cwd=APP, capture_stdout=True
            )
    assert json.loads(done.stdout) == {
        "refused": 401,
        "metadata": f"{origin}/.well-known/oauth-protected-resource/mcp",
        "found": 200,
        "tools": ["add"],
        "sum": {"result": 3},
    }
