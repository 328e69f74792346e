"""The certificate against the domain that it is for, and against the clock.

Whoever put the wrong file there hears of it when the server starts, and not by the first visitor.
It is a warning: a proxy may stand before the server, and its clock may be wrong.

Python decodes a certificate only where it has verified it. So the server's context shakes hands
with itself, in memory: that is what visitors will be shown, whatever else the file has.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tunnel_server.settings.config import ServerConfig

# OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which Python has no name for: when it is over is said here.
_NO_CHECK_TIME: Final = 0x200000
_NAMES_SHOWN: Final = 4  # about a line of a terminal

_ROUNDS_MAX: Final = 8  # of a handshake; TLS 1.3 needs two


def certificate_warning(config: ServerConfig, context: ssl.SSLContext, now: float) -> str | None:
    """The line about a certificate that clients and browsers will refuse; None: it is fine.

    Args:
        config: says where the certificate is, and for which domain.
        context: that of its `tls_context`.
        now: in seconds since the epoch.
    """
    path = config.tls_cert
    assert path is not None
    try:
        shown = _shown(context, path)
    except ssl.SSLError as error:
        why = getattr(error, "verify_message", "") or error.reason or "no handshake"
        return f"clients and browsers will refuse the certificate in {path}: {why}"
    faults = [fault for fault in (_of_time(shown, now), _of_names(shown, config.apex)) if fault]
    return f"the certificate in {path} {', and '.join(faults)}" if faults else None


def _shown(context: ssl.SSLContext, path: Path) -> Mapping[str, Any]:
    """The certificate that the context shows, decoded. Raises SSLError."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.load_verify_locations(path)
    # What the file has is trusted, its first certificate too, whoever has signed it.
    trusting.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(to_server, to_client, server_side=True)
    client = trusting.wrap_bio(to_client, to_server)
    for _ in range(_ROUNDS_MAX):
        if _goes_on(client):
            break
        _goes_on(server)
    return client.getpeercert() or {}


def _goes_on(end: ssl.SSLObject) -> bool:
    """Whether the handshake is done at this end. Raises SSLError."""
    try:
        end.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def _of_time(shown: Mapping[str, Any], now: float) -> str:
    begins, ends = (ssl.cert_time_to_seconds(shown[key]) for key in ("notBefore", "notAfter"))
    if now >= ends:
        return f"has expired: it was valid until {_date(ends)}"
    return f"is not valid yet: it will be from {_date(begins)}" if now < begins else ""


def _date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _of_names(shown: Mapping[str, Any], apex: str) -> str:
    """A name of the subject alone counts for nothing (RFC 9525 2)."""
    names = [value.lower() for kind, value in shown.get("subjectAltName", ()) if kind == "DNS"]
    lacks = []
    if not {apex, f"*.{apex.partition('.')[2]}"} & set(names):
        lacks.append(f"{apex} (the service: clients cannot connect)")
    if f"*.{apex}" not in names:
        lacks.append(f"*.{apex} (the tunnels: browsers refuse them)")
    return f"covers {_listed(names)} and not {' nor '.join(lacks)}" if lacks else ""


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    said = ", ".join(names[:_NAMES_SHOWN]) or "no host"
    return f"{said} and {more} more" if more > 0 else said
