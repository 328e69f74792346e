"""`kubectl exec -i x -- cat` of kubectl 1.32.4, as it was recorded: in SPDY/3.1, and as WebSocket.

It tries WebSocket first and SPDY where that is refused. Only Host was changed. The answers are
those that a kubelet's handlers write.
"""

from __future__ import annotations

from typing import Final

from protocol.http.websocket import accept_for
from tests.conformance.websocket_script import (
    APP_ENDS,
    APP_SEES_END,
    BOTH_END,
    FORWARDED,
    VISITOR_ENDS,
    VISITOR_SEES_END,
    Case,
    Script,
    app_gets_head,
    app_sends,
    script,
    to_app,
    to_visitor,
    visitor_gets_head,
    visitor_sends,
)

_TARGET: Final = (
    b"/api/v1/namespaces/default/pods/x/exec"
    b"?command=cat&container=c&stderr=true&stdin=true&stdout=true"
)
_FIRST: Final = (
    b"Host: app.localhost\r\nUser-Agent: kubectl/v1.32.4 (linux/amd64) kubernetes/4cb5f07\r\n"
)
_SESSION: Final = (
    b"Kubectl-Command: kubectl exec\r\nKubectl-Session: e09069e2-48ea-430f-9c4e-bbe4afe78938\r\n"
)
_UPGRADE: Final = b"Connection: Upgrade\r\n"

_TO_SPDY: Final = b"Upgrade: SPDY/3.1\r\n"
_VERSIONS: Final = b"".join(
    b"X-Stream-Protocol-Version: %bchannel.k8s.io\r\n" % version
    for version in (b"v5.", b"v4.", b"v3.", b"v2.", b"")
)
_POST: Final = b"POST " + _TARGET + b" HTTP/1.1\r\n" + _FIRST + b"Content-Length: 0\r\n"
_SWITCH: Final = b"HTTP/1.1 101 Switching Protocols\r\n"
_SPDY_CHOICE: Final = b"X-Stream-Protocol-Version: v4.channel.k8s.io\r\n"
# SYN_STREAM of the stream for errors. The header block is zlib's, with the dictionary of SPDY.
_SYN_STREAM: Final = (
    b"\x80\x03\x00\x01\x00\x00\x00\x29\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00"
    b"x\xf9\xe3\xc6\xa7\xc2b```\x04\xa7\xb3\x92\xa2\xd4\xc4\\hQ\xc2\x9a\n\nh"
    b"\x00\x00\x00\x00\xff\xff"
)
_SYN_REPLY: Final = b"\x80\x03\x00\x02\x00\x00\x00\x04\x00\x00\x00\x01"

_KEY: Final = b"QY+b58ExT2/WmanuYyXZHg=="
_TO_WEBSOCKET: Final = b"Upgrade: websocket\r\n"
_KEYED: Final = (
    b"Sec-WebSocket-Key: " + _KEY + b"\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
)
_GET: Final = b"GET " + _TARGET + b" HTTP/1.1\r\n" + _FIRST
_ACCEPTED: Final = (
    b"Sec-Websocket-Accept: " + accept_for(_KEY) + b"\r\n"
    b"Sec-Websocket-Protocol: v5.channel.k8s.io\r\n"
)
_STDIN: Final = b"\x82\x87\xef=|\x9b\xefU\x19\xf7\x83Rv"  # "hello" on channel 0, masked
_STDOUT: Final = b"\x82\x07\x01hello\n"
_STDIN_ENDS: Final = b"\x82\x82_%\xacE\xa0%"  # version 5: channel 0 is closed by channel 255

_SPDY: Final[Script] = script(
    visitor_sends(_POST + _UPGRADE + _SESSION + _TO_SPDY + _VERSIONS + b"\r\n"),
    app_gets_head(_POST + _SESSION + _VERSIONS + FORWARDED + _UPGRADE + _TO_SPDY + b"\r\n"),
    app_sends(_SWITCH + _UPGRADE + _TO_SPDY + _SPDY_CHOICE + b"\r\n"),
    visitor_gets_head(_SWITCH + _SPDY_CHOICE + _UPGRADE + _TO_SPDY + b"\r\n"),
    to_app(_SYN_STREAM),
    to_visitor(_SYN_REPLY),
    VISITOR_ENDS,
    APP_SEES_END,
    to_visitor(_SYN_REPLY),
    APP_ENDS,
    VISITOR_SEES_END,
)
_WEBSOCKET: Final[Script] = script(
    visitor_sends(_GET + _UPGRADE + _SESSION + _KEYED + _TO_WEBSOCKET + b"\r\n"),
    app_gets_head(_GET + _SESSION + _KEYED + FORWARDED + _UPGRADE + _TO_WEBSOCKET + b"\r\n"),
    app_sends(_SWITCH + _UPGRADE + _ACCEPTED + _TO_WEBSOCKET + b"\r\n"),
    visitor_gets_head(_SWITCH + _ACCEPTED + _UPGRADE + _TO_WEBSOCKET + b"\r\n"),
    to_app(_STDIN),
    to_visitor(_STDOUT),
    to_app(_STDIN_ENDS),
    BOTH_END,
)
RECORDED: Final = [
    Case("kubectl 1.32.4, exec in SPDY/3.1", "RFC 9110 7.8", _SPDY),
    Case("kubectl 1.32.4, exec as WebSocket", "1.2", _WEBSOCKET),
]
