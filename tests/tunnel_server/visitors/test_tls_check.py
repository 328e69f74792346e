"""What a proxy with on-demand TLS is told about a host."""

from __future__ import annotations

import pytest

from protocol.mux.messages import Claim, Claimed
from tests.edge_fakes import World, get, hello, open_world, tunnel_error
from tunnel_server.settings.values import PublicUrl

ASK = b"/_tunnel/tls-check"


async def asked(world: World, query: bytes) -> tuple[int, str | None]:
    visitor = world.visit()
    await visitor.send(get(ASK + query, b"Connection: close", host=b"127.0.0.1:8080"))
    return tunnel_error(await visitor.rest())


@pytest.mark.parametrize(
    "domain",
    [
        b"app.example.com",
        b"APP.Example.com",
        b"app.example.com.",
        b"%61pp%2Eexample.com",
        b"example.com",
        b"tunnels.example.org",
        b"app.tunnels.example.org",
    ],
)
async def test_the_service_and_its_tunnels_get_certificates(domain: bytes) -> None:
    public_url = PublicUrl("https", "tunnels.example.org", 443)
    async with open_world(domain="example.com", public_url=public_url, open=True) as world:
        await world.client(hello)
        assert await asked(world, b"?domain=" + domain) == (200, None)


@pytest.mark.parametrize(
    "domain",
    [
        b"other.example.com",  # nobody ever held it
        b"example.org",
        b"app.example.org",
        b"app.app.example.com",
        b"%2a.example.com",
        b"-app.example.com",
        b"app.example.com:443",
        b"app.example.com%3A443",
        b"app.example.com..",
        b".example.com",
        b"localhost",  # the service answers for it, and no CA does
        b"127.0.0.1",
        b"%5B%3A%3A1%5D",
        b"app.example.com%00",
        b"app%E2%84%AA.example.com",
        b"a" * 300,
    ],
)
async def test_no_other_host_gets_one(domain: bytes) -> None:
    async with open_world(domain="example.com", open=True) as world:
        await world.client(hello)
        expected = (400, "bad-request") if b":" in domain else (404, "tunnel-not-found")
        assert await asked(world, b"?domain=" + domain) == expected


@pytest.mark.parametrize(
    "query",
    [
        b"",
        b"?",
        b"?domain=",
        b"?domain",
        b"?Domain=example.com",
        b"?domain=example.com&domain=example.com",
        b"?a=b&domain=example.com",
        b"?domain=example.com&a=b",
        b"?domain=example.com?",
        b"?domain=example%2",
        b"?domain=example%zz",
        b"?domain=app+example.com",
        b"?domain=*.example.com",
    ],
)
async def test_a_query_of_another_form_is_a_bad_request(query: bytes) -> None:
    async with open_world(domain="example.com", open=True) as world:
        assert await asked(world, query) == (400, "bad-request")


async def test_a_name_that_was_given_up_gets_none() -> None:
    """Else whoever claims fifty and gives them up uses up what a CA makes in a week."""
    async with open_world(domain="example.com", open=True) as world:
        client = await world.client(hello)
        assert await asked(world, b"?domain=app.example.com") == (200, None)
        world.directory.release(client.server)
        assert await asked(world, b"?domain=app.example.com") == (404, "tunnel-not-found")


@pytest.mark.parametrize(("name", "default"), [("", ""), ("otter", "otter")])
async def test_a_name_that_nobody_chose_gets_none(name: str, default: str) -> None:
    """Each certificate is published, and such a name is a secret."""
    async with open_world(domain="example.com", open=True) as world:
        client = await world.client(hello)
        answer = world.directory.claim(
            client.server, Claim(2, name, b"i" * 16, start=True, options={}, default=default)
        )
        assert isinstance(answer, Claimed)
        query = f"?domain={answer.name}.example.com".encode()
        assert await asked(world, query) == (404, "tunnel-not-found")


async def test_it_takes_get_and_head_only(world: World) -> None:
    visitor = world.visit()
    await visitor.send(
        b"POST /_tunnel/tls-check?domain=localhost HTTP/1.1\r\n"
        b"Host: localhost\r\nConnection: close\r\n\r\n"
    )
    assert tunnel_error(await visitor.rest()) == (405, "method-not-supported")
