from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from tunnel_server.settings.certificate import certificate_warning
from tunnel_server.settings.config import ServerConfig

DOMAIN = "tunnel.example.com"
NOT_BEFORE = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NOT_AFTER = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
NO_APEX = f"{DOMAIN} (the service: clients cannot connect)"
NO_WILDCARD = f"*.{DOMAIN} (the tunnels: browsers refuse them)"


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


def warning(
    ca: trustme.CA,
    folder: Path,
    *names: str,
    common_name: str | None = None,
    at: datetime = NOT_AFTER - timedelta(days=1),
    key_type: trustme.KeyType = trustme.KeyType.ECDSA,
) -> str | None:
    """What is said of a certificate for these names, without the path."""
    leaf = ca.issue_cert(
        *names,
        common_name=common_name,
        not_before=NOT_BEFORE,
        not_after=NOT_AFTER,
        key_type=key_type,
    )
    cert, key = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    key.write_bytes(leaf.private_key_pem.bytes())
    config = ServerConfig(domain=DOMAIN, tls_cert=cert, tls_key=key)
    context = config.tls_context()
    assert context is not None
    said = certificate_warning(config, context, at.timestamp())
    return said and said.replace(str(cert), "FILE")


@pytest.mark.parametrize("key_type", list(trustme.KeyType))
@pytest.mark.parametrize(
    "names",
    [
        (DOMAIN, f"*.{DOMAIN}"),
        (f"*.{DOMAIN.upper()}", "other.test", DOMAIN),
        ("*.example.com", f"*.{DOMAIN}"),
    ],
)
def test_of_a_certificate_for_the_domain_and_its_tunnels_nothing_is_said(
    ca: trustme.CA, tmp_path: Path, names: tuple[str, ...], key_type: trustme.KeyType
) -> None:
    assert warning(ca, tmp_path, *names, key_type=key_type) is None


@pytest.mark.parametrize(
    ("names", "covers", "lacks"),
    [
        ([DOMAIN], DOMAIN, NO_WILDCARD),
        ([f"*.{DOMAIN}"], f"*.{DOMAIN}", NO_APEX),
        (["*.example.com"], "*.example.com", NO_WILDCARD),
        (["example.com"], "example.com", f"{NO_APEX} nor {NO_WILDCARD}"),
        (["192.0.2.1"], "no host", f"{NO_APEX} nor {NO_WILDCARD}"),
        (list("abcd"), "a, b, c, d", f"{NO_APEX} nor {NO_WILDCARD}"),
        (list("abcdef"), "a, b, c, d and 2 more", f"{NO_APEX} nor {NO_WILDCARD}"),
    ],
)
def test_names_that_it_lacks_are_said_with_those_that_it_has(
    ca: trustme.CA, tmp_path: Path, names: list[str], covers: str, lacks: str
) -> None:
    said = f"the certificate in FILE covers {covers} and not {lacks}"
    assert warning(ca, tmp_path, *names) == said


def test_a_name_of_the_subject_alone_is_none(ca: trustme.CA, tmp_path: Path) -> None:
    said = warning(ca, tmp_path, f"*.{DOMAIN}", common_name=DOMAIN)
    assert said == f"the certificate in FILE covers *.{DOMAIN} and not {NO_APEX}"


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (
            NOT_BEFORE - timedelta(seconds=1),
            "is not valid yet: it will be from 2026-03-01 12:00 UTC",
        ),
        (NOT_BEFORE, None),
        (NOT_AFTER - timedelta(seconds=1), None),
        (NOT_AFTER, "has expired: it was valid until 2026-06-01 12:00 UTC"),
    ],
)
def test_one_that_is_over_says_since_when(
    ca: trustme.CA, tmp_path: Path, at: datetime, said: str | None
) -> None:
    told = warning(ca, tmp_path, DOMAIN, f"*.{DOMAIN}", at=at)
    assert told == (said and f"the certificate in FILE {said}")


def test_both_are_one_line(ca: trustme.CA, tmp_path: Path) -> None:
    said = warning(ca, tmp_path, DOMAIN, at=NOT_AFTER)
    assert said is not None
    assert said.endswith(f"2026-06-01 12:00 UTC, and covers {DOMAIN} and not {NO_WILDCARD}")


def test_one_that_is_for_no_server_is_told_as_openssl_does(
    ca: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients_only = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    monkeypatch.setattr(x509, "ExtendedKeyUsage", lambda _: clients_only)
    said = warning(ca, tmp_path, DOMAIN)
    assert said is not None
    assert said.startswith("clients and browsers will refuse the certificate in FILE: ")
    assert "purpose" in said
