"""Whether a certificate may be made for a host: what a proxy with on-demand TLS asks first.

Caddy asks `/_tunnel/tls-check?domain=HOST` before it has a certificate issued, and takes 200 for
yes. Yes are the service's own domains, and a name that a person chose and a client holds now (one
that was cut off for a moment holds it all the same). A name that nobody holds is no, whoever had
it: else anybody could have certificates made without end, by claiming names and giving them up, and
a CA makes fifty a week for a domain. A name that was made up is no, because each certificate is
published (Certificate Transparency), and such a name is the URL's only secret.

That says no more than a request to the host itself would. So nobody has to show a token.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from tunnel_server.answers.answer import Answer, certificate_allowed
from tunnel_server.answers.refusal import Refusal
from tunnel_server.tunnels.directory import Directory

# One parameter and nothing else: unreserved characters, or percent-encoded (RFC 3986, 2.1, 2.3).
_QUERY: Final = re.compile(rb"domain=((?:[A-Za-z0-9\-._~]|%[0-9A-Fa-f]{2})++)")


def tls_check(directory: Directory, query: bytes) -> Refusal | Answer:
    """The answer for a query: 200, or 404 for a host that gets none, or 400 where none is named."""
    match = _QUERY.fullmatch(query)
    if match is None:
        return Refusal("bad-request", "The query has to be domain=HOST, no more.")
    host = unquote_to_bytes(match[1])
    if not directory.may_have_certificate(host):
        return Refusal("tunnel-not-found", "This host gets no certificate here.")
    return certificate_allowed()
