from __future__ import annotations

import pytest

from protocol.http.connection_auth import challenges_connection, is_for_connection


@pytest.mark.parametrize(
    "value",
    [
        b"NTLM",
        b"NTLM TlRMTVNTUAABAAAA",
        b"Negotiate oYG2",
        b"negotiate",
        b"nTLm\tx",
        b'Basic realm="x", NTLM',
        b"Negotiate,NTLM",
        b"Bearer , Negotiate",
    ],
)
def test_ntlm_and_negotiate_authenticate_the_connection(value: bytes) -> None:
    assert is_for_connection(value)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"Basic TlRMTQ==",
        b"Basic NTLM",
        b"Bearer negotiate",
        b"NTLMx",
        b"Negotiated x",
        b"x-ntlm",
        b'Basic realm="NTLM"',
    ],
)
def test_other_schemes_authenticate_the_request(value: bytes) -> None:
    assert not is_for_connection(value)


def test_a_long_list_is_read_in_one_go() -> None:
    # Linear: 48 KiB of it take about two milliseconds.
    assert not is_for_connection(b", " * 24_000)
    assert is_for_connection(b", " * 24_000 + b"NTLM")


@pytest.mark.parametrize(
    ("status", "name"), [(401, b"WWW-Authenticate"), (407, b"proxy-authenticate")]
)
def test_an_answer_that_asks_for_credentials_challenges(status: int, name: bytes) -> None:
    assert challenges_connection(status, ((name, b"Basic"), (name, b"NTLM")))
    assert not challenges_connection(status, ((name, b"Basic"),))
    assert not challenges_connection(200, ((name, b"NTLM"),))
    assert not challenges_connection(status, ((b"X-" + name, b"NTLM"),))
