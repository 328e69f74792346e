from __future__ import annotations

from tests.inspector_fakes import an_inspector, got

SECRET = b"sk-abcdefgh12345678"


async def test_a_request_as_curl_and_as_python() -> None:
    async with an_inspector() as running:
        auth = b"Authorization: Bearer " + SECRET
        got(running.store, b"ok", auth, posted=b"a" * 100_000, method=b"POST", target=b"/hook")
        await running.until_sorted()
        assert {"curl", "httpx"} <= set((await running.get("/api/run"))["can"])
        for form, begin in (("curl", b"curl --globoff"), ("httpx", b"from pathlib import Path")):
            answer = await running.ask("GET", f"/api/exchanges/1/{form}")
            assert answer.status == 200
            assert answer.fields["content-type"] == "text/plain; charset=utf-8"
            assert answer.fields["x-masked"] == "1"
            assert answer.fields["cache-control"] == "no-store"
            assert begin in answer.body
            assert b"http://localhost:3000/hook" in answer.body
            assert SECRET not in answer.body
            answer = await running.ask("GET", f"/api/exchanges/1/{form}?secrets=1")
            assert answer.fields["x-masked"] == "0"
            assert SECRET in answer.body
            assert (await running.ask("GET", f"/api/exchanges/2/{form}")).status == 404
            assert (await running.ask("GET", f"/api/exchanges/1/{form}", token=None)).status == 401
