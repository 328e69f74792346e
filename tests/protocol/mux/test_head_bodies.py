"""`open` and `head` as each version of the wire has them."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given, strategies as st

from protocol import VERSIONS
from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.limits import ADDRESS_MAX_CHARS, CODE_MAX_CHARS, FIELDS_MAX, TEXT_MAX_CHARS
from protocol.mux.codec import UINT_MAX
from protocol.mux.head_bodies import pack_head, pack_open, read_head, read_open
from protocol.mux.messages import Head, Open
from tests.protocol.mux.pair import GET, OK

# The arrays of version 1, to which version 2 adds a map.
OPEN_1 = tuple(GET)[:11]
HEAD_1 = tuple(OK)[:4]
KNOWN = GET._replace(connection=7, request=0)


def refuses_open(value: object, version: int = 2) -> None:
    with pytest.raises(RemoteProtocolError):
        read_open(msgpack.packb(value), version)


def refuses_head(value: object, version: int = 2) -> None:
    with pytest.raises(RemoteProtocolError):
        read_head(msgpack.packb(value), version)


def refuses_opened(opened: Open) -> None:
    refuses_open((*opened[:11], {}))
    refuses_open(opened[:11], 1)


def refuses_answer(head: Head) -> None:
    refuses_head((*head[:4], {}))
    refuses_head(head[:4], 1)


# --- what is written can be read -----------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("body", [None, 0, 2**63 - 1, "chunked"])
def test_open_arrives_as_it_left(body: Any, version: int) -> None:
    opened = GET._replace(body=body, target=b"/\xff?\x80", credit=262_144)
    assert read_open(pack_open(opened, version), version) == opened


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("body", [None, 0, 17, "chunked", "until-close"])
def test_head_arrives_as_it_left(body: Any, version: int) -> None:
    closes = None if version == 1 else False
    head = OK._replace(reason=b"D\xe9j\xe0 vu", body=body, closes=closes)
    assert read_head(pack_head(head, version), version) == head


@pytest.mark.parametrize("version", VERSIONS)
def test_head_of_most_fields_passes_and_one_more_does_not(version: int) -> None:
    fields = ((b"a", b"b"),) * FIELDS_MAX
    assert read_head(pack_head(OK._replace(fields=fields), version), version).fields == fields
    more = OK._replace(fields=(*fields, (b"a", b"b")))
    with pytest.raises(LocalProtocolError, match=f"{FIELDS_MAX + 1} fields"):
        pack_head(more, version)
    refuses_answer(more)


# --- the map of version 2 ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("opened", "said"),
    [
        (GET, {}),
        (KNOWN, {"connection": 7, "request": 0}),
        (GET._replace(connection=UINT_MAX), {"connection": UINT_MAX}),
    ],
)
def test_open_ends_with_what_is_known_of_the_visitors_connection(
    opened: Open, said: dict[str, int]
) -> None:
    assert msgpack.unpackb(pack_open(opened), use_list=False) == (*OPEN_1, said)
    assert read_open(pack_open(opened)) == opened


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (OK, {}),
        (OK._replace(closes=True), {"closes": True}),
        (OK._replace(closes=True, bound=True), {"closes": True, "bound": True}),
    ],
)
def test_head_ends_with_what_is_said_of_the_apps_connection(
    head: Head, said: dict[str, bool]
) -> None:
    assert msgpack.unpackb(pack_head(head), use_list=False) == (*HEAD_1, said)
    assert read_head(pack_head(head)) == head


def test_version_1_has_no_place_for_it() -> None:
    assert msgpack.unpackb(pack_open(KNOWN, 1), use_list=False) == OPEN_1
    assert read_open(pack_open(KNOWN, 1), 1) == GET
    bound = OK._replace(closes=True, bound=True)
    assert msgpack.unpackb(pack_head(bound, 1), use_list=False) == HEAD_1
    assert read_head(pack_head(bound, 1), 1) == OK._replace(closes=None)


def test_each_version_has_its_own_number_of_members() -> None:
    refuses_open((*OPEN_1, {}), 1)
    refuses_open(OPEN_1, 2)
    refuses_head((*HEAD_1, {}), 1)
    refuses_head(HEAD_1, 2)


def test_unknown_keys_of_the_map_are_ignored() -> None:
    later = {"later": [1, {}], "connection": 7, "request": 0}
    assert read_open(msgpack.packb((*OPEN_1, later))) == KNOWN
    assert read_head(msgpack.packb((*HEAD_1, {"later": None, b"x": 1}))) == OK


@pytest.mark.parametrize("key", ["connection", "request"])
@pytest.mark.parametrize("value", [None, -1, 2**63, True, 1.0, "1", []])
def test_wrong_value_in_an_opens_map_is_refused(key: str, value: object) -> None:
    refuses_open((*OPEN_1, {key: value}))


@pytest.mark.parametrize("key", ["closes", "bound"])
@pytest.mark.parametrize("value", [None, 0, 1, "true", []])
def test_wrong_value_in_a_heads_map_is_refused(key: str, value: object) -> None:
    refuses_head((*HEAD_1, {key: value}))


@pytest.mark.parametrize("last", [None, [], 7, "map", b""])
def test_something_else_in_the_maps_place_is_refused(last: object) -> None:
    refuses_open((*OPEN_1, last))
    refuses_head((*HEAD_1, last))


# --- what the peer would refuse ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "limit"), [("host", TEXT_MAX_CHARS), ("visitor", ADDRESS_MAX_CHARS)]
)
def test_open_that_the_peer_would_refuse_is_not_written(changed: str, limit: int) -> None:
    opened: Any = GET
    longest = opened._replace(**{changed: "x" * limit})
    assert read_open(pack_open(longest)) == longest
    longer = opened._replace(**{changed: "x" * (limit + 1)})
    with pytest.raises(LocalProtocolError):
        pack_open(longer)
    refuses_opened(longer)


@pytest.mark.parametrize("status", [100, 999])
def test_outermost_status_passes_and_one_further_does_not(status: int) -> None:
    assert read_head(pack_head(OK._replace(status=status))).status == status
    further = OK._replace(status=status + (1 if status > 500 else -1))
    with pytest.raises(LocalProtocolError):
        pack_head(further)
    refuses_answer(further)


@pytest.mark.parametrize("body", ["until-close", -1, 2**63, True, "gzip", b"chunked"])
def test_form_that_no_request_has_is_refused_and_not_written(body: Any) -> None:
    opened = GET._replace(body=body)
    refuses_opened(opened)
    with pytest.raises(LocalProtocolError):
        pack_open(opened)


@pytest.mark.parametrize("body", [-1, 2**63, False, "gzip", 1.0, b"until-close"])
def test_form_that_no_answer_has_is_refused_and_not_written(body: Any) -> None:
    head = OK._replace(body=body)
    refuses_answer(head)
    with pytest.raises(LocalProtocolError):
        pack_head(head)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": b"http"},
        {"kind": "x" * (CODE_MAX_CHARS + 1)},
        {"claim": -1},
        {"method": "GET"},
        {"target": None},
        {"version": "1.1"},
        {"fields": {b"a": b"b"}},
        {"fields": [[b"a"]]},
        {"fields": [[b"a", b"b", b"c"]]},
        {"fields": [["a", b"b"]]},
        {"fields": [[b"a", "b"]]},
        {"fields": [b"ab"]},
        {"scheme": b"http"},
        {"host": None},
        {"visitor": 1},
        {"credit": None},
    ],
)
def test_wrong_open_is_refused(wrong: dict[str, Any]) -> None:
    refuses_opened(GET._replace(**wrong))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("value", [(), OPEN_1[:-1], (*OPEN_1, {}, 1), {}, None, b""])
def test_body_of_another_shape_is_refused(value: object, version: int) -> None:
    refuses_open(value, version)
    refuses_head(value, version)


SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats()
VALUES = st.recursive(
    SCALARS | st.binary(max_size=8) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=12)
        | st.dictionaries(st.sampled_from(["connection", "request", "x"]), inner)
    ),
    max_leaves=20,
)


@given(st.integers(0, len(OPEN_1)), VALUES)
def test_open_with_any_value_in_any_place_is_read_or_refused(place: int, value: object) -> None:
    values: list[object] = [*OPEN_1, {}]
    values[place] = value
    try:
        opened = read_open(msgpack.packb(values))
    except RemoteProtocolError:
        return
    assert read_open(pack_open(opened)) == opened
