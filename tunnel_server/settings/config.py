"""The server's settings: what is allowed, and what follows from it.

They are read once, at start, into a frozen `ServerConfig` that cannot hold a value that is not
allowed. Every complaint is a `ConfigError`, which names the flag and what it takes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from protocol.errors import ConfigError
from protocol.limits import HOLD_S, PING_INTERVAL_S, TIMEOUT_S
from protocol.names import is_legal_domain
from protocol.program.folders import NO_HOME, user_state_folder
from protocol.program.settings import LOG_LEVELS, LogLevel
from tunnel_server.settings.limit_values import NO_LIMITS, Limits
from tunnel_server.settings.reach import is_this_machine, made_public_by
from tunnel_server.settings.values import (
    BIND,
    CONNECTIONS,
    DEFAULT_BIND_HOST,
    DEFAULT_BIND_PORT,
    DEFAULT_DOMAIN,
    DEFAULT_DRAIN_TIMEOUT_S,
    DEFAULT_KEEP_NAMES_S,
    DEFAULT_PORTS,
    DOMAIN,
    DRAIN,
    HEARTBEAT,
    HOLD,
    MAX_CONNECTIONS,
    MAX_DRAIN_TIMEOUT_S,
    MAX_SESSIONS,
    MAX_WIRE_S,
    PUBLIC_URL,
    SESSIONS,
    Network,
    PublicUrl,
    refuse,
)

if TYPE_CHECKING:
    import ssl

_CLIENT_DEFAULT_SERVER: Final = "http://localhost:8080"


def default_state_dir() -> Path:
    """The folder of this user's state, `~/.local/state/trio-tunnel` on Linux.

    Raises:
        ConfigError: there is no home.
    """
    folder = user_state_folder()
    if folder is None:
        raise ConfigError("--state-dir", f"is missing, and {NO_HOME}")
    return folder


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """All settings of one server.

    Attributes:
        bind_host: the IP address to listen on.
        bind_port: 0 takes a free one.
        domain: tunnels are the labels in front of it; lower case.
        public_url: the apex as visitors see it; None: made of the domain and the bound port.
        auth_file: the tokens, if somebody named a file; `tokens_file` has the default.
        open: let everybody in, whatever the address is.
        tls_cert: PEM with the certificate and its chain; None: plain HTTP.
        tls_key: PEM with its key.
        trusted_proxies: whose forwarding fields are believed.
        trusted_fields: forwarding fields beside those that every proxy sets; in lower case.
        proxy_protocol: every connection is one of theirs, and begins with a PROXY header.
        max_connections: of visitors; None: what descriptors there are.
        max_sessions: of clients; None: an eighth of the descriptors, 1,024 at most.
        limits: of requests and tunnels.
        wide_cookies: let an app set cookies for the domain above its own host.
        drain_timeout_s: how long a stop waits for what is in flight.
        hold_s: how long a session is kept whose connection was lost.
        keep_names_s: how long a name that went stays its owner's; 0: as long as it is held.
        ping_interval_s: how often both ends of a session ping.
        timeout_s: how long a session's peer may be silent.
        state_dir: this server's folder; it need not exist yet.
        trust_state_dir: believe it, and the auth file, though others may write there.
        replace: take the sockets over from the server that listens there.
        json: events on stdout as JSON, one a line.
        log_level: one of LOG_LEVELS.

    Raises:
        ConfigError: a value is not allowed, alone or beside another.
    """

    bind_host: str = DEFAULT_BIND_HOST
    bind_port: int = DEFAULT_BIND_PORT
    domain: str = DEFAULT_DOMAIN
    public_url: PublicUrl | None = None
    auth_file: Path | None = None
    open: bool = False
    tls_cert: Path | None = None
    tls_key: Path | None = None
    trusted_proxies: tuple[Network, ...] = ()
    trusted_fields: frozenset[bytes] = frozenset()
    proxy_protocol: bool = False
    max_connections: int | None = None
    max_sessions: int | None = None
    limits: Limits = NO_LIMITS
    wide_cookies: bool = False
    drain_timeout_s: float = DEFAULT_DRAIN_TIMEOUT_S
    hold_s: int = HOLD_S
    keep_names_s: float = DEFAULT_KEEP_NAMES_S
    ping_interval_s: int = PING_INTERVAL_S
    timeout_s: int = TIMEOUT_S
    state_dir: Path = field(default_factory=default_state_dir)
    trust_state_dir: bool = False
    replace: bool = False
    json: bool = False
    log_level: LogLevel = "info"

    def __post_init__(self) -> None:
        _check_bind(self.bind_host, self.bind_port)
        if not is_legal_domain(self.domain):
            refuse("--domain", DOMAIN, self.domain)
        if self.public_url is not None:
            _check_public_url(self.public_url, self.domain)
        if (self.tls_cert is None) != (self.tls_key is None):
            missing, given = "--tls-key", "--tls-cert"
            if self.tls_cert is None:
                missing, given = given, missing
            raise ConfigError(missing, f"is needed beside {given}: the two go together", given)
        self._check_proxies()
        if self.replace and self.bind_port == 0:
            text = "needs the port of the server that it replaces in --bind"
            raise ConfigError("--replace", text, "--bind")
        _check_most("--max-connections", self.max_connections, MAX_CONNECTIONS, CONNECTIONS)
        _check_most("--max-sessions", self.max_sessions, MAX_SESSIONS, SESSIONS)
        if self.log_level not in LOG_LEVELS:
            refuse("--log-level", f"takes {' or '.join(LOG_LEVELS)}", self.log_level)
        self._check_times()

    def _check_proxies(self) -> None:
        if self.trusted_proxies:
            return
        needing = {"--proxy-protocol": self.proxy_protocol, "--trusted-fields": self.trusted_fields}
        for given, is_given in needing.items():
            if is_given:
                raise ConfigError("--trusted-proxies", f"is needed beside {given}", given)

    def _check_times(self) -> None:
        if not 0 <= self.drain_timeout_s <= MAX_DRAIN_TIMEOUT_S:
            refuse("--drain-timeout", DRAIN, str(self.drain_timeout_s))
        if not 0 <= self.hold_s <= MAX_WIRE_S:
            refuse("--hold", HOLD, str(self.hold_s))
        beat = f"{self.ping_interval_s},{self.timeout_s}"
        if not 1 <= self.ping_interval_s <= self.timeout_s <= MAX_WIRE_S:
            refuse("--heartbeat", f"{HEARTBEAT}, the timeout no shorter", beat)

    @property
    def bind(self) -> str:
        """The address that is listened on, always spelled the same."""
        return bind_address(str(ip_address(self.bind_host)), self.bind_port)

    @cached_property
    def public_by(self) -> str | None:
        """The address that makes the service public, in words; None: none does."""
        return made_public_by(self.bind_host, self.domain, self.public_url, self.trusted_proxies)

    @property
    def authentication_required(self) -> bool:
        """Whether a client needs a token.

        It does where others than this machine may reach the service. An auth file that a flag, a
        variable or the settings file names is never ignored: it makes tokens needed on a local
        server, too. `open` overrides all of it.
        """
        return not self.open and (self.auth_file is not None or self.public_by is not None)

    @property
    def open_to_strangers(self) -> bool:
        """Whether somebody on another machine may reach this server and needs no token."""
        return self.open and self.public_by is not None

    @property
    def tokens_file(self) -> Path:
        """The auth file, named or by default; it need not exist yet."""
        return self.auth_file or self.state_dir / "tokens"

    @cached_property
    def domains(self) -> frozenset[str]:
        """The domains that tunnels are labels of: the domain, and the host of the public URL."""
        return frozenset({self.domain} | ({self.public_url.host} if self.public_url else set()))

    @property
    def apex(self) -> str:
        """The host that tunnels are labels of, as visitors see it."""
        return self.public_url.host if self.public_url is not None else self.domain

    @property
    def names_key(self) -> str:
        """The domain of this server's names in the store.

        Several servers of one machine have the domain `localhost`, and to each of them an install
        key is another owner: there the port tells them apart.
        """
        return f"{self.apex}:{self.bind_port}" if self.public_by is None else self.apex

    def public_url_for(self, name: str, port: int) -> str:
        """The URL of the tunnel `name`, or of the service itself for APEX.

        Args:
            port: the bound one, for a server without --public-url.
        """
        scheme = "http" if self.tls_cert is None else "https"
        apex = self.public_url or PublicUrl(scheme, self.domain, port)
        return str(apex.of_tunnel(name))

    def host_of(self, name: str) -> bytes:
        """The host of the tunnel `name`, as visitors see it."""
        return f"{name}.{self.apex}".encode("ascii")

    def trusts(self, address: str) -> bool:
        """Whether a peer at this address is a trusted proxy; never raises."""
        if not self.trusted_proxies:
            return False
        try:
            peer = ip_address(address)
        except ValueError:
            return False
        if isinstance(peer, IPv6Address) and peer.ipv4_mapped is not None:
            peer = peer.ipv4_mapped  # an IPv4 peer of a socket on [::]
        return any(peer in network for network in self.trusted_proxies)

    def tls_context(self) -> ssl.SSLContext | None:
        """Return the TLS context, read from the two files now; None without them.

        Raises:
            ConfigError: a file cannot be read or used.
        """
        if self.tls_cert is None or self.tls_key is None:
            return None
        import ssl  # 10 ms that most servers, behind a proxy, do not need here

        for flag, path in (("--tls-cert", self.tls_cert), ("--tls-key", self.tls_key)):
            _check_readable(flag, path)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self.tls_cert, self.tls_key, _no_passphrase)
        except (ssl.SSLError, ValueError) as error:
            message = f"takes a PEM certificate that fits the unencrypted key in {self.tls_key}"
            raise ConfigError("--tls-cert", f"{message}, not {self.tls_cert} ({error})") from None
        return context


def bind_address(host: str, port: int) -> str:
    """`127.0.0.1:8080`, `[::1]:8080`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def client_command(url: str, *, token_needed: bool) -> str:
    """Return the command that shares an app through the server at this public URL."""
    server = "" if url == _CLIENT_DEFAULT_SERVER else f" --server {url}"
    token = " --token-file FILE" if token_needed else ""
    insecure = " --insecure-server" if token_needed and is_unencrypted(url) else ""
    return f"tunnel-client http 3000{server}{token}{insecure}"


def is_unencrypted(url: str) -> bool:
    """Whether what goes to this public URL can be read on its way; clients send no token there."""
    parts = urlsplit(url)
    return parts.scheme == "http" and not is_this_machine(parts.hostname or "")


def _check_bind(host: str, port: int) -> None:
    try:
        ip_address(host)
    except ValueError:
        refuse("--bind", BIND, f"{host}:{port}")
    if not 0 <= port <= 65535:
        refuse("--bind", f"{BIND}; a port is 0 to 65535", f"{host}:{port}")


def _check_most(flag: str, most: int | None, limit: int, allowed: str) -> None:
    if most is not None and not 1 <= most <= limit:
        refuse(flag, allowed, str(most))


def _check_public_url(url: PublicUrl, domain: str) -> None:
    allowed_port = url.scheme in DEFAULT_PORTS and 1 <= url.port <= 65535
    if not allowed_port or not is_legal_domain(url.host):
        refuse("--public-url", PUBLIC_URL, f"{url.scheme}://{url.host}:{url.port}")
    label, _, parent = domain.partition(".")
    if parent == url.host:
        # Their hosts would be the same, and the domain is the service.
        text = (
            f"its host may not be {parent} while --domain is {domain}: both claim the name {label}"
        )
        raise ConfigError("--public-url", text, "--domain")


def _check_readable(flag: str, path: Path) -> None:
    try:
        path.open("rb").close()
    except OSError as error:
        text = f"takes a file that can be read, not {path} ({error.strerror})"
        raise ConfigError(flag, text) from None


def _no_passphrase() -> str:
    # Without this, OpenSSL asks for one on the terminal, and a service hangs there.
    raise ValueError("the key is encrypted")
