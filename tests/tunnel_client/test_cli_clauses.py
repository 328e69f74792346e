"""A flag that does nothing is never accepted: those of later work are unknown until they work."""

from __future__ import annotations

import pytest

from tunnel_client.cli import config_from


@pytest.mark.parametrize(
    ("flag", "value", "hint"),
    [
        ("--doctor", "4040", "allowed: --server, "),
        ("--basic-auth", "user:secret", "allowed: --server, "),
    ],
)
@pytest.mark.parametrize("joined", [False, True])
def test_flags_of_later_work_are_unknown_to_the_client(
    capsys: pytest.CaptureFixture[str], flag: str, value: str, hint: str, joined: bool
) -> None:
    arguments = [f"{flag}={value}"] if joined else [flag, value]
    assert config_from(["http", "3000", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"tunnel-client: {flag}: no such flag; {hint}")
    assert err.count("\n") == 1
    assert "secret" not in err
