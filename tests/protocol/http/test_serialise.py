from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from protocol.errors import HttpError
from protocol.http.fields import BodyForm, Fields
from protocol.http.heads import end_to_end, parse_request, parse_response
from protocol.http.serialise import (
    chunk,
    informational_head,
    last_chunk,
    request_head,
    response_head,
    wire_framing,
)
from tests.protocol.http.drawn import binary

HOST = (b"Host", b"a")
WS = b"websocket"
FORMS: list[BodyForm] = [None, 0, 5, "chunked", "until-close"]


def answered(
    fields: Fields = (),
    *,
    status: int = 200,
    reason: bytes = b"OK",
    body: BodyForm = "chunked",
    version: bytes = b"1.1",
    method: bytes = b"GET",
    close: bool | None = False,
    upgrade: bytes = b"",
) -> bytes:
    return response_head(
        status,
        reason,
        fields,
        body=body,
        visitor_version=version,
        method=method,
        close=close,
        upgrade=upgrade,
    )


# --- requests ------------------------------------------------------------------------------------


def test_request_leaves_in_received_order_and_case() -> None:
    fields = (
        (b"x-B", b"1"),
        (b"hOST", b"a:80"),
        (b"X-b", b""),
        (b"content-length", b"05"),
        (b"x-B", b"\xe4 ,\t2"),
    )
    assert request_head(b"PoST", b"/%7e?a=[]", fields, body=5) == (
        b"PoST /%7e?a=[] HTTP/1.1\r\nx-B: 1\r\nhOST: a:80\r\nX-b: \r\ncontent-length: 05\r\n"
        b"x-B: \xe4 ,\t2\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("body", "te", "upgrade", "behind"),
    [
        (None, False, b"", b""),
        ("chunked", False, b"", b"Transfer-Encoding: chunked\r\n"),
        (None, True, b"", b"Connection: TE\r\nTE: trailers\r\n"),
        (None, False, WS, b"Connection: Upgrade\r\nUpgrade: websocket\r\n"),
        (None, True, WS, b"Connection: Upgrade, TE\r\nUpgrade: websocket\r\nTE: trailers\r\n"),
        (None, False, b"b/2, A", b"Connection: Upgrade\r\nUpgrade: b/2, A\r\n"),
        (
            "chunked",
            False,
            b"tcp",
            b"Transfer-Encoding: chunked\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n",
        ),
        (
            "chunked",
            True,
            b"",
            b"Transfer-Encoding: chunked\r\nConnection: TE\r\nTE: trailers\r\n",
        ),
    ],
)
def test_fields_of_this_hop_are_written_behind_the_others(
    body: BodyForm, te: bool, upgrade: bytes, behind: bytes
) -> None:
    head = request_head(b"GET", b"/", (HOST,), body=body, te_trailers=te, upgrade=upgrade)
    assert head == b"GET / HTTP/1.1\r\nHost: a\r\n" + behind + b"\r\n"


@pytest.mark.parametrize(
    ("te", "connection"),
    [(False, b"close\r\n"), (True, b"close, TE\r\nTE: trailers\r\n")],
)
def test_a_request_may_say_that_its_connection_closes(te: bool, connection: bytes) -> None:
    head = request_head(b"GET", b"/", (HOST,), body=None, te_trailers=te, close=True)
    assert head == b"GET / HTTP/1.1\r\nHost: a\r\nConnection: " + connection + b"\r\n"


def test_a_websocket_handshake_may_have_a_length_of_0() -> None:
    fields = (HOST, (b"Content-Length", b"0"))
    assert b"Upgrade: websocket" in request_head(b"GET", b"/", fields, body=0, upgrade=WS)


@pytest.mark.parametrize(
    "upgrade",
    [
        b"h2c",
        b"tcp, h2c",
        b"TLS/1.3",
        b"HTTP/2.0",
        b"a,b",
        b"a b",
        b"a\r\nb",
        b"websocket, a",
        b"/",
    ],
)
def test_what_may_not_be_asked_for_is_refused(upgrade: bytes) -> None:
    with pytest.raises(HttpError, match="Upgrade"):
        request_head(b"GET", b"/", (HOST,), body=None, upgrade=upgrade)


def test_star_is_a_target_of_options_only() -> None:
    assert request_head(b"OPTIONS", b"*", (HOST,), body=None).startswith(b"OPTIONS * ")
    with pytest.raises(HttpError, match="target"):
        request_head(b"GET", b"*", (HOST,), body=None)


@pytest.mark.parametrize(
    "target",
    [b"", b"a", b"http://a/", b"/ ", b"/a b", b"/\r\n", b"/#", b"/\xe4", b"/\x00", b"/\x7f"],
)
def test_request_with_a_bad_target_is_refused(target: bytes) -> None:
    with pytest.raises(HttpError, match="target"):
        request_head(b"GET", target, (HOST,), body=None)


@pytest.mark.parametrize("method", [b"", b"G T", b"GET\r\n", b"G\xe4T", b"GET /x HTTP/1.1\r\nA:"])
def test_request_with_a_bad_method_is_refused(method: bytes) -> None:
    with pytest.raises(HttpError, match="method"):
        request_head(method, b"/", (HOST,), body=None)


def test_connect_is_not_supported() -> None:
    with pytest.raises(HttpError) as caught:
        request_head(b"CONNECT", b"/", (HOST,), body=None)
    assert caught.value.code == "method-not-supported"


@pytest.mark.parametrize(
    "fields", [(), (HOST, HOST), (HOST, (b"host", b"b")), ((b"Host", b""),), ((b"Host", b"a/b"),)]
)
def test_request_without_exactly_one_host_is_refused(fields: Fields) -> None:
    with pytest.raises(HttpError, match="Host"):
        request_head(b"GET", b"/", fields, body=None)


@pytest.mark.parametrize(
    ("method", "body", "upgrade"),
    [
        (b"POST", "until-close", b""),
        (b"POST", "until-close", b"tcp"),
        (b"GET", "chunked", WS),
        (b"GET", 1, WS),
        (b"POST", None, WS),
    ],
)
def test_request_with_a_body_it_cannot_have_is_refused(
    method: bytes, body: BodyForm, upgrade: bytes
) -> None:
    with pytest.raises(HttpError, match="body for a request"):
        request_head(method, b"/", (HOST, (b"Content-Length", b"1")), body=body, upgrade=upgrade)


# --- what holds for both -------------------------------------------------------------------------

BAD_FIELDS = [
    *((name, b"secret") for name in (b"", b"A ", b" A", b"A:", b"A: b", b"A\r\nB", b"A\r\nB: c")),
    *((name, b"secret") for name in (b"A\n", b"\xe4", b"a(b", b"A\x00", b"\r\n", b"A: b\r\nC")),
    (b"Content-Length: 5\r\nA", b"secret"),
    *((b"A", value) for value in (b" b", b"b ", b"\tb", b"b\t", b" ", b"b\r\n", b"b\r\nC: d")),
    *((b"A", value) for value in (b"b\r\n c", b"b\nC: d", b"b\rc", b"\x00", b"\x0b", b"\x7f")),
    (b"A", b"b\r\nContent-Length: 5\r\n\r\nGET / HTTP/1.1"),
    *(
        (name, b"x")
        for name in (
            *(b"Connection", b"keep-alive", b"Proxy-Connection", b"TE"),
            *(b"transfer-ENCODING", b"Upgrade"),
        )
    ),
]


@pytest.mark.parametrize("field", BAD_FIELDS)
@pytest.mark.parametrize("behind", [(), ((b"B", b"c"),)])
def test_field_that_is_not_one_plain_line_is_refused_everywhere(
    field: tuple[bytes, bytes], behind: Fields
) -> None:
    fields = (HOST, field, *behind)
    with pytest.raises(HttpError, match="field") as caught:
        request_head(b"GET", b"/", fields, body=None)
    assert caught.value.code == "bad-request"
    assert "secret" not in str(caught.value)
    with pytest.raises(HttpError, match="field"):
        answered(fields)
    with pytest.raises(HttpError, match="field"):
        informational_head(103, b"", fields)


@pytest.mark.parametrize("field", BAD_FIELDS)
def test_trailer_that_is_not_one_plain_line_is_refused_or_dropped(
    field: tuple[bytes, bytes],
) -> None:
    try:
        end = last_chunk((field,))
    except HttpError:
        return
    assert end == b"0\r\n\r\n"


def test_pieces_of_a_name_cannot_add_up_to_a_line() -> None:
    with pytest.raises(HttpError, match="field"):
        answered(((b"A\r\nB", b"c"), (b"", b"d")))


@pytest.mark.parametrize(
    ("lengths", "body"),
    [
        ([], 5),
        ([b"6"], 5),
        ([b"5", b"5"], 5),
        ([b"5, 5"], 5),
        ([b"+5"], 5),
        ([b""], 0),
        ([b"0" * 18 + b"5"], 5),
        ([b"\xb2"], 2),
        ([b"5"], "chunked"),
        ([b"5"], None),
    ],
)
def test_length_must_be_that_of_the_body(lengths: list[bytes], body: BodyForm) -> None:
    fields = (HOST, *((b"Content-Length", length) for length in lengths))
    with pytest.raises(HttpError, match="Content-Length"):
        request_head(b"POST", b"/", fields, body=body)
    with pytest.raises(HttpError, match="Content-Length"):
        answered(fields, body="until-close" if body is None else body)


def test_length_may_have_18_digits() -> None:
    length = b"9" * 18
    head = request_head(b"PUT", b"/", (HOST, (b"Content-Length", length)), body=int(length))
    assert length in head


# --- answers -------------------------------------------------------------------------------------


def test_answer_leaves_in_received_order_and_case() -> None:
    fields = ((b"x-B", b"1"), (b"content-LENGTH", b"3"), (b"X-b", b""), (b"x-B", b"\xe4"))
    assert answered(fields, status=299, reason=b" so \xf6", body=3) == (
        b"HTTP/1.1 299  so \xf6\r\nx-B: 1\r\ncontent-LENGTH: 3\r\nX-b: \r\nx-B: \xe4\r\n\r\n"
    )


CHUNKED = b"Transfer-Encoding: chunked\r\n"
CLOSE = b"Connection: close\r\n"
LENGTH = b"Content-Length: 3\r\n"


@pytest.mark.parametrize(
    ("body", "version", "close", "framing", "lines"),
    [
        (3, b"1.1", False, "length", LENGTH),
        (3, b"1.1", True, "length", LENGTH + CLOSE),
        (3, b"1.0", False, "length", LENGTH + b"Connection: keep-alive\r\n"),
        (3, b"1.0", True, "length", LENGTH + CLOSE),
        ("chunked", b"1.1", False, "chunked", CHUNKED),
        ("chunked", b"1.1", True, "chunked", CHUNKED + CLOSE),
        ("chunked", b"1.0", False, "until-close", CLOSE),
        ("until-close", b"1.1", False, "chunked", CHUNKED),
        ("until-close", b"1.0", True, "until-close", CLOSE),
        ("until-close", b"1.0", None, "until-close", b""),
        (3, b"1.0", None, "length", LENGTH),
    ],
)
def test_body_form_decides_the_framing_of_this_hop(
    body: BodyForm, version: bytes, close: bool | None, framing: str, lines: bytes
) -> None:
    fields = ((b"Content-Length", b"3"),) if body == 3 else ()
    head = answered(fields, body=body, version=version, close=close)
    assert head == b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n"
    assert wire_framing(body, visitor_version=version, method=b"GET", status=200) == framing


@pytest.mark.parametrize(("status", "method"), [(200, b"HEAD"), (304, b"GET"), (404, b"HEAD")])
@pytest.mark.parametrize("body", [None, 7, "chunked", "until-close"])
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_answer_to_head_and_304_keep_their_length_and_frame_nothing(
    status: int, method: bytes, body: BodyForm, version: bytes
) -> None:
    fields = ((b"Content-Length", b"7"),)
    head = answered(fields, status=status, method=method, body=body, version=version)
    kept = b"Connection: keep-alive\r\n" if version == b"1.0" else b""
    assert head == b"HTTP/1.1 %d OK\r\nContent-Length: 7\r\n" % status + kept + b"\r\n"
    bare = answered(status=status, method=method, body=body, version=version, close=True)
    assert bare == b"HTTP/1.1 %d OK\r\n" % status + CLOSE + b"\r\n"
    framing = wire_framing(body, visitor_version=version, method=method, status=status)
    assert framing == "none"


@pytest.mark.parametrize("lengths", [[b"x"], [b"7", b"7"]])
def test_length_that_frames_nothing_is_a_length_all_the_same(lengths: list[bytes]) -> None:
    fields = tuple((b"Content-Length", length) for length in lengths)
    with pytest.raises(HttpError, match="Content-Length"):
        answered(fields, method=b"HEAD", body=None)


@pytest.mark.parametrize("body", FORMS)
def test_204_leaves_without_framing(body: BodyForm) -> None:
    fields = ((b"A", b"b"), (b"content-length", b"0"))
    assert answered(fields, status=204, body=body) == b"HTTP/1.1 204 OK\r\nA: b\r\n\r\n"


def test_answer_without_a_body_form_is_refused_where_http_has_a_body() -> None:
    with pytest.raises(HttpError, match="body for an answer"):
        answered(body=None)
    with pytest.raises(HttpError, match="body for an answer"):
        wire_framing(None, visitor_version=b"1.1", method=b"GET", status=200)


@pytest.mark.parametrize("status", [100, 101, 199, 204])
def test_informational_answers_and_204_have_no_framing(status: int) -> None:
    for form in FORMS:
        framing = wire_framing(form, visitor_version=b"1.1", method=b"GET", status=status)
        assert framing == "none"


def test_101_switches_to_websocket_and_has_no_framing() -> None:
    fields = ((b"Sec-WebSocket-Accept", b"x"), (b"Content-Length", b"0"))
    head = answered(fields, status=101, reason=b"Go", body=None, upgrade=WS)
    assert head == (
        b"HTTP/1.1 101 Go\r\nSec-WebSocket-Accept: x\r\n"
        b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("status", "upgrade"),
    [
        (101, b""),
        (200, WS),
        (100, b""),
        (199, b""),
        (100, WS),
        (99, b""),
        (1000, b""),
    ],
)
def test_answer_has_a_final_status_or_is_the_101_to_an_upgrade(status: int, upgrade: bytes) -> None:
    with pytest.raises(HttpError, match="status"):
        answered(status=status, upgrade=upgrade)


@pytest.mark.parametrize("upgrade", [b"tcp, spdy", b"a b", b"a\r\nB: c", b"a/b/c"])
def test_a_101_names_one_protocol(upgrade: bytes) -> None:
    with pytest.raises(HttpError, match="Upgrade"):
        answered(status=101, body=None, upgrade=upgrade)


@pytest.mark.parametrize("status", [200, 599, 999])
def test_any_final_status_leaves(status: int) -> None:
    assert answered(status=status).startswith(b"HTTP/1.1 %d OK\r\n" % status)


@pytest.mark.parametrize("reason", [b"\r\n", b"OK\r\nA: b", b"\x00", b"\x7f"])
def test_bad_reason_is_refused(reason: bytes) -> None:
    with pytest.raises(HttpError, match="reason"):
        answered(reason=reason)
    with pytest.raises(HttpError, match="reason"):
        informational_head(103, reason, ())


def test_informational_answer_has_no_framing() -> None:
    fields = ((b"Link", b"</a>"), (b"Content-Length", b"0"), (b"link", b"</b>"))
    assert informational_head(103, b"Early", fields) == (
        b"HTTP/1.1 103 Early\r\nLink: </a>\r\nlink: </b>\r\n\r\n"
    )
    assert informational_head(100, b"", ()) == b"HTTP/1.1 100 \r\n\r\n"
    assert informational_head(199, b"", ()) == b"HTTP/1.1 199 \r\n\r\n"


@pytest.mark.parametrize("status", [99, 101, 200])
def test_informational_answer_is_1xx_and_not_101(status: int) -> None:
    with pytest.raises(HttpError, match="status"):
        informational_head(status, b"", ())


# --- chunks --------------------------------------------------------------------------------------


def test_chunk_of_nothing_is_nothing_and_not_the_last_one() -> None:
    assert chunk(b"") == b""
    assert chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"


def test_last_chunk_carries_the_trailers_that_may_cross() -> None:
    assert last_chunk() == b"0\r\n\r\n"
    trailers = ((b"x-Sum", b"1"), (b"Content-Length", b"5"), (b"X-Sum", b"\xe4"))
    assert last_chunk(trailers) == b"0\r\nx-Sum: 1\r\nX-Sum: \xe4\r\n\r\n"
    assert last_chunk(((b"Host", b"a"),)) == b"0\r\n\r\n"


# --- there and back ------------------------------------------------------------------------------

NAMES = st.from_regex(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,12}", fullmatch=True).filter(
    lambda name: (
        name.lower()
        not in (
            *(b"host", b"connection", b"keep-alive", b"proxy-connection", b"te"),
            *(b"transfer-encoding", b"upgrade", b"content-length", b"expect"),
        )
    )
)
VALUES = st.from_regex(
    rb"([\x21-\x7e\x80-\xff]([\t\x20-\x7e\x80-\xff]{0,12}[\x21-\x7e\x80-\xff])?)?", fullmatch=True
)
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=6)
BODIES = st.one_of(st.none(), st.integers(0, 10**18 - 1), st.just("chunked"))


def with_length(fields: list[tuple[bytes, bytes]], body: object, at: int) -> Fields:
    if isinstance(body, int):
        fields = [*fields]
        fields.insert(at, (b"Content-Length", b"%d" % body))
    return tuple(fields)


@given(
    method=st.sampled_from([b"GET", b"post", b"X!"]),
    target=st.from_regex(rb"/[\x21\x22\x24-\x7e]{0,20}", fullmatch=True),
    fields=FIELDS,
    body=BODIES,
    te=st.booleans(),
    at=st.integers(0, 6),
)
def test_request_is_read_as_it_was_written(
    method: bytes,
    target: bytes,
    fields: list[tuple[bytes, bytes]],
    body: BodyForm,
    te: bool,
    at: int,
) -> None:
    sent = with_length([*fields, HOST], body, at)
    head = parse_request(request_head(method, target, sent, body=body, te_trailers=te))
    assert (head.method, head.target, head.body, head.te_trailers) == (method, target, body, te)
    assert end_to_end(head.fields) == sent
    assert not head.upgrade


@given(
    status=st.integers(200, 999),
    reason=st.from_regex(rb"[\t\x20-\x7e\x80-\xff]{0,12}", fullmatch=True),
    fields=FIELDS,
    body=BODIES,
    close=st.booleans(),
    method=st.sampled_from([b"GET", b"HEAD"]),
    at=st.integers(0, 6),
)
def test_answer_is_read_as_it_was_written(
    status: int,
    reason: bytes,
    fields: list[tuple[bytes, bytes]],
    body: BodyForm,
    close: bool,
    method: bytes,
    at: int,
) -> None:
    bodiless = method == b"HEAD" or status in (204, 304)
    body = None if bodiless else "until-close" if body is None else body
    sent = with_length(fields, body, at)
    raw = answered(sent, status=status, reason=reason, body=body, close=close, method=method)
    head = parse_response(raw, method)
    assert (head.status, head.reason) == (status, reason)
    assert head.body == ("chunked" if body == "until-close" else body)
    assert end_to_end(head.fields) == sent
    assert head.keep_alive is not close


ANY_FIELDS = st.lists(
    st.tuples(
        st.one_of(binary(8), st.sampled_from([b"Host", b"Content-Length", b"TE"])),
        st.one_of(binary(8), st.sampled_from([b"a", b"5", b"b\r\nC: d"])),
    ),
    max_size=4,
).map(tuple)


@given(
    method=st.one_of(binary(4), st.just(b"GET")),
    target=st.one_of(binary(4), st.just(b"/")),
    fields=ANY_FIELDS,
    body=st.sampled_from(FORMS),
)
def test_whatever_is_asked_for_is_one_request_or_an_http_error(
    method: bytes, target: bytes, fields: Fields, body: BodyForm
) -> None:
    try:
        raw = request_head(method, target, (HOST, *fields), body=body)
    except HttpError:
        return
    head = parse_request(raw)
    assert end_to_end(head.fields) == (HOST, *fields)
    assert head.body == body


@given(
    status=st.integers(-1, 1001),
    reason=binary(4),
    fields=ANY_FIELDS,
    body=st.sampled_from(FORMS),
)
def test_whatever_is_answered_is_one_answer_or_an_http_error(
    status: int, reason: bytes, fields: Fields, body: BodyForm
) -> None:
    try:
        raw = answered(fields, status=status, reason=reason, body=body)
    except HttpError:
        return
    assert parse_response(raw, b"GET").status == status
