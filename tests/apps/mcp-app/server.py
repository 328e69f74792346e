"""An MCP server of the Python SDK, which wants a token: server.py PORT."""

from __future__ import annotations

import sys

from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import MCPServer

OWN = f"http://localhost:{sys.argv[1]}"


class OneToken:
    async def verify_token(self, token: str) -> AccessToken | None:
        if token != "a-token":
            return None
        return AccessToken(token=token, client_id="a-client", scopes=[])


server = MCPServer(
    "adder",
    token_verifier=OneToken(),
    auth=AuthSettings(
        issuer_url=OWN, resource_server_url=f"{OWN}/mcp", validate_token_resource=False
    ),
)


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
