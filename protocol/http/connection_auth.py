"""NTLM and Negotiate: HTTP authentication of a connection in the place of a request (RFC 4559).

What comes by the connection afterwards is that user's, whoever sends it. So whoever shares
connections between visitors has to know where a credential or a challenge of these has passed.
"""

from __future__ import annotations

import re
from typing import Final

from protocol.http.fields import Fields, values_of

CREDENTIALS: Final = frozenset({b"authorization", b"proxy-authorization"})
"""The fields of a request that carry credentials, in lower case."""

# The first word of a credential, or of one challenge in a list. A quoted text that looks like one
# costs its connection, and nothing else.
_SCHEME: Final = re.compile(rb"(?:^|,)[ \t]*(?:ntlm|negotiate)(?=[ \t,]|$)", re.IGNORECASE)


def is_for_connection(value: bytes) -> bool:
    """Whether a credential, or a list of challenges, is of a scheme that authenticates connections.

    Args:
        value: of Authorization or WWW-Authenticate, or of their Proxy- likes.
    """
    return _SCHEME.search(value) is not None


def challenges_connection(status: int, fields: Fields) -> bool:
    """Whether an answer asks that its connection be authenticated.

    Only 401 and 407 ask for credentials (RFC 9110, 15.5.2 and 15.5.8); elsewhere the field is a
    hint, or the end of an exchange whose request had a credential.
    """
    if status not in (401, 407):
        return False
    names = (b"www-authenticate", b"proxy-authenticate")
    return any(is_for_connection(value) for name in names for value in values_of(fields, name))
