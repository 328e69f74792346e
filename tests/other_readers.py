"""One answer, read here, by http.client and by curl: its status and its body, or nothing.

The app's bytes are all there, and behind them the end of its connection. So a reader that finds
another end of the answer has another body, or none.
"""

from __future__ import annotations

import http.client
import io
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from subprocess import DEVNULL
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple, cast

import trio

from protocol.errors import HttpError
from protocol.http.bodies import ChunkedBody, body_reader
from protocol.http.heads import HeadBuffer, ResponseHead, parse_response
from protocol.http.lenient import LenientChunkedBody, parse_lenient_response
from tests.needs import find
from tests.patience import PATIENCE

ONE_TRANSFER_S: Final = 5.0 * PATIENCE


class Reading(NamedTuple):
    """An answer that a reader has found whole."""

    status: int
    body: bytes


# --- here ----------------------------------------------------------------------------------------


def read_here(data: bytes, *, leniently: bool = True, piece_bytes: int = 0) -> Reading | None:
    """As the client reads an app's answer to a GET; None: it is refused, or cut off.

    Args:
        data: the app's bytes.
        leniently: as it is; False: what is left of that without `protocol.http.lenient`.
        piece_bytes: of each read; 0: all come in one.
    """
    size = piece_bytes or len(data) or 1
    pieces = iter([data[at : at + size] for at in range(0, len(data), size)])
    buffer = HeadBuffer(is_request=False)
    try:
        head = _final_head(buffer, pieces, leniently)
        if head is None:
            return None
        reader = body_reader(head.body, LenientChunkedBody if leniently else ChunkedBody)
        body = reader.feed(buffer.take_rest())
        for piece in pieces:
            body += reader.feed(piece)
        if not reader.done:
            reader.eof()
    except HttpError:
        return None
    return Reading(head.status, body)


def _final_head(
    buffer: HeadBuffer, pieces: Iterator[bytes], leniently: bool
) -> ResponseHead | None:
    for piece in pieces:
        buffer.feed(piece)
        while (head := _next(buffer, leniently)) is not None:
            if head.status >= 200:
                return head
    return None


def _next(buffer: HeadBuffer, leniently: bool) -> ResponseHead | None:
    raw = buffer.next_head()
    if raw is None:
        return None
    try:
        return parse_response(raw, b"GET")
    except HttpError as refusal:
        if not leniently:
            raise
        return parse_lenient_response(raw, b"GET", refusal)


# --- http.client ---------------------------------------------------------------------------------


class KeptBytes(io.BytesIO):
    """The bytes that came. http.client asks a socket for them, and closes it behind each head."""

    def makefile(self, mode: str) -> KeptBytes:
        assert mode == "rb"
        return self

    def close(self) -> None:
        """Nothing: the next head is behind this one."""


def read_by_http_client(data: bytes) -> tuple[Reading | None, bool]:
    """Its reading, and whether it has understood the head.

    Its parser of fields is one of mail: at a line that is none it ends, with a defect that nobody
    looks at, and has not seen the fields behind it. A length that is no number is none to it, and
    no coding is `chunked` with a space behind it, which is no part of a value (RFC 9112 5.1). And
    it reads chunks of a 204 or 304, which has no body whatever it says (6.3).
    """
    came = KeptBytes(data)
    try:
        while True:
            answer = http.client.HTTPResponse(cast("socket.socket", came), method="GET")
            answer.begin()
            if answer.status >= 200:  # of informational ones it passes over 100 alone
                break
        body = answer.read()
    except (http.client.HTTPException, OverflowError, ValueError):
        return None, True
    length = answer.headers.get("Content-Length", "0")  # the first, as it takes it itself
    coding = answer.headers.get("Transfer-Encoding", "")
    coded = coding == coding.strip() and not (coding and answer.status in (204, 304))
    understood = not answer.msg.defects and length.isdecimal() and coded
    return Reading(answer.status, body), understood


# --- curl ----------------------------------------------------------------------------------------


@asynccontextmanager
async def an_app_that_says(answers: Sequence[bytes]) -> AsyncIterator[int]:
    """An app that answers `/N` with the answer of that number; its port."""
    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, partial(say, answers), 0, host="127.0.0.1")
        [listener] = await nursery.start(serve)
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def say(answers: Sequence[bytes], stream: trio.SocketStream) -> None:
    """One answer, and an end; what the reader does with it is its own affair."""
    head = b""
    with suppress(trio.BrokenResourceError):
        while b"\r\n\r\n" not in head:
            more = await stream.receive_some()
            if not more:
                return
            head += more
        await stream.send_all(answers[int(head.split(b" ")[1][1:])])
        await stream.send_eof()
        while await stream.receive_some():
            pass


async def read_by_curl(port: int, count: int) -> list[Reading | None]:
    """Curl asks this port for `/0` and so on; each reading, None for a failure.

    One process asks for all, unless it gives up behind one: some failures are its own, it thinks.
    """
    readings: list[Reading | None] = []
    with TemporaryDirectory() as folder:
        while len(readings) < count:
            readings += await _read_by_one_curl(port, range(len(readings), count), Path(folder))
    return readings


async def _read_by_one_curl(port: int, numbers: range, folder: Path) -> list[Reading | None]:
    asked = [
        f'url = "http://127.0.0.1:{port}/{number}"\noutput = "{folder}/{number}"\n'
        for number in numbers
    ]
    done = await trio.run_process(
        [_curl(), *_CURL_FLAGS],
        stdin="".join(asked).encode(),
        capture_stdout=True,
        stderr=DEVNULL,
        check=False,  # its exit code is that of the last one
    )
    told = [line.split() for line in done.stdout.decode().splitlines()]
    assert told, "curl has said nothing"
    assert [int(line[0]) for line in told] == list(range(len(told)))
    return [
        _reading(folder / str(number), *rest)
        for number, (_, *rest) in zip(numbers, told, strict=False)
    ]


_CURL_FLAGS: Final = (
    *("--disable", "--config", "-"),
    *("--silent", "--http1.1", "--noproxy", "*", "--max-time", f"{ONE_TRANSFER_S:g}"),
    *("--header", "Connection: close", "--write-out", "%{urlnum} %{http_code} %{exitcode}\n"),
)


def _curl() -> str:
    program = find("curl")
    assert program is not None
    return program


def _reading(file: Path, status: str, exit_code: str) -> Reading | None:
    if exit_code != "0":
        return None
    return Reading(int(status), file.read_bytes() if file.exists() else b"")
