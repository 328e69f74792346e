from __future__ import annotations

import math
import ssl
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from protocol.errors import ConfigError
from protocol.names import APEX, tunnel_key
from tunnel_server.settings.config import (
    ServerConfig,
    bind_address,
    client_command,
    default_state_dir,
)
from tunnel_server.settings.values import MAX_DRAIN_TIMEOUT_S, MAX_WIRE_S, PublicUrl


def test_defaults_are_those_of_the_help() -> None:
    config = ServerConfig()
    assert (config.bind_host, config.bind_port) == ("127.0.0.1", 8080)
    assert config.domain == "localhost"
    assert config.drain_timeout_s == 8
    assert not config.open
    assert not config.json
    assert config.trusted_proxies == ()
    assert config.tls_context() is None


def test_state_is_kept_in_the_users_state_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/somewhere/state")
    assert default_state_dir() == Path("/somewhere/state/trio-tunnel")
    assert ServerConfig().tokens_file == Path("/somewhere/state/trio-tunnel/tokens")


def test_tokens_are_in_the_state_folder_or_where_the_flag_says() -> None:
    assert ServerConfig(state_dir=Path("/s")).tokens_file == Path("/s/tokens")
    config = ServerConfig(state_dir=Path("/s"), auth_file=Path("/a"))
    assert config.tokens_file == Path("/a")


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"bind_host": "example.com"}, "--bind: takes an IP address"),
        ({"bind_host": "127.0.0.1:80"}, "--bind: takes an IP address"),
        ({"bind_port": -1}, "--bind: takes an IP address"),
        ({"bind_port": 65536}, "a port is 0 to 65535"),
        ({"domain": ""}, "--domain: takes a domain name"),
        ({"domain": "127.0.0.1"}, "--domain: takes a domain name"),
        ({"domain": "Example.com"}, "--domain: takes a domain name"),
        ({"domain": "a" * 64}, "--domain: takes a domain name"),
        ({"public_url": PublicUrl("https", "example.com", 0)}, "--public-url: takes http"),
        ({"public_url": PublicUrl("https", "example.com", 65536)}, "--public-url: takes http"),
        ({"public_url": PublicUrl("ftp", "example.com", 21)}, "--public-url: takes http"),
        ({"tls_cert": Path("c")}, "--tls-key: is needed beside --tls-cert"),
        ({"tls_key": Path("k")}, "--tls-cert: is needed beside --tls-key"),
        ({"proxy_protocol": True}, "--trusted-proxies: is needed beside --proxy-protocol"),
        (
            {"trusted_fields": frozenset((b"x-forwarded-user",))},
            "--trusted-proxies: is needed beside --trusted-fields",
        ),
        ({"max_connections": 0}, "--max-connections: takes a whole number, 1 to 1,000,000"),
        ({"max_sessions": 0}, "--max-sessions: takes a whole number, 1 to 100,000"),
        ({"max_sessions": 100_001}, "--max-sessions: takes a whole number"),
        ({"max_connections": 1_000_001}, "--max-connections: takes a whole number"),
        ({"drain_timeout_s": -0.1}, "--drain-timeout: takes seconds, 0 to 86400"),
        ({"drain_timeout_s": MAX_DRAIN_TIMEOUT_S + 1}, "--drain-timeout: takes seconds"),
        ({"drain_timeout_s": math.nan}, "--drain-timeout: takes seconds"),
        ({"drain_timeout_s": math.inf}, "--drain-timeout: takes seconds"),
        ({"hold_s": -1}, "--hold: takes whole seconds"),
        ({"hold_s": MAX_WIRE_S + 1}, "--hold: takes whole seconds"),
        ({"log_level": "loud"}, "--log-level: takes error or warning or"),
        ({"ping_interval_s": 0}, "--heartbeat: takes two whole numbers"),
        ({"timeout_s": 14}, "--heartbeat: takes two whole numbers"),
        ({"timeout_s": MAX_WIRE_S + 1}, "--heartbeat: takes two whole numbers"),
    ],
)
def test_value_that_is_not_allowed_is_refused_by_the_name_of_its_flag(
    settings: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        ServerConfig(**settings)
    assert complaint in str(refused.value)
    assert str(refused.value) == f"{refused.value.key}: {refused.value.message}"


@pytest.mark.parametrize(
    "settings",
    [
        {"bind_port": 0},
        {"bind_port": 65535},
        {"bind_host": "::"},
        {"max_connections": 1},
        {"max_connections": 1_000_000},
        {"drain_timeout_s": 0.0},
        {"drain_timeout_s": MAX_DRAIN_TIMEOUT_S},
        {"hold_s": 0},
        {"hold_s": MAX_WIRE_S},
        {"ping_interval_s": 1, "timeout_s": 1},
        {"timeout_s": MAX_WIRE_S},
        {"public_url": PublicUrl("https", "example.com", 65535)},
    ],
)
def test_value_at_its_limit_is_allowed(settings: dict[str, Any]) -> None:
    ServerConfig(**settings)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        ServerConfig().domain = "example.com"  # type: ignore[misc]  # that is the test


def test_auth_file_that_was_named_is_never_ignored_but_for_open() -> None:
    assert ServerConfig(auth_file=Path("tokens")).authentication_required
    assert not ServerConfig(auth_file=Path("tokens"), open=True).authentication_required


@pytest.mark.parametrize(
    ("settings", "port", "apex", "tunnel"),
    [
        ({}, 41233, "http://localhost:41233", "http://app.localhost:41233"),
        ({"domain": "me.test"}, 80, "http://me.test", "http://app.me.test"),
        (
            {"tls_cert": Path("c"), "tls_key": Path("k")},
            8443,
            "https://localhost:8443",
            "https://app.localhost:8443",
        ),
        (
            {"tls_cert": Path("c"), "tls_key": Path("k")},
            443,
            "https://localhost",
            "https://app.localhost",
        ),
        (
            {"public_url": PublicUrl("https", "t.example.com", 443)},
            8080,
            "https://t.example.com",
            "https://app.t.example.com",
        ),
        (
            {"public_url": PublicUrl("https", "example.com", 80), "domain": "example.com"},
            8080,
            "https://example.com:80",
            "https://app.example.com:80",
        ),
    ],
)
def test_urls_are_made_of_the_public_url_or_else_of_domain_and_bound_port(
    settings: dict[str, Any], port: int, apex: str, tunnel: str
) -> None:
    config = ServerConfig(**settings)
    assert config.public_url_for(APEX, port) == apex
    assert config.public_url_for("app", port) == tunnel


def test_url_of_a_tunnel_leads_to_that_tunnel_and_that_of_the_service_to_the_service() -> None:
    public = PublicUrl("https", "share.example.com", 443)
    config = ServerConfig(domain="example.com", public_url=public)
    for name in ("app", "share", APEX):
        host = config.public_url_for(name, 8080).removeprefix("https://")
        assert tunnel_key(host, config.domains) == name
    assert tunnel_key("app.example.com", config.domains) == "app"


def test_public_host_right_above_the_domain_is_refused() -> None:
    # The URL of the tunnel named t would be the service's own.
    public = PublicUrl("https", "example.com", 443)
    with pytest.raises(ConfigError, match=r"^--public-url: .*t\.example\.com"):
        ServerConfig(domain="t.example.com", public_url=public)
    ServerConfig(domain="a.t.example.com", public_url=public)


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        ("10.1.2.3", True),
        ("11.1.2.3", False),
        ("fd00::7", True),
        ("fe00::7", False),
        ("::ffff:10.1.2.3", True),
        ("::ffff:11.1.2.3", False),
        ("", False),
        ("not an address", False),
    ],
)
def test_proxy_is_trusted_by_its_network(address: str, trusted: bool) -> None:
    networks = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    assert ServerConfig(trusted_proxies=networks).trusts(address) is trusted
    assert not ServerConfig().trusts(address)


def test_command_for_developers_names_the_server_unless_it_is_the_clients_default() -> None:
    assert client_command("http://localhost:8080", token_needed=False) == "tunnel-client http 3000"
    assert (
        client_command("https://example.com", token_needed=True)
        == "tunnel-client http 3000 --server https://example.com --token-file FILE"
    )


@pytest.fixture
def pem(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate and its key."""
    issued = trustme.CA().issue_cert("localhost")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    return cert, key


def test_certificate_and_key_make_a_context_for_http_1_1(pem: tuple[Path, Path]) -> None:
    context = ServerConfig(tls_cert=pem[0], tls_key=pem[1]).tls_context()
    assert isinstance(context, ssl.SSLContext)
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_certificate_that_is_missing_is_named(pem: tuple[Path, Path], tmp_path: Path) -> None:
    config = ServerConfig(tls_cert=tmp_path / "none.pem", tls_key=pem[1])
    with pytest.raises(ConfigError, match=r"^--tls-cert: takes a file that can be read.*No such"):
        config.tls_context()


def test_key_that_is_a_folder_is_named(pem: tuple[Path, Path], tmp_path: Path) -> None:
    config = ServerConfig(tls_cert=pem[0], tls_key=tmp_path)
    with pytest.raises(ConfigError, match=r"^--tls-key: takes a file that can be read"):
        config.tls_context()


def test_key_of_another_certificate_is_refused(pem: tuple[Path, Path]) -> None:
    pem[1].write_bytes(trustme.CA().issue_cert("localhost").private_key_pem.bytes())
    with pytest.raises(ConfigError, match=r"^--tls-cert: takes a PEM certificate that fits"):
        ServerConfig(tls_cert=pem[0], tls_key=pem[1]).tls_context()


def test_file_that_is_no_pem_is_refused(pem: tuple[Path, Path]) -> None:
    pem[0].write_text("no certificate")
    with pytest.raises(ConfigError, match=r"^--tls-cert: takes a PEM certificate"):
        ServerConfig(tls_cert=pem[0], tls_key=pem[1]).tls_context()


def test_encrypted_key_is_refused_and_no_passphrase_is_asked_for(pem: tuple[Path, Path]) -> None:
    key = load_pem_private_key(pem[1].read_bytes(), None)
    locked = BestAvailableEncryption(b"secret")
    pem[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))
    with pytest.raises(ConfigError, match=r"the key is encrypted"):
        ServerConfig(tls_cert=pem[0], tls_key=pem[1]).tls_context()


def test_ipv6_addresses_are_written_in_brackets() -> None:
    assert bind_address("127.0.0.1", 80) == "127.0.0.1:80"
    assert bind_address("::1", 80) == "[::1]:80"
