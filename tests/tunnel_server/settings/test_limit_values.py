from __future__ import annotations

import pytest

from protocol.errors import ConfigError
from tunnel_server.settings.limit_values import (
    NO_LIMITS,
    Limits,
    LimitTexts,
    RequestRate,
    parse_limits,
)


@pytest.mark.parametrize(
    ("texts", "limits"),
    [
        ((), NO_LIMITS),
        (("visitor.requests=500/5000",), Limits({"visitor": RequestRate(500, 5000)}, None)),
        (("tunnel.requests=0.5",), Limits({"tunnel": RequestRate(0.5, 5)}, None)),
        (("owner.requests=0.01/1",), Limits({"owner": RequestRate(0.01, 1)}, None)),
        (("owner.tunnels=5",), Limits({}, 5)),
        (
            ("owner.tunnels=5", "tunnel.requests=1/2", "owner.tunnels=6"),
            Limits({"tunnel": RequestRate(1, 2)}, 6),
        ),
    ],
)
def test_limits(texts: tuple[str, ...], limits: Limits) -> None:
    assert parse_limits(texts, "--limit") == limits


@pytest.mark.parametrize(
    "text",
    [
        *("", "visitor", "visitor.requests", "visitor.requests=", "visitor.requests=0"),
        *(
            "visitor.requests=-1",
            "visitor.requests=1/0",
            "visitor.requests=1/",
            "visitor.requests=x",
        ),
        *("visitor.requests=1/0.5", "visitor.requests=1000001", "visitor.requests=1e3"),
        *("visitor.request=1", "visitor.tunnels=1", "owner.tunnels=1.5", "owner.tunnels=0"),
        *("owner.tunnels=1/2", "visitor.requests=\u0661", "x" * 1000),
    ],
)
def test_what_is_no_limit_is_one_line_that_quotes_it(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_limits((text,), "--limit")
    said = str(refused.value)
    assert said.startswith("--limit: takes visitor.requests, tunnel.requests, owner.requests=")
    assert said.endswith(f", not {text!r}") is (len(text) <= 60)


def test_in_the_file_it_is_a_table() -> None:
    kind = LimitTexts("X")
    said = {"visitor": {"requests": "500/5000"}, "owner": {"tunnels": 5}}
    texts = kind.from_file(said, "limits")
    assert texts == ("visitor.requests=500/5000", "owner.tunnels=5")
    assert kind.read(texts, "limits") == Limits({"visitor": RequestRate(500, 5000)}, 5)
    assert kind.from_file(list(texts), "limits") == texts  # as `config show` prints them
    wrongs: tuple[object, ...] = (5, [5], "x", {"visitor": 5})
    for wrong in wrongs:
        with pytest.raises(ConfigError):
            kind.from_file(wrong, "limits")
