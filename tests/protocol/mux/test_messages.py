from __future__ import annotations

from protocol.mux.messages import Resume, Welcome


def test_secret_shows_in_no_repr() -> None:
    secret = b"\xab" * 32
    welcome = Welcome((), "agent", b"\x01" * 16, secret, 15, 30, 0)
    resume = Resume(b"\x01" * 16, secret, 1, 2)
    for message in (welcome, resume):
        shown = f"{message} {message!r}"
        assert "01" * 16 in shown
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown
