"""The same command in the same folder has the same URL."""

from __future__ import annotations

from tests.programs import Programs
from tests.system.origin import Origin


async def test_each_start_has_the_same_name_and_a_second_client_another(
    programs: Programs, origin: Origin
) -> None:
    _, port = await programs.server()
    first = await programs.client(origin.port, port)
    ready = await first.event("ready")
    assert ready["name_from"] == "folder"
    second = await programs.client(origin.port, port)
    other = await second.event("ready")
    assert (other["name_from"], other["name"] != ready["name"]) == ("random", True)
    assert ready["name"] in other["note"]
    assert "at 127.0.0.1" in other["note"]
    await first.kill()
    third = await programs.client(origin.port, port)
    again = await third.event("ready")
    assert (again["name"], again["note"]) == (ready["name"], None)
    fresh = await programs.client(origin.port, port, "--random")
    assert (await fresh.event("ready"))["name_from"] == "random"


async def test_of_two_that_want_one_name_both_say_where_the_other_is(
    programs: Programs, origin: Origin
) -> None:
    _, port = await programs.server()
    first = await programs.client(origin.port, port, "--subdomain", "shop")
    await first.event("ready", name_from="chosen", note=None)
    second = await programs.client(origin.port, port, "--subdomain", "shop")
    ready = await second.event("ready", name_from="chosen")
    assert ready["note"] == "it was taken from another client of yours at 127.0.0.1"
    refused = await first.event("refused")
    assert refused["code"] == "taken-over"
    assert refused["message"] == "another client of yours at 127.0.0.1 has taken shop"
    assert await first.exit_code() == 3
