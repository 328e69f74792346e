"""Whatever an app sends, no turn of the client's loop takes 20 ms (docs/limits.md).

Each case is as much of one thing as fits heads and reads; the app sends it all at once.
"""

from __future__ import annotations

from functools import partial

import pytest
import trio

from protocol.http.limits import HEAD_MAX_BYTES
from protocol.limits import INFORMATIONAL_HEADS_MAX
from tests.asked_apps import choosing, host_of, page
from tests.origin_fakes import a_shared_app
from tests.turns import Turns, are_short, measured_turns, short_turns
from tunnel_client.origin.asking import BODY_MAX_BYTES

pytestmark = pytest.mark.alone

VALUE_BYTES = HEAD_MAX_BYTES - 1024
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"


def filled(begin: bytes, piece: bytes, total_bytes: int = VALUE_BYTES) -> bytes:
    return begin + piece * (total_bytes // len(piece))


COSTLY = filled(b"Upload-Concat: final;", b"// ").rstrip()
FIELDS = {
    "links to nothing": filled(b"Link: ", b"<>,")[:-1],
    "links": filled(b"Link: ", b"<//>,")[:-1],
    "parts": filled(b"Upload-Concat: final;", b"a ").rstrip(),
    "parts with hosts": COSTLY,
    "sources": filled(b"Content-Security-Policy: img-src ", b"a ").rstrip(),
    "sources that differ": b"Content-Security-Policy: img-src localhost "
    + b" ".join(b"%x" % number for number in range(VALUE_BYTES))[: VALUE_BYTES - 64],
    "features": filled(b"Feature-Policy: a ", b"a ").rstrip(),
    "permissions": filled(b"Permissions-Policy: a=(", b'"//" ') + b")",
    "lists of permissions": filled(b"Permissions-Policy: a", b',a=("//")'),
    "rules": filled(b'Speculation-Rules: "//"', b',"//"'),
    "attributes of a cookie": filled(b"Set-Cookie: a=b", b";"),
}
CHUNKS = {
    "chunks": b"1\r\na\r\n",
    "chunks with extensions": b"1;a\r\na\r\n",
    "loose chunks and strict ones": b"1\na\r\n1\r\na\r\n",
    "loose chunks with spaces": b"1 \na\r\n",
}


@pytest.mark.parametrize(
    "sent",
    [
        *(
            pytest.param(
                (b"HTTP/1.1 103 Early Hints\r\n" + field + b"\r\n\r\n") * 2
                + OK
                + field
                + b"\r\nContent-Length: 0\r\n\r\n",
                id=f"three heads of {about}",
            )
            for about, field in FIELDS.items()
        ),
        pytest.param(
            (b"HTTP/1.1 103 Early Hints\r\n" + COSTLY[:4096] + b"\r\n\r\n")
            * INFORMATIONAL_HEADS_MAX
            + OK
            + b"Content-Length: 0\r\n\r\n",
            id="many heads",
        ),
        *(
            pytest.param(OK + CHUNKED + filled(b"", chunk, 200_000) + LAST, id=about)
            for about, chunk in CHUNKS.items()
        ),
        *(
            pytest.param(
                OK + COSTLY + b"\r\n" + CHUNKED + filled(b"", chunk, 200_000) + LAST,
                id=f"a head, then {about}",
            )
            for about, chunk in CHUNKS.items()
        ),
    ],
)
async def test_an_app_takes_no_long_turn(sent: bytes) -> None:
    await are_short(partial(turns_of, sent))


async def turns_of(sent: bytes) -> Turns:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open()
        app = await origin.accept()
        await app.request()
        with measured_turns() as turns:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(app.send, sent)
                assert (await tunnel.answer(stream))[0] == 200
    return turns


# A MiB of each is what the client's own questions are answered with, by Host and X-Forwarded-Proto.
PAGES = {
    "50,000 links": b"%(scheme)b://%(host)b ",
    "what is no link for want of a scheme": b"x://%(host)b x://demo.example ",
    "beginnings of links": b"://",
    "escaped slashes": rb"\u002F",
    "scripts": b"<script src='%(scheme)b://%(host)b/a.js'></script>",
    "beginnings of scripts": b"<script ",
    "beginnings of scripts, as long as they may be": b"<script " + 292 * b"x",
}


@pytest.mark.parametrize("piece", PAGES.values(), ids=PAGES)
async def test_an_app_that_is_asked_for_its_identity_takes_no_long_turn(piece: bytes) -> None:
    def answer(head: bytes) -> bytes:
        scheme = b"https" if b"X-Forwarded-Proto: https" in head else b"http"
        names = {b"scheme": scheme, b"host": host_of(head)}
        return page(filled(b"%(scheme)b://%(host)b " % names, piece % names, BODY_MAX_BYTES))

    async with choosing(answer) as made:
        with short_turns():
            made.ready()
            assert (await made.verdict()).mode == "public"
