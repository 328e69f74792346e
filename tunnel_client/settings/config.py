"""The client's settings: where each comes from, and what is allowed.

A flag wins over the environment, that over the config file, that over the default. Every value is
checked here, so that the program either starts with settings that can work or ends with one line
(`ConfigError`) that names the setting as the person gave it.

A flag that would do nothing is refused: `--server-ca` for a server without TLS, `--origin-ca` and
`--origin-insecure` for an app without. The same keys in the file are passed over then, since one
file serves many commands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from protocol.errors import ConfigError as ConfigError
from protocol.options import WS_KEEPALIVE_MAX_S, WS_KEEPALIVE_MIN_S
from tunnel_client.settings.addresses import ServerUrl
from tunnel_client.settings.config_file import FILE_NAME, Value, read_config_file
from tunnel_client.settings.header_edits import NO_EDITS, HeaderEdits, parse_edits
from tunnel_client.settings.install_key import install_key
from tunnel_client.settings.proxy import Proxy, choose_proxy
from tunnel_client.settings.target import FORMS, Target
from tunnel_client.settings.tokens import check_token, read_token
from tunnel_client.settings.values import MODES, Mode, dns_label, host_value, pem_file, seconds

DEFAULT_SERVER = ServerUrl("http", "localhost", 8080)
DEFAULT_ORIGIN_TIMEOUT_S = 600.0  # a build or a report of an app under development takes minutes
# Most dev servers are back within two. Longer, and a visitor better knows what he waits for.
DEFAULT_ORIGIN_WAIT_S = 3.0
DEFAULT_DRAIN_TIMEOUT_S = 8.0  # service managers kill after 10 s (Docker) or later

SHORTEST_ORIGIN_TIMEOUT_S = 0.001  # nought would refuse every answer, and mean "no limit" to many
LONGEST_ORIGIN_TIMEOUT_S = 86_400.0  # a day: whoever wants more wants no limit, and gets stuck
LONGEST_ORIGIN_WAIT_S = 600.0  # each request that waits takes one of the session's streams
LONGEST_DRAIN_TIMEOUT_S = 3_600.0  # somebody waits for the program to end
SHORTEST_GIVE_UP_AFTER_S = (
    1.0  # less is over before a first answer from the other side of the world
)
LONGEST_GIVE_UP_AFTER_S = 604_800.0  # a week: whoever wants more wants no limit

SHOWN_BY_PS = "--token shows in the process list; --token-file and TUNNEL_TOKEN do not"

# The flags that can stand in the config file too, there with an underscore.
_FLAG_NAMES = (
    *("server", "server_ca", "subdomain", "token", "token_file"),
    *("origin_timeout", "origin_insecure", "origin_ca", "drain_timeout", "ws_keepalive"),
    *("identity", "host_header", "request_header", "request_header_remove"),
    *("response_header", "response_header_remove", "origin_wait", "give_up_after"),
)


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The command line as it was typed: numbers not yet read, None where a flag was not given."""

    target: str | None = None
    server: str | None = None
    server_ca: str | None = None
    subdomain: str | None = None
    token: str | None = field(default=None, repr=False)
    token_file: str | None = None
    origin_timeout: str | None = None
    origin_wait: str | None = None
    origin_insecure: bool | None = None
    origin_ca: str | None = None
    drain_timeout: str | None = None
    give_up_after: str | None = None
    identity: str | None = None
    host_header: str | None = None
    request_header: tuple[str, ...] | None = field(default=None, repr=False)
    request_header_remove: tuple[str, ...] | None = None
    response_header: tuple[str, ...] | None = field(default=None, repr=False)
    response_header_remove: tuple[str, ...] | None = None
    ws_keepalive: str | None = None
    json: bool = False


@dataclass(frozen=True, kw_only=True)
class ClientConfig:
    """All that a client needs to know, checked.

    Attributes:
        target: the local app.
        server_url: where the tunnel-server is.
        server_ca: PEM file of the CA that signed the server's certificate; None: the system's CAs.
        proxy: the HTTP proxy on the way to the server, from the environment.
        subdomain: the name asked for, a DNS label in lower case; None: the server makes one.
        token: goes to the server as `Authorization: Bearer`; never printed.
        token_source: where the token is from, for people: `--token-file`, `the install key`.
        origin_timeout_s: how long the app may take for the first byte of its answer.
        origin_wait_s: how long a request waits for an app that is not there; 0: not at all.
        origin_insecure: do not verify the app's certificate.
        origin_ca: PEM file of the CA that signed the app's certificate; None: the system's CAs.
        drain_timeout_s: how long requests in flight may take after the client was told to stop.
        give_up_after_s: how long to go on without a connection to the server; 0: for ever.
        identity: `local`: the app is asked as itself; `public`: as visitors ask.
        host_header: the Host that the app gets; None: as the identity has it.
        request_edits: fields to set or remove in what the app gets.
        answer_edits: the same for what visitors get.
        ws_keepalive_s: when either end of an idle WebSocket is pinged; 0 for never.
        json: events as JSON on stdout instead of lines for people.
    """

    target: Target
    server_url: ServerUrl = DEFAULT_SERVER
    server_ca: Path | None = None
    proxy: Proxy | None = None
    subdomain: str | None = None
    token: str = field(repr=False)
    token_source: str = ""
    origin_timeout_s: float = DEFAULT_ORIGIN_TIMEOUT_S
    origin_wait_s: float = DEFAULT_ORIGIN_WAIT_S
    origin_insecure: bool = False
    origin_ca: Path | None = None
    drain_timeout_s: float = DEFAULT_DRAIN_TIMEOUT_S
    give_up_after_s: float = 0.0
    identity: Mode = "local"
    host_header: str | None = None
    request_edits: HeaderEdits = NO_EDITS
    answer_edits: HeaderEdits = NO_EDITS
    ws_keepalive_s: float = 0.0
    json: bool = False


class Loaded(NamedTuple):
    """A config, and what the person should be told about it, one line each."""

    config: ClientConfig
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Given:
    """A value, which may be a secret, and the name under which it was given."""

    value: Value = field(repr=False)
    key: str

    @property
    def by_flag(self) -> bool:
        return self.key.startswith("--")


# The settings of one source by the key of the config file; of several, the strongest comes first.
_Layer = dict[str, _Given]
_Layers = tuple[_Layer, ...]


def load(
    flags: Flags, environ: Mapping[str, str], config_folder: Path, state_folder: Path
) -> Loaded:
    """The settings that hold. ConfigError for the first one that is not allowed.

    Reads the config file, the token file and the CA files. Makes the install key in the state
    folder if there is no token anywhere.
    """
    layers = (_from_flags(flags), _from_environment(environ), _from_file(config_folder))
    target = _target(flags)
    server_url = _server_url(_first(layers, "server"))
    origin_insecure, origin_ca = _origin_trust(layers, target)
    checked = ClientConfig(
        target=target,
        server_url=server_url,
        server_ca=_server_ca(_first(layers, "server_ca"), server_url),
        proxy=choose_proxy(server_url, environ),
        subdomain=_subdomain(_first(layers, "subdomain")),
        token="",
        origin_timeout_s=_origin_timeout_s(_first(layers, "origin_timeout")),
        origin_wait_s=_origin_wait_s(_first(layers, "origin_wait")),
        origin_insecure=origin_insecure,
        origin_ca=origin_ca,
        drain_timeout_s=_drain_timeout_s(_first(layers, "drain_timeout")),
        give_up_after_s=_give_up_after_s(_first(layers, "give_up_after")),
        identity=_identity(_first(layers, "identity")),
        host_header=_host_header(_first(layers, "host_header")),
        request_edits=_edits(layers, "request_header", forbidden=""),
        answer_edits=_edits(layers, "response_header", forbidden="tunnel-error"),
        ws_keepalive_s=_ws_keepalive_s(_first(layers, "ws_keepalive")),
        json=flags.json,
    )
    # Last, so that a bad flag does not leave a new install key behind.
    token, source, warning = _token(layers, state_folder)
    config = replace(checked, token=token, token_source=source)
    return Loaded(config, (warning,) if warning else ())


def _from_flags(flags: Flags) -> _Layer:
    named = {name: getattr(flags, name) for name in _FLAG_NAMES}
    return {
        name: _Given(value, f"--{name.replace('_', '-')}")
        for name, value in named.items()
        if value is not None
    }


def _from_environment(environ: Mapping[str, str]) -> _Layer:
    # An empty variable is an unset one: that is how a shell or a CI file clears it for one command.
    return {
        name: _Given(value, variable)
        for name, variable in (("server", "TUNNEL_SERVER"), ("token", "TUNNEL_TOKEN"))
        if (value := environ.get(variable))
    }


def _from_file(folder: Path) -> _Layer:
    path = folder / FILE_NAME
    return {
        name: _Given(value, f"{path}: {name}") for name, value in read_config_file(folder).items()
    }


def _first(layers: _Layers, name: str) -> _Given | None:
    return next((layer[name] for layer in layers if name in layer), None)


def _target(flags: Flags) -> Target:
    if flags.target is None:
        raise ConfigError("TARGET", f"is missing; allowed: {FORMS}")
    return Target.parse(flags.target)


def _server_url(given: _Given | None) -> ServerUrl:
    if given is None:
        return DEFAULT_SERVER
    try:
        return ServerUrl.parse(str(given.value))
    except ValueError as error:
        raise ConfigError(given.key, str(error)) from None


def _server_ca(given: _Given | None, server_url: ServerUrl) -> Path | None:
    if given is None:
        return None
    if not server_url.tls:
        if given.by_flag:
            raise ConfigError(given.key, f"only for an https:// server, and this is {server_url}")
        return None
    return pem_file(str(given.value), given.key)


def _subdomain(given: _Given | None) -> str | None:
    return None if given is None else dns_label(str(given.value), given.key)


def _origin_timeout_s(given: _Given | None) -> float:
    if given is None:
        return DEFAULT_ORIGIN_TIMEOUT_S
    return seconds(
        given.value, given.key, least=SHORTEST_ORIGIN_TIMEOUT_S, most=LONGEST_ORIGIN_TIMEOUT_S
    )


def _origin_wait_s(given: _Given | None) -> float:
    if given is None:
        return DEFAULT_ORIGIN_WAIT_S
    return seconds(given.value, given.key, least=0, most=LONGEST_ORIGIN_WAIT_S)


def _drain_timeout_s(given: _Given | None) -> float:
    if given is None:
        return DEFAULT_DRAIN_TIMEOUT_S
    return seconds(given.value, given.key, least=0, most=LONGEST_DRAIN_TIMEOUT_S)


def _give_up_after_s(given: _Given | None) -> float:
    if given is None:
        return 0.0
    return seconds(
        given.value,
        given.key,
        least=SHORTEST_GIVE_UP_AFTER_S,
        most=LONGEST_GIVE_UP_AFTER_S,
        zero_is_off=True,
    )


def _identity(given: _Given | None) -> Mode:
    if given is None:
        return "local"
    for mode in MODES:
        if given.value == mode:
            return mode
    raise ConfigError(given.key, " or ".join(MODES))


def _host_header(given: _Given | None) -> str | None:
    return None if given is None else host_value(str(given.value), given.key)


def _edits(layers: _Layers, name: str, *, forbidden: str) -> HeaderEdits:
    """Of the fields to set, and of the names to remove, each from the strongest source."""
    lines = _first(layers, name)
    names = _first(layers, f"{name}_remove")
    return parse_edits(
        _strings(lines),
        lines.key if lines else name,
        _strings(names),
        names.key if names else name,
        forbidden=forbidden,
    )


def _strings(given: _Given | None) -> tuple[str, ...]:
    return given.value if given is not None and isinstance(given.value, tuple) else ()


def _ws_keepalive_s(given: _Given | None) -> float:
    if given is None:
        return 0.0
    return seconds(
        given.value,
        given.key,
        least=WS_KEEPALIVE_MIN_S,
        most=WS_KEEPALIVE_MAX_S,
        zero_is_off=True,
    )


def _origin_trust(layers: _Layers, target: Target) -> tuple[bool, Path | None]:
    """Whether the app's certificate goes unverified, and the CA to verify it with."""
    for layer in layers:
        insecure, ca = layer.get("origin_insecure"), layer.get("origin_ca")
        if insecure is not None and not insecure.value:
            insecure = None
        if insecure and ca:
            raise ConfigError(
                insecure.key, "not together with origin-ca: one verifies, the other does not"
            )
        if given := insecure or ca:
            return _trust_of(given, target)
    return False, None


def _trust_of(given: _Given, target: Target) -> tuple[bool, Path | None]:
    if target.scheme != "https":
        if given.by_flag:
            raise ConfigError(given.key, f"only for an https:// TARGET, and this is {target}")
        return False, None
    if given.value is True:
        return True, None
    return False, pem_file(str(given.value), given.key)


def _token(layers: _Layers, state_folder: Path) -> tuple[str, str, str]:
    """The token, where it is from, and a warning or ""."""
    for layer in layers:
        if given := layer.get("token"):
            warning = SHOWN_BY_PS if given.by_flag else ""
            return check_token(str(given.value), given.key), given.key, warning
        if given := layer.get("token_file"):
            return read_token(Path(str(given.value)), given.key), given.key, ""
    key, warning = install_key(state_folder)
    return key, "the install key", warning
