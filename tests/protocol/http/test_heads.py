from __future__ import annotations

import h11
import pytest
from hypothesis import given, strategies as st

from protocol.errors import HttpError
from protocol.http.fields import BodyForm
from protocol.http.heads import RequestHead, ResponseHead, parse_request, parse_response
from protocol.http.websocket import accept_for
from tests.protocol.http.drawn import binary

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="


def request(*lines: bytes, line: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: a") -> bytes:
    return b"\r\n".join([line, host, *lines]) + b"\r\n\r\n"


def answer(*lines: bytes, line: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join([line, *lines]) + b"\r\n\r\n"


def refused(raw: bytes) -> str:
    with pytest.raises(HttpError) as caught:
        parse_request(raw)
    assert "secret" not in str(caught.value)
    return caught.value.code


def refused_answer(raw: bytes, method: bytes = b"GET") -> None:
    with pytest.raises(HttpError) as caught:
        parse_response(raw, method)
    assert "secret" not in str(caught.value)
    assert caught.value.code == "bad-request"


def test_request_keeps_order_case_repeats_and_bytes() -> None:
    raw = (
        b'PoST /%7e/../a?b=c%zz&[]{}|\\^`"<> HTTP/1.1\r\nx-B: 1\r\nHOST:\ta:80 \r\nX-b:\r\n'
        b"x-B: \xe4\xff , 2\t\r\ncontent-LENGTH: 007\r\nconnection: Close\r\n\r\n"
    )
    assert parse_request(raw) == RequestHead(
        method=b"PoST",
        target=b'/%7e/../a?b=c%zz&[]{}|\\^`"<>',
        version=b"1.1",
        fields=(
            (b"x-B", b"1"),
            (b"HOST", b"a:80"),
            (b"X-b", b""),
            (b"x-B", b"\xe4\xff , 2"),
            (b"content-LENGTH", b"007"),
            (b"connection", b"Close"),
        ),
        host=b"a:80",
        body=7,
        keep_alive=False,
        upgrade=b"",
        te_trailers=False,
    )


def test_all_parts_are_bytes_and_not_bytearrays() -> None:
    head = parse_request(request(b"A: b"))
    assert {type(part) for field in head.fields for part in field} == {bytes}
    assert type(head.method) is type(head.target) is type(head.version) is bytes
    got = parse_response(answer(b"A: b"), b"GET")
    assert {type(part) for field in got.fields for part in field} == {bytes}
    assert type(got.reason) is type(got.version) is bytes


MALFORMED = [
    pytest.param(b"A: b\nC: d", id="bare LF"),
    pytest.param(b"A: b\rC: d", id="bare CR"),
    pytest.param(b"A: b\r\r\nC: d", id="CR CR LF"),
    pytest.param(b"A: secret\r\n c", id="obs-fold with a space"),
    pytest.param(b"A: secret\r\n\tc", id="obs-fold with a tab"),
    pytest.param(b"A : secret", id="space before the colon"),
    pytest.param(b": secret", id="no name"),
    pytest.param(b"secret", id="no colon"),
    pytest.param(b"\xe4: secret", id="obs-text in a name"),
    pytest.param(b"a(b: secret", id="delimiter in a name"),
    *(
        pytest.param(b"A: secret" + bytes([byte]) + b"x", id=f"control byte {byte:02x}")
        for byte in (0x00, 0x01, 0x08, 0x0B, 0x0C, 0x0E, 0x1F, 0x7F)
    ),
    pytest.param(b"Content-Length: 5\r\nTransfer-Encoding: chunked", id="both framings"),
    pytest.param(b"Content-Length: 5\r\nContent-Length: 6", id="two lengths"),
    pytest.param(b"Content-Length: 5\r\ncontent-length: 5", id="two equal lengths"),
    pytest.param(b"Content-Length: 5, 5", id="list of equal lengths"),
    pytest.param(b"Content-Length: 5,", id="list of one length"),
    *(
        pytest.param(b"Content-Length: " + value, id=f"length {value!r}")
        for value in (b"", b"+5", b"-5", b"5_0", b"0x5", b"5 5", b"5.0", b"\xb2", b"five")
    ),
    *(
        pytest.param(b"Transfer-Encoding: " + value, id=f"coding {value!r}")
        for value in (b"", b"gzip", b"gzip, chunked", b"chunked, chunked", b"identity", b"xchunked")
    ),
    pytest.param(b"Transfer-Encoding: chunked\r\n" * 2 + b"A: b", id="two codings"),
    pytest.param(b"Transfer-Encoding: \x0bchunked", id="coding behind a vertical tab"),
    pytest.param(b"Connection: close, Host", id="Connection lists Host"),
    pytest.param(b"Connection: x\r\nConnection: content-length", id="Connection lists length"),
]


@pytest.mark.parametrize("lines", MALFORMED)
def test_malformed_or_ambiguous_request_is_bad(lines: bytes) -> None:
    assert refused(request(lines)) == "bad-request"


@pytest.mark.parametrize("lines", MALFORMED)
def test_malformed_or_ambiguous_answer_is_refused(lines: bytes) -> None:
    refused_answer(answer(lines))
    refused_answer(answer(lines), b"HEAD")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"GET",
        b"GET /",
        b"GET  / HTTP/1.1",
        b"GET /  HTTP/1.1",
        b" GET / HTTP/1.1",
        b"GET / HTTP/1.1 ",
        b"GET\t/ HTTP/1.1",
        b"GET /a b HTTP/1.1",
        b"GET / http/1.1",
        b"GET / HTTP/11",
        b"GET / HTTP/1.10",
        b"GET / HTTP/01.1",
        b"GET / HTTPS/1.1",
        b"GET / ",
        b"G(T / HTTP/1.1",
        b"G\xc3T / HTTP/1.1",
        b"GET /\xe4 HTTP/1.1",
        b"GET /a#b HTTP/1.1",
        b"GET /\x00 HTTP/1.1",
        b"GET /\x7f HTTP/1.1",
    ],
)
def test_request_line_has_one_form(line: bytes) -> None:
    assert refused(request(line=line)) == "bad-request"


@pytest.mark.parametrize("version", [b"0.9", b"1.2", b"2.0", b"3.0"])
def test_other_versions_have_their_own_code(version: bytes) -> None:
    assert refused(request(line=b"GET / HTTP/" + version)) == "version-not-supported"


def test_head_without_its_end_or_with_more_behind_it_is_no_head() -> None:
    assert refused(b"") == "bad-request"
    assert refused(request()[:-2]) == "bad-request"
    assert refused(request() + b"x") == "bad-request"
    refused_answer(b"")
    refused_answer(answer()[:-2])
    refused_answer(answer() + b"x")


@pytest.mark.parametrize(
    "host", [b"Host:", b"Host: a\r\nhost: a", b"Host: a/b", b"Host: a b", b"Host: u@a", b"Host: a:"]
)
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_host_is_there_once_and_is_a_host(host: bytes, version: bytes) -> None:
    assert refused(request(line=b"GET / HTTP/" + version, host=host)) == "bad-request"


def test_without_host_1_1_is_bad_and_1_0_reaches_no_tunnel() -> None:
    assert refused(b"GET / HTTP/1.1\r\n\r\n") == "bad-request"
    assert refused(b"GET / HTTP/1.0\r\n\r\n") == "unknown-host"


def test_connect_is_not_supported() -> None:
    assert refused(request(line=b"CONNECT a:443 HTTP/1.1")) == "method-not-supported"
    assert refused(request(line=b"CONNECT / HTTP/1.1")) == "method-not-supported"


@pytest.mark.parametrize(
    ("line", "target"),
    [
        (b"GET http://a HTTP/1.1", b"/"),
        (b"GET http://a/ HTTP/1.1", b"/"),
        (b"GET HTTPS://A/%7e/../b?c=http://d/ HTTP/1.1", b"/%7e/../b?c=http://d/"),
        (b"GET http://a?q HTTP/1.1", b"/?q"),
        (b"GET http://a//b HTTP/1.1", b"//b"),
        (b"GET //a/b HTTP/1.1", b"//a/b"),
        (b"OPTIONS * HTTP/1.1", b"*"),
        (b"OPTIONS http://a HTTP/1.1", b"*"),
        (b"OPTIONS http://a?q HTTP/1.1", b"/?q"),
        (b"OPTIONS http://a/ HTTP/1.1", b"/"),
    ],
)
def test_target_goes_on_in_origin_form(line: bytes, target: bytes) -> None:
    assert parse_request(request(line=line)).target == target


@pytest.mark.parametrize(
    "target",
    [
        b"*",
        b"http://b/",
        b"http://a:80/",
        b"http://u@a/",
        b"http:///",
        b"http:/a",
        b"ftp://a/",
        b"xhttp://a/",
        b"a",
        b"a:80",
        b"?q",
    ],
)
def test_any_other_target_is_bad(target: bytes) -> None:
    assert refused(request(line=b"GET " + target + b" HTTP/1.1")) == "bad-request"


def test_absolute_target_equals_host_with_its_port_in_any_case() -> None:
    raw = request(line=b"GET http://b.example:80/x HTTP/1.1", host=b"Host: B.EXAMPLE:80")
    assert parse_request(raw).target == b"/x"
    raw = request(line=b"GET http://[::1]:80/x HTTP/1.1", host=b"Host: [::1]:80")
    assert parse_request(raw).target == b"/x"


@pytest.mark.parametrize(
    ("line", "body"),
    [
        (b"A: b", None),
        (b"Content-Length: 0", 0),
        (b"Content-Length: 5", 5),
        (b"content-length:\t 005 ", 5),
        (b"Content-Length: " + b"9" * 18, 10**18 - 1),
        (b"Transfer-Encoding: chunked", "chunked"),
        (b"transfer-encoding:  CHUNKED ", "chunked"),
    ],
)
def test_body_form_comes_from_the_framing_fields(line: bytes, body: BodyForm) -> None:
    assert parse_request(request(line)).body == body
    assert parse_response(answer(line), b"GET").body == ("until-close" if body is None else body)


def test_length_may_have_18_digits_and_no_one_more() -> None:
    assert refused(request(b"Content-Length: " + b"0" * 18 + b"1")) == "bad-request"
    assert refused(request(b"Content-Length: " + b"9" * 5000)) == "bad-request"


def test_chunked_does_not_exist_in_1_0() -> None:
    lines = b"Transfer-Encoding: chunked"
    assert refused(request(lines, line=b"POST / HTTP/1.0")) == "bad-request"
    refused_answer(answer(lines, line=b"HTTP/1.0 200 OK"))


@pytest.mark.parametrize(
    ("version", "lines", "expected"),
    [
        (b"1.1", [], True),
        (b"1.1", [b"Connection: keep-alive"], True),
        (b"1.1", [b"Connection: CLOSE"], False),
        (b"1.1", [b"Connection: x", b"Connection: keep-alive,close"], False),
        (b"1.0", [], False),
        (b"1.0", [b"Connection: Keep-Alive"], True),
        (b"1.0", [b"Connection: keep-alive, close"], False),
    ],
)
def test_connection_lives_on_if_version_and_options_say_so(
    version: bytes, lines: list[bytes], expected: bool
) -> None:
    raw = request(*lines, line=b"GET / HTTP/" + version)
    assert parse_request(raw).keep_alive is expected
    framed = answer(*lines, b"Content-Length: 0", line=b"HTTP/" + version + b" 200 OK")
    assert parse_response(framed, b"GET").keep_alive is expected


@pytest.mark.parametrize(
    ("version", "lines", "te"),
    [
        (b"1.1", [b"TE: trailers"], True),
        (b"1.1", [b"te: gzip;q=0.5 , Trailers"], True),
        (b"1.1", [b"TE: gzip", b"TE: trailers"], True),
        (b"1.1", [b"TE: xtrailers"], False),
        (b"1.1", [], False),
        (b"1.0", [b"TE: trailers"], False),
    ],
)
def test_trailers_are_asked_for_by_1_1_only(version: bytes, lines: list[bytes], te: bool) -> None:
    head = parse_request(request(*lines, line=b"GET / HTTP/" + version))
    assert head.te_trailers is te


UPGRADE = (b"Upgrade: WebSocket", b"Connection: keep-alive, Upgrade")
TCP = (b"Upgrade: tcp", b"Connection: Upgrade")


@pytest.mark.parametrize(
    ("line", "lines", "expected"),
    [
        (b"GET / HTTP/1.1", UPGRADE, b"websocket"),
        (b"GET / HTTP/1.1", (b"upgrade: h2c, websocket", b"connection: upgrade"), b"websocket"),
        (b"GET / HTTP/1.1", (b"upgrade: tcp, websocket", b"connection: upgrade"), b"websocket"),
        (b"GET / HTTP/1.1", (*UPGRADE, b"Content-Length: 0"), b"websocket"),
        (b"GET / HTTP/1.0", UPGRADE, b""),
        (b"POST / HTTP/1.1", UPGRADE, b""),
        (b"POST / HTTP/1.1", (*UPGRADE, b"Content-Length: 1"), b""),
        (b"get / HTTP/1.1", UPGRADE, b""),
        (b"GET / HTTP/1.1", (b"Upgrade: websocket",), b""),
        (b"GET / HTTP/1.1", (b"Upgrade: websocket", b"Connection: close"), b""),
        (b"GET / HTTP/1.1", (b"Connection: upgrade",), b""),
        (b"GET / HTTP/1.1", (b"Upgrade: h2c", b"Connection: upgrade"), b""),
        (b"GET / HTTP/1.1", (b"Upgrade:", b"Connection: upgrade"), b""),
        (b"GET / HTTP/1.1", (b"Upgrade: websockets", b"Connection: upgrade"), b"websockets"),
        (b"POST / HTTP/1.1", (*TCP, b"Content-Length: 29"), b"tcp"),
        (b"POST / HTTP/1.1", (*TCP, b"Transfer-Encoding: chunked"), b"tcp"),
        (b"HEAD / HTTP/1.1", TCP, b"tcp"),
        (b"x / HTTP/1.1", (*TCP, b"Upgrade: h2c", b"Upgrade: SPDY/3.1"), b"tcp, SPDY/3.1"),
        (b"GET / HTTP/1.0", TCP, b""),
        (b"GET / HTTP/1.1", TCP[:1], b""),
        (b"GET / HTTP/1.1", (TCP[0], b"Connection: tcp"), b""),
    ],
)
def test_upgrade_is_asked_for_in_1_1_with_both_fields(
    line: bytes, lines: tuple[bytes, ...], expected: bytes
) -> None:
    assert parse_request(request(*lines, line=line)).upgrade == expected


@pytest.mark.parametrize("framing", [b"Content-Length: 1", b"Transfer-Encoding: chunked"])
def test_a_websocket_handshake_with_a_body_is_bad(framing: bytes) -> None:
    assert refused(request(*UPGRADE, framing)) == "bad-request"


# --- answers -------------------------------------------------------------------------------------


def test_answer_keeps_reason_order_case_repeats_and_bytes() -> None:
    raw = (
        b"HTTP/1.0 299  so \t s\xf6 \r\nx-B: 1\r\nX-b:\r\nSet-Cookie: a\r\nset-cookie: \xe4, b\r\n"
        b"Content-Length: 3\r\n\r\n"
    )
    assert parse_response(raw, b"GET") == ResponseHead(
        status=299,
        reason=b" so \t s\xf6 ",
        version=b"1.0",
        fields=(
            (b"x-B", b"1"),
            (b"X-b", b""),
            (b"Set-Cookie", b"a"),
            (b"set-cookie", b"\xe4, b"),
            (b"Content-Length", b"3"),
        ),
        body=3,
        keep_alive=False,
        upgrade=b"",
    )


@pytest.mark.parametrize("line", [b"HTTP/1.1 404", b"HTTP/1.1 404 "])
def test_reason_may_be_missing(line: bytes) -> None:
    head = parse_response(answer(line=line), b"GET")
    assert (head.status, head.reason) == (404, b"")


@pytest.mark.parametrize("status", [200, 204, 299, 304, 418, 599, 600, 999])
def test_final_status_is_kept(status: int) -> None:
    assert parse_response(answer(line=b"HTTP/1.1 %d x" % status), b"GET").status == status


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"HTTP/1.1",
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1 099 OK",
        b"HTTP/1.1 +20 OK",
        b"HTTP/1.1 200OK",
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1\t200 OK",
        b"HTTP/1.1 200 O\x00K",
        b"HTTP/1.1 200 O\x7fK",
        b"HTTP/1.2 200 OK",
        b"HTTP/2 200",
        b"ICY 200 OK",
        b"http/1.1 200 OK",
    ],
)
def test_status_line_has_one_form(line: bytes) -> None:
    refused_answer(answer(line=line))


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("framing", [b"Content-Length: 5", b"Transfer-Encoding: chunked", b"A: b"])
def test_204_and_304_have_no_body_whatever_they_announce(status: int, framing: bytes) -> None:
    head = parse_response(answer(framing, line=b"HTTP/1.1 %d x" % status), b"GET")
    assert head.body is None
    assert head.keep_alive


@pytest.mark.parametrize("framing", [b"Content-Length: 5", b"Transfer-Encoding: chunked", b"A: b"])
def test_answer_to_head_has_no_body_whatever_it_announces(framing: bytes) -> None:
    head = parse_response(answer(framing), b"HEAD")
    assert head.body is None
    assert head.keep_alive
    assert len(head.fields) == 1


def test_body_until_close_ends_the_connection() -> None:
    head = parse_response(answer(b"Connection: keep-alive"), b"GET")
    assert (head.body, head.keep_alive) == ("until-close", False)


@pytest.mark.parametrize("status", [100, 102, 103, 199])
@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST"])
def test_informational_answer_has_no_body(status: int, method: bytes) -> None:
    raw = answer(b"Link: </a>", b"Content-Length: 5", line=b"HTTP/1.1 %d Wait" % status)
    head = parse_response(raw, method)
    assert (head.status, head.reason, head.body, head.upgrade) == (status, b"Wait", None, b"")
    assert head.fields == ((b"Link", b"</a>"), (b"Content-Length", b"5"))


SWITCH = (b"Upgrade: WebSocket", b"Connection: Upgrade")
ACCEPT = b"Sec-WebSocket-Accept: " + accept_for(KEY)
ACCEPT_NOTHING = b"Sec-WebSocket-Accept: " + accept_for(b"")
LINE_101 = b"HTTP/1.1 101 Switching Protocols"


def test_101_that_answers_the_key_is_an_upgrade() -> None:
    head = parse_response(answer(*SWITCH, ACCEPT, line=LINE_101), b"GET", b"websocket", KEY)
    assert head.upgrade == b"WebSocket"
    assert head.body is None


@pytest.mark.parametrize(
    ("raw", "asked", "key"),
    [
        (answer(*SWITCH, ACCEPT, line=LINE_101), False, KEY),
        (answer(*SWITCH, ACCEPT, line=LINE_101), True, b""),
        (answer(*SWITCH, ACCEPT_NOTHING, line=LINE_101), True, b""),
        (answer(*SWITCH, ACCEPT_NOTHING, line=LINE_101), False, KEY),
        (answer(*SWITCH, ACCEPT, line=LINE_101), True, KEY[::-1]),
        (answer(*SWITCH, ACCEPT, line=b"HTTP/1.0 101 x"), True, KEY),
        (answer(SWITCH[0], ACCEPT, line=LINE_101), True, KEY),
        (answer(SWITCH[1], ACCEPT, line=LINE_101), True, KEY),
        (answer(*SWITCH, line=LINE_101), True, KEY),
        (answer(*SWITCH, ACCEPT, ACCEPT, line=LINE_101), True, KEY),
        (answer(*SWITCH, ACCEPT + b"x", line=LINE_101), True, KEY),
        (answer(b"Upgrade: h2c", SWITCH[1], ACCEPT, line=LINE_101), True, KEY),
        (answer(SWITCH[0], b"Connection: close", ACCEPT, line=LINE_101), True, KEY),
    ],
)
def test_any_other_101_is_refused(raw: bytes, asked: bool, key: bytes) -> None:
    with pytest.raises(HttpError, match="a 101") as caught:
        parse_response(raw, b"GET", b"websocket" if asked else b"", key)
    assert caught.value.code == "bad-request"


TO_TCP = (b"Upgrade: TCP", b"Connection: keep-alive, upgrade")


def test_101_to_what_was_asked_for_is_an_upgrade() -> None:
    head = parse_response(answer(*TO_TCP, line=LINE_101), b"POST", b"spdy/3.1, tcp")
    assert (head.status, head.upgrade, head.body) == (101, b"TCP", None)


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        (b"HTTP/1.0 101 x", TO_TCP),
        (LINE_101, TO_TCP[:1]),
        (LINE_101, TO_TCP[1:]),
        (LINE_101, (b"Upgrade:", TO_TCP[1])),
        (LINE_101, (TO_TCP[0], b"Connection: tcp")),
        (LINE_101, (b"Upgrade: udp", TO_TCP[1])),
        (LINE_101, (b"Upgrade: tcp/1", TO_TCP[1])),
        (LINE_101, (b"Upgrade: tcp, spdy/3.1", TO_TCP[1])),
        (LINE_101, (b"Upgrade: spdy/3.1", *TO_TCP)),
        (LINE_101, (b"Upgrade: websocket", TO_TCP[1])),
        (LINE_101, (*TO_TCP, b"Content-Length: 0")),
        (LINE_101, (*TO_TCP, b"Transfer-Encoding: chunked")),
    ],
)
def test_any_other_101_to_an_upgrade_is_refused(line: bytes, lines: tuple[bytes, ...]) -> None:
    with pytest.raises(HttpError, match="a 101"):
        parse_response(answer(*lines, line=line), b"POST", b"spdy/3.1, tcp")


def test_refused_upgrade_is_a_plain_answer() -> None:
    head = parse_response(answer(b"Content-Length: 2"), b"GET", b"websocket", KEY)
    assert (head.upgrade, head.body) == (b"", 2)


# --- any input -----------------------------------------------------------------------------------

ASKS_UPGRADE = h11.Request(
    method="GET", target="/", headers=[("Host", "a"), ("Upgrade", "websocket")]
)


def read_by_h11(connection: h11.Connection, raw: bytes) -> object:
    """What h11's own parser makes of a head that ours has taken."""
    connection.receive_data(raw)
    return connection.next_event()


PARTS = st.sampled_from(
    [
        *(b"GET", b"OPTIONS", b"CONNECT", b" ", b"/", b"*", b"http://a", b"#", b"HTTP/1.1"),
        *(b"HTTP/1.0", b"HTTP/1.1 101 x", b"HTTP/1.1 200 OK", b"\r\n", b"\r\n", b"\r", b"\n"),
        *(b"Host: a\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"),
        *(b"Connection: upgrade\r\n", b"Upgrade: websocket\r\n", b"TE: trailers\r\n"),
        *(b"Upgrade: tcp\r\n", b"Upgrade: h2c, a/1\r\n"),
        *(b"Expect: 100-continue\r\n", b"Connection: Host\r\n", b":", b"\x00", b"\xff", b"\t"),
    ]
)
RAW = st.one_of(
    binary(200),
    st.lists(PARTS, max_size=20).map(b"".join),
    st.lists(PARTS, max_size=8).map(lambda parts: request(b"".join(parts).removesuffix(b"\r\n"))),
    st.lists(PARTS, max_size=8).map(lambda parts: answer(b"".join(parts).removesuffix(b"\r\n"))),
    st.lists(PARTS, max_size=8).map(
        lambda parts: answer(b"".join(parts).removesuffix(b"\r\n"), line=LINE_101)
    ),
)


@given(raw=RAW)
def test_any_bytes_give_a_request_or_an_http_error(raw: bytes) -> None:
    try:
        head = parse_request(raw)
    except HttpError:
        return
    assert head.target.startswith(b"/") or head.target == b"*"
    assert not (head.upgrade == b"websocket" and head.body)
    event = read_by_h11(h11.Connection(h11.SERVER), raw)
    assert isinstance(event, h11.Request)
    assert (head.method, head.version) == (event.method, event.http_version)
    assert head.target == event.target or event.target.startswith(b"http")
    assert head.fields == tuple(event.headers.raw_items())


@given(
    raw=RAW,
    method=st.sampled_from([b"GET", b"HEAD", b"x"]),
    asked=st.sampled_from([b"", b"websocket", b"tcp", b"b, a/1"]),
)
def test_any_bytes_give_an_answer_or_an_http_error(raw: bytes, method: bytes, asked: bytes) -> None:
    try:
        head = parse_response(raw, method, asked, KEY)
    except HttpError:
        return
    assert 100 <= head.status <= 999
    assert bool(head.upgrade) is (head.status == 101)
    connection = h11.Connection(h11.CLIENT)
    connection.send(ASKS_UPGRADE)
    event = read_by_h11(connection, raw)
    assert isinstance(event, (h11.Response, h11.InformationalResponse))
    assert (head.status, head.version) == (event.status_code, event.http_version)
    assert head.reason == event.reason
    assert head.fields == tuple(event.headers.raw_items())
