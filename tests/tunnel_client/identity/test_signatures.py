from __future__ import annotations

import pytest

from tunnel_client.identity.signatures import signed_by


@pytest.mark.parametrize(
    ("field", "said"),
    [
        (
            (b"Authorization", b"AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=c"),
            "Authorization: AWS4-HMAC-SHA256",
        ),
        ((b"authorization", b"aws4-hmac-sha256 x"), "Authorization: aws4-hmac-sha256"),
        ((b"Authorization", b'Signature keyId="a",headers="host"'), "Authorization: Signature"),
        ((b"Authorization", b"DPoP token"), "Authorization: DPoP"),
        ((b"X-TWILIO-Signature", b"x"), "X-Twilio-Signature"),
        ((b"dpop", b"x.y.z"), "DPoP"),
        ((b"Signature-Input", b'sig1=("@authority")'), "Signature-Input"),
    ],
)
def test_signed_requests_are_known(field: tuple[bytes, bytes], said: str) -> None:
    assert signed_by(b"/", ((b"Host", b"a"), field)) == said


def test_an_url_that_was_signed_beforehand_is_known() -> None:
    target = b"/bucket/key?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=abc"
    assert signed_by(target, ()) == "x-amz-signature= in its URL"
    assert signed_by(b"/x-amz-signature=abc", ()) is None


@pytest.mark.parametrize(
    "field",
    [
        (b"Authorization", b"Basic AWS4-HMAC-SHA256"),
        (b"Authorization", b"Bearer x"),
        (b"Authorization", b"Digest uri=/"),
        (b"Authorization", b"AWS4-HMAC-SHA256x a"),
        (b"Authorization", b"\xe9 a"),
        (b"X-Hub-Signature-256", b"sha256=x"),  # of the body alone
        (b"Stripe-Signature", b"t=1"),
        (b"X-Signature", b"x"),
    ],
)
def test_others_are_not(field: tuple[bytes, bytes]) -> None:
    assert signed_by(b"/?signature=1", (field,)) is None
