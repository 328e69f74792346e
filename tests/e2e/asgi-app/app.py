"""Starlette as its documentation shows it: a WebSocket, server-sent events and a slash redirect."""

from collections.abc import AsyncIterator
from itertools import count

import anyio
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

PAGE = """<!doctype html>
<title>ASGI app</title>
<h1 id="echoed"></h1>
<ol id="events"></ol>
<script>
  const ws = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/echo`)
  ws.onopen = () => ws.send('grüße')
  ws.onmessage = ({ data }) => { document.querySelector('#echoed').textContent = data }
  new EventSource('/events').onmessage = ({ data }) => {
    const item = document.createElement('li')
    item.textContent = data
    document.querySelector('#events').append(item)
  }
</script>
"""


async def page(request: Request) -> HTMLResponse:
    return HTMLResponse(PAGE)


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(f"{text}, {websocket.url.hostname}")


async def events(request: Request) -> StreamingResponse:
    async def numbers() -> AsyncIterator[str]:
        for number in count():
            yield f"data: {number}\n\n"
            await anyio.sleep(0.2)

    return StreamingResponse(numbers(), media_type="text/event-stream")


app = Starlette(
    routes=[
        Route("/", page),
        Route("/events", events),
        Route("/folder/", page),
        WebSocketRoute("/echo", echo),
    ],
    middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["localhost", "127.0.0.1"])],
)
