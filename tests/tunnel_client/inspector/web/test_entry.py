"""The whole table: every Host, Origin, Sec-Fetch-Site and token, each with each."""

from __future__ import annotations

from itertools import product

import pytest

from tunnel_client.inspector.web.entry import (
    NO_TOKEN,
    WRONG_HOST,
    WRONG_ORIGIN,
    WRONG_SITE,
    EntryHead,
    EntryRules,
    Rejection,
)
from tunnel_client.inspector.web.token import InspectorToken

PORT = 4040
RULES = EntryRules(PORT, InspectorToken("secret-1"), "box.example")

# Each value, and whether it is let pass. An Origin's stands beside the Host that it belongs to.
HOSTS: dict[tuple[bytes, ...], bool] = {
    (b"127.0.0.1:4040",): True,
    (b"LOCALHOST:4040",): True,
    (b"[::1]:4040",): True,
    (b"10.1.2.3:4040",): True,
    (b"box.example",): True,
    (b"box.example:8443",): True,
    (): False,
    (b"",): False,
    (b"127.0.0.1",): False,
    (b"127.0.0.1:4041",): False,
    (b"localhost:3000",): False,
    (b"rebound.example:4040",): False,
    (b"app.localhost:4040",): False,
    (b"127.0.0.1.rebound.example:4040",): False,
    (b"127.1:4040",): False,
    (b"2130706433:4040",): False,
    (b"[::1%lo]:4040",): False,
    (b"[::zz]:4040",): False,
    (b"localhost:4040@evil.example",): False,
    (b"localhost:4040", b"localhost:4040"): False,
    (b"loc\xc4\xb1lhost:4040",): False,
    ("localhost:\u0664\u0660\u0664\u0660".encode(),): False,
}
FOREIGN_ORIGINS: list[tuple[bytes, ...]] = [
    (b"http://127.0.0.1:3000",),
    (b"http://localhost:3000",),
    (b"http://evil.example",),
    (b"http://evil.example:4040",),
    (b"null",),
    (b"",),
    (b"file://",),
    (b"chrome-extension://abc",),
    (b"http://127.0.0.1:4040/",),
    (b"ws://127.0.0.1:4040",),
    (b"http://127.0.0.1:4040", b"http://127.0.0.1:4040"),
]
SITES: dict[tuple[bytes, ...], bool] = {
    (): True,
    (b"none",): True,
    (b"same-origin",): True,
    (b"same-site",): False,
    (b"cross-site",): False,
    (b"",): False,
    (b"same-origin", b"same-origin"): False,
}
TOKENS: dict[tuple[bytes, ...], bool] = {
    (b"Bearer secret-1",): True,
    (): False,
    (b"Bearer secret-2",): False,
    (b"Basic secret-1",): False,
    (b"Bearer secret-1", b"Bearer secret-1"): False,
}
WANT_TOKEN = {
    ("http", "/api/run"): True,
    ("http", "/api/"): True,
    ("http", "/"): False,
    ("http", "/page/0123"): False,
    ("websocket", "/api/live"): False,
}


def origins_for(hosts: tuple[bytes, ...]) -> dict[tuple[bytes, ...], bool]:
    origins = dict.fromkeys(FOREIGN_ORIGINS, False)
    origins[()] = True
    if len(hosts) == 1 and hosts[0].isascii():
        host = hosts[0].lower()
        origins[(b"http://" + host,)] = True
        origins[(b"https://" + host,)] = host.startswith(b"box.example")
    return origins


def expected(host: bool, origin: bool, site: bool, token: bool) -> Rejection | None:
    if not host:
        return WRONG_HOST
    if not origin:
        return WRONG_ORIGIN
    if not site:
        return WRONG_SITE
    return None if token else NO_TOKEN


@pytest.mark.parametrize("where", WANT_TOKEN, ids=str)
def test_the_whole_table(where: tuple[str, str]) -> None:
    kind, path = where
    assert kind in ("http", "websocket")
    seen = 0
    for hosts, sites, tokens in product(HOSTS, SITES, TOKENS):
        for origins, is_ours in origins_for(hosts).items():
            asked = EntryHead(kind, path, hosts, origins, sites, tokens)  # type: ignore[arg-type]
            token = TOKENS[tokens] or not WANT_TOKEN[where]
            wanted = expected(HOSTS[hosts], is_ours, SITES[sites], token)
            assert RULES.refusal(asked) == wanted, asked
            seen += 1
    assert seen > 10_000


def test_the_other_host_of_ours_is_another_origin() -> None:
    asked = EntryHead("http", "/", (b"127.0.0.1:4040",), (b"http://localhost:4040",))
    assert RULES.refusal(asked) == WRONG_ORIGIN


def test_port_80_may_be_left_out() -> None:
    rules = EntryRules(80, InspectorToken("secret-1"))
    asked = EntryHead("http", "/", (b"127.0.0.1",), (b"http://127.0.0.1",))
    assert rules.refusal(asked) is None


def test_without_a_name_none_is_ours() -> None:
    asked = EntryHead("http", "/", (b"box.example:4040",))
    assert EntryRules(PORT, InspectorToken("secret-1")).refusal(asked) == WRONG_HOST
