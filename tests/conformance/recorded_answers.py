"""Answers of real programs that the strict grammar refuses, as their reports and sources have them.

Two of these programs do not run here: one asks its maker's servers, one is for a microcontroller.
The third does, in tests/apps/test_nc.py.
"""

from __future__ import annotations

from typing import Final

from tests.conformance.http_script import taken
from tests.conformance.websocket_script import Case

_PAGE: Final = b"<!doctype html>\n<title>DuckDB UI</title>\n".ljust(507)

# The ui extension of DuckDB 1.2.1, which passed on what its maker's servers said and added its own
# length; mended in March 2025. As a report has it from `curl -v`, without names of machines.
_DUCKDB_FIELDS: Final = (
    b"Accept-Ranges: bytes\r\nAge: 69823\r\nCache-Control: max-age=0, s-maxage=3600\r\n"
    b"%bContent-Type: text/html\r\nCross-Origin-Embedder-Policy: require-corp\r\n"
    b"Cross-Origin-Opener-Policy: same-origin\r\nDate: Thu, 13 Mar 2025 19:08:14 GMT\r\n"
    b'ETag: "78403e379249f9d6f701eb7ed6284fa0"\r\n%b'
    b"Last-Modified: Thu, 13 Mar 2025 17:20:05 GMT\r\nServer: AmazonS3\r\n"
)
_DUCKDB_SAYS: Final = _DUCKDB_FIELDS % (
    b"Connection: keep-alive\r\nContent-Length: 507\r\nContent-Length: 507\r\n",
    b"Keep-Alive: timeout=5, max=5\r\n",
)
_DUCKDB_GOES_ON: Final = _DUCKDB_FIELDS % (b"Content-Length: 507\r\n", b"")

# ESPAsyncWebServer 1.2.3, which fills a size up to four digits with spaces (as reported in July
# 2023; later ones write zeros before it). Its fields in its order.
_ESP_FIELDS: Final = b"Content-Type: text/html\r\n%bAccept-Ranges: none\r\n"
_ESP_SAYS: Final = _ESP_FIELDS % b"Connection: close\r\n" + b"Transfer-Encoding: chunked\r\n\r\n"
_ESP_GOES_ON: Final = _ESP_FIELDS % b"" + b"Transfer-Encoding: chunked\r\n\r\n"

# bash and nc, as its many examples are written: `echo -e "HTTP/1.1 200 OK\n..." | nc -l -p 8000`.
_NC_BODY: Final = b"<h1>Hello</h1>\n\n"
_NC_SAYS: Final = b"HTTP/1.1 200 OK\nContent-Type: text/html\nContent-Length: 16\n\n" + _NC_BODY
_NC_GOES_ON: Final = b"Content-Type: text/html\r\nContent-Length: 16\r\n\r\n" + _NC_BODY


def _answer(fields: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\n" + fields + body


RECORDED: Final[dict[str, list[Case]]] = {
    "answers of real apps": [
        taken(
            "DuckDB's UI: two equal lengths",
            "9110 8.6",
            _answer(_DUCKDB_SAYS, b"\r\n" + _PAGE),
            _answer(_DUCKDB_GOES_ON, b"\r\n" + _PAGE),
        ),
        taken(
            "ESPAsyncWebServer: spaces behind a size",
            "9112 7.1",
            _answer(_ESP_SAYS, b"1c  \r\n<p>Temperature: 21.5 C</p>\r\n\r\n0   \r\n\r\n"),
            _answer(_ESP_GOES_ON, b"1c\r\n<p>Temperature: 21.5 C</p>\r\n\r\n0\r\n\r\n"),
        ),
        taken(
            "nc: a bare LF behind every line",
            "9112 2.2",
            _NC_SAYS,
            _answer(_NC_GOES_ON, b""),
        ),
    ]
}
