"""Hints name what a visitor may have written, and stay readable."""

from __future__ import annotations

from tunnel_client.identity.hints import SHOWN_CHARS, TRY_LOCAL, refused_post


def test_a_long_path_is_cut() -> None:
    fits, long = b"/" * SHOWN_CHARS, b"/" * (SHOWN_CHARS + 1)
    assert (
        refused_post(b"POST", fits, 403) == f"POST {fits.decode()} was refused (403). {TRY_LOCAL}"
    )
    assert (
        refused_post(b"POST", long, 403)
        == f"POST {fits.decode()}... was refused (403). {TRY_LOCAL}"
    )
