"""An MCP client of the Python SDK, which finds nothing but the server's host: client.py ORIGIN.

It prints where it was sent for a token, what stands there, the tools, and what one of them says.
"""

from __future__ import annotations

import json
import socket
import sys
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx2
from mcp import Client
from mcp.client.auth.utils import extract_resource_metadata_from_www_auth
from mcp.client.streamable_http import streamable_http_client

ORIGIN = sys.argv[1]
TOKEN = {"Authorization": "Bearer a-token"}
everywhere = socket.getaddrinfo


def here_alone(host: Any, *arguments: Any, **more: Any) -> Any:
    if host not in (urlsplit(ORIGIN).hostname, urlsplit(ORIGIN).hostname.encode()):
        raise socket.gaierror(f"{host} does not exist here")
    return everywhere("127.0.0.1", *arguments, **more)


async def main() -> None:
    socket.getaddrinfo = here_alone
    async with httpx2.AsyncClient() as visitor:
        refused = await visitor.post(f"{ORIGIN}/mcp", json={})
        metadata = extract_resource_metadata_from_www_auth(refused)
        found = await visitor.get(metadata)
    async with httpx2.AsyncClient(headers=TOKEN) as visitor:
        transport = streamable_http_client(f"{ORIGIN}/mcp", http_client=visitor)
        async with Client(transport) as client:
            tools = await client.list_tools()
            sum_ = await client.call_tool("add", {"a": 1, "b": 2})
    print(
        json.dumps(
            {
                "refused": refused.status_code,
                "metadata": metadata,
                "found": found.status_code,
                "tools": [tool.name for tool in tools.tools],
                "sum": sum_.structured_content,
            }
        )
    )


anyio.run(main)
