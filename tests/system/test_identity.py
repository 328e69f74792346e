"""What the app is asked with, and what its visitors are told of it, in both identities."""

from __future__ import annotations

import json

from tests.asked_apps import a_talking_app, link_by_name
from tests.programs import Programs
from tests.system.origin import Origin
from tests.system.visitor import Answer, visit


async def asked(programs: Programs, origin: Origin, *flags: str) -> tuple[str, Answer]:
    """The public origin, and the answer to a request that has it as Origin and Referer."""
    tunnel = await programs.tunnel(origin.port, *flags)
    public = f"http://{tunnel.address.authority}"
    async with visit(tunnel.address) as visitor:
        fields = [("Origin", public), ("Referer", f"{public}/form")]
        await visitor.request("/fields", fields=fields)
        answer = await visitor.answer()
        answer.body = b"".join([data async for data in visitor.body()])
    return public, answer


async def test_by_default_the_app_is_asked_as_itself(programs: Programs, origin: Origin) -> None:
    public, answer = await asked(programs, origin)
    own = f"localhost:{origin.port}"
    assert json.loads(answer.body) == {
        "host": own,
        "origin": f"http://{own}",
        "referer": f"http://{own}/form",
        "x-forwarded-for": "127.0.0.1",
        "tunnel-hops": "1",
    }
    assert answer.fields["location"] == f"{public}/next"
    assert answer.fields["set-cookie"] == "a=b; Domain=app.localhost"
    assert answer.fields["access-control-allow-origin"] == public


async def test_in_public_it_is_asked_as_visitors_ask(programs: Programs, origin: Origin) -> None:
    public, answer = await asked(programs, origin, "--identity", "public")
    host = public.removeprefix("http://")
    assert json.loads(answer.body) == {
        "host": host,
        "origin": public,
        "referer": f"{public}/form",
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-host": host,
        "x-forwarded-proto": "http",
        "x-forwarded-port": host.rpartition(":")[2],
        "forwarded": f'for=127.0.0.1;host="{host}";proto=http',
        "tunnel-hops": "1",
    }
    assert answer.fields["location"] == f"http://localhost:{origin.port}/next"
    assert answer.fields["set-cookie"] == "a=b"  # the server's: it would be every tunnel's cookie
    assert answer.fields["access-control-allow-origin"] == public


async def test_flags_have_the_last_word(programs: Programs, origin: Origin) -> None:
    public, answer = await asked(
        programs,
        origin,
        *("--host-header", "shop.test", "--request-header", "X-Key: secret"),
        *("--request-header-remove", "x-forwarded-for", "--response-header", "Location: /"),
        *("--response-header-remove", "Set-Cookie"),
    )
    assert json.loads(answer.body) == {
        "host": "shop.test",
        "origin": "http://shop.test",
        "referer": "http://shop.test/form",
        "x-key": "secret",
        "tunnel-hops": "1",
    }
    assert answer.fields["location"] == "/"
    assert "set-cookie" not in answer.fields
    assert answer.fields["access-control-allow-origin"] == public


async def test_what_an_app_refuses_is_said_once_with_the_flag_that_helps(
    programs: Programs, origin: Origin
) -> None:
    tunnel = await programs.tunnel(origin.port)
    signed = [("Authorization", "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=c")]
    async with visit(tunnel.address) as visitor:
        for status, fields in [("400", []), ("400", []), ("400", []), ("403", signed)] * 2:
            await visitor.request(f"/refused?status={status}", fields=fields)
            answer = await visitor.answer()
            assert b"".join([data async for data in visitor.body()]) == b"no"
            assert str(answer.status) == status
            visitor.connection.start_next_cycle()
    await tunnel.client.stop()
    said = tunnel.client.stderr
    assert said.count("--request-header-remove X-Forwarded-For") == 1
    assert said.count("--identity public") == 1
    assert f"--host-header {tunnel.address.authority}" in said


async def test_by_default_an_app_whose_links_follow_its_name_is_asked_by_the_public_one(
    programs: Programs,
) -> None:
    async with a_talking_app(link_by_name) as app:
        tunnel = await programs.tunnel(app.target.port)
        public = f"http://{tunnel.address.authority}"
        told = await tunnel.client.event("identity")
        assert told == {
            "event": "identity",
            "time": told["time"],
            "mode": "public",
            "path": "/",
            "reason": "it makes its links from the name it is asked by",
            "asks": 5,
            "origin": public,
            "hint": None,
        }
        async with visit(tunnel.address) as visitor:
            answer = await visitor.fetch("/")
        assert answer.body == f"<a href='{public}/x'>x</a>".encode()


async def test_ready_says_what_the_app_is_asked_as(programs: Programs) -> None:
    async with a_talking_app(link_by_name) as app:
        for flags, identity in (
            ((), "auto"),
            (("--identity", "public"), "public"),
            (("--host-header", "shop.test"), "local"),
        ):
            tunnel = await programs.tunnel(app.target.port, *flags, name=f"app-{identity}")
            ready = next(event for event in tunnel.client.events if event["event"] == "ready")
            assert ready["identity"] == identity
