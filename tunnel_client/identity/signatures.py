"""Requests that are signed with the address that the visitor used.

The app computes the signature again, of the Host and the URL that it sees. Asked as itself it sees
others, and says 401 or 403. Which fields are signed beside them cannot be told for all of these, so
such a request keeps its Destination and its If.
"""

from __future__ import annotations

from typing import Final

from protocol.http.fields import Fields

_SCHEMES: Final = frozenset(
    {
        b"acs3-hmac-sha256",  # Alibaba Cloud
        b"aws",  # Amazon's version 2: the bucket in the host's name
        b"aws4-ecdsa-p256-sha256",
        b"aws4-hmac-sha256",  # Amazon, MinIO, Ceph: Host is among the signed fields, always
        b"dpop",  # RFC 9449 7.1
        b"goog4-hmac-sha256",
        b"goog4-rsa-sha256",
        b"hawk",  # host and port
        b"hmac-sha256",  # Azure's App Configuration and Communication Services
        b"oauth",  # RFC 5849 3.4.1.2: OAuth 1, of scheme, host and path
        b"signature",  # the draft before RFC 9421
        b"tc3-hmac-sha256",  # Tencent Cloud
    }
)
"""Those of Authorization, in lower case."""

_FIELDS: Final = {
    b"dpop": "DPoP",  # RFC 9449 4.2: the URL, as `htu`
    b"messagebird-signature-jwt": "MessageBird-Signature-JWT",  # a hash of the URL
    b"signature": "Signature",  # the draft before RFC 9421; ActivityPub
    b"signature-input": "Signature-Input",  # RFC 9421
    b"x-hubspot-signature": "X-HubSpot-Signature",  # of the URL, in its version 2
    b"x-hubspot-signature-v3": "X-HubSpot-Signature-v3",
    b"x-plivo-signature-v2": "X-Plivo-Signature-V2",
    b"x-plivo-signature-v3": "X-Plivo-Signature-V3",
    b"x-square-hmacsha256-signature": "X-Square-HmacSha256-Signature",
    b"x-trello-webhook": "X-Trello-Webhook",
    b"x-twilio-signature": "X-Twilio-Signature",
}
"""Webhooks, and proofs, that are of the URL too: in lower case, and as each is written."""

# Of URLs that are signed beforehand: Amazon's and Google's.
_QUERIES: Final = (b"x-amz-signature=", b"x-goog-signature=")


def signed_by(target: bytes, fields: Fields) -> str | None:
    """Name what the request is signed by, for people; None if by nothing that is known here.

    Args:
        target: the request's.
        fields: the request's.
    """
    for name, value in fields:
        lower = name.lower()
        if lower in _FIELDS:
            return _FIELDS[lower]
        if lower == b"authorization":
            scheme = value.partition(b" ")[0]
            if scheme.lower() in _SCHEMES:
                return f"Authorization: {scheme.decode('ascii')}"
    query = target.partition(b"?")[2].lower()
    found = next((name for name in _QUERIES if name in query), None)
    return None if found is None else f"{found.decode('ascii')} in its URL"
