from __future__ import annotations

from tests.inspector_fakes import an_inspector, got

JSON = b"Content-Type: application/json"


async def test_two_answers_are_compared() -> None:
    async with an_inspector() as running:
        got(running.store, b'{"a": 1}', JSON)
        got(running.store, b'{"a": 2}', JSON, status=500)
        await running.until_sorted()
        found = await running.get("/api/diff?a=1&b=2")
        assert (found["a"], found["b"]) == (1, 2)
        assert found["status"] == {"before": 200, "after": 500}
        assert found["body"]["changes"][0]["path"] == ["a"]
        assert (await running.get("/api/diff?a=2&b=2"))["same"] is True
        for query, status in (("a=1", 400), ("a=1&b=x", 400), ("a=1&b=3", 404)):
            assert (await running.ask("GET", f"/api/diff?{query}")).status == status
        assert (await running.ask("GET", "/api/diff?a=1&b=2", token=None)).status == 401
