"""The client's settings: a frozen config, made of what all sources say.

Every value is checked here or by its row's reader, so that the program either starts with settings
that can work or ends with one line (`ConfigError`) that names the setting as the person gave it.

A flag that would do nothing is refused: `--server-ca` for a server without TLS, `--origin-ca` and
`--origin-insecure` for an app without. The same settings in a variable or the file are passed over
then, since one file serves many commands.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from protocol.errors import ConfigError as ConfigError
from protocol.program.kinds import Value
from protocol.program.settings import (
    Gathered,
    Given,
    Layer,
    LogLevel,
    from_environment,
    from_flags,
    read,
    resolve,
    strange_variables,
    value_of,
)
from protocol.program.settings_file import from_file, is_there
from tunnel_client.settings.addresses import DEFAULT_SERVER, Address, ServerUrl
from tunnel_client.settings.credentials import choose_credential
from tunnel_client.settings.header_edits import NO_EDITS, HeaderEdits, parse_edits
from tunnel_client.settings.logins import Logins
from tunnel_client.settings.proxy import Proxy, choose_proxy
from tunnel_client.settings.rows import (
    DEFAULT_DRAIN_TIMEOUT_S,
    DEFAULT_INSPECT_MEMORY_MIB,
    DEFAULT_ORIGIN_TIMEOUT_S,
    DEFAULT_ORIGIN_WAIT_S,
    TABLE,
)
from tunnel_client.settings.stable_name import choose_stable_name
from tunnel_client.settings.target import FORMS, Target
from tunnel_client.settings.values import IdentityChoice, networks

FILE_NAME: Final = "client.toml"

HEADER_SHOWN_BY_PS: Final = (
    "--request-header shows in the process list, with the secret in it; request_header in the file"
    " and TUNNEL_CLIENT_REQUEST_HEADER do not"
)
_SECRET_FIELDS: Final = frozenset(
    {b"authorization", b"proxy-authorization", b"cookie", b"x-api-key"}
)

_ROWS: Final = {row.name: row for row in TABLE.rows}


@dataclass(frozen=True, kw_only=True)
class ClientConfig:
    """All that a client needs to know, checked.

    Attributes:
        target: the local app.
        server_url: where the tunnel-server is.
        server_ca: PEM file of the CA that signed the server's certificate; None: the system's CAs.
        proxy: the HTTP proxy on the way to the server, from the environment.
        subdomain: the name asked for, a DNS label in lower case; None: nobody chose one.
        stable_name: what it is then, if the server can give it; "": the server makes one up.
        token: goes to the server as `Authorization: Bearer`; never printed.
        has_token: it was given; else the server is shown what this installation is to it.
        origin_timeout_s: how long the app may take for the first byte of its answer.
        origin_wait_s: how long a request waits for an app that is not there; 0: not at all.
        origin_insecure: do not verify the app's certificate.
        origin_ca: PEM file of the CA that signed the app's certificate; None: the system's CAs.
        drain_timeout_s: how long requests in flight may take after the client was told to stop.
        give_up_after_s: how long to go on without a connection to the server; 0: for ever.
        identity: `local`: the app is asked as itself; `public`: as visitors ask; `auto`: as its
            page shows. Never `auto` with a host of one's own, nor for an app that speaks TLS.
        host_header: the Host that the app gets; None: as the identity has it.
        request_edits: fields to set or remove in what the app gets.
        answer_edits: the same for what visitors get.
        ws_keepalive_s: when either end of an idle WebSocket is pinged; 0 for never.
        allow_ip: networks whose visitors alone are let in; none: all are.
        deny_ip: those whose visitors are not.
        inspect_memory_mib: what the inspector may keep, all in all.
        no_capture_bodies: it keeps heads alone.
        inspect: where the inspector is; True: at the usual address; False: nowhere; None: it is on
            where stdout is a terminal.
        inspect_host: a further name as which it may be asked.
        json: events as JSON on stdout instead of lines for people.
        plain: those look on a terminal as they do in a pipe.
        qr: print the public URL as a QR code.
        log_level: one of LOG_LEVELS.
    """

    target: Target
    server_url: ServerUrl = DEFAULT_SERVER
    server_ca: Path | None = None
    proxy: Proxy | None = None
    subdomain: str | None = None
    stable_name: str = ""
    token: str = field(repr=False)
    has_token: bool = True
    origin_timeout_s: float = DEFAULT_ORIGIN_TIMEOUT_S
    origin_wait_s: float = DEFAULT_ORIGIN_WAIT_S
    origin_insecure: bool = False
    origin_ca: Path | None = None
    drain_timeout_s: float = DEFAULT_DRAIN_TIMEOUT_S
    give_up_after_s: float = 0.0
    identity: IdentityChoice = "auto"
    host_header: str | None = None
    request_edits: HeaderEdits = NO_EDITS
    answer_edits: HeaderEdits = NO_EDITS
    ws_keepalive_s: float = 0.0
    allow_ip: tuple[str, ...] = ()
    deny_ip: tuple[str, ...] = ()
    inspect_memory_mib: int = DEFAULT_INSPECT_MEMORY_MIB
    no_capture_bodies: bool = False
    inspect: bool | Address | None = None
    inspect_host: str | None = None
    json: bool = False
    plain: bool = False
    qr: bool = False
    log_level: LogLevel = "info"


class Loaded(NamedTuple):
    """A config, and what the person should be told about it, one line each."""

    config: ClientConfig
    warnings: tuple[str, ...]


def gather(
    flags: Mapping[str, Value],
    environ: Mapping[str, str],
    config_folder: Path | None,
    state_folder: Path | None = None,
) -> Gathered:
    """Read flags, variables and the file, if there is a folder for one. Raises ConfigError.

    Args:
        state_folder: has the logins, the newest of which says the server where nothing else does.
    """
    layers = [from_flags(TABLE, flags), from_environment(TABLE, environ)]
    file: Path | None = None
    said: Layer = {}
    path = None if config_folder is None else config_folder / FILE_NAME
    if path is not None and is_there(path):
        with contextlib.suppress(FileNotFoundError):  # gone since
            said = from_file(TABLE, path)
            file = path
    resolved = resolve(TABLE, [*layers, said])
    if "server" not in resolved and state_folder is not None:
        newest = Logins(state_folder).newest()
        if newest is not None:
            resolved = {**resolved, "server": Given(newest.server, "login", "login")}
    return Gathered(resolved, file, tuple(strange_variables(TABLE, environ)), said)


def load(
    target: str | None,
    gathered: Gathered,
    environ: Mapping[str, str],
    state_folder: Path | None,
    folder: Path | None = None,
) -> Loaded:
    """The settings that hold.

    Reads the token file and the CA files. Makes the install key in the state folder if there is no
    token anywhere, or if a name is to be made of it.

    Args:
        target: as typed; None if it is missing.
        gathered: what was given.
        environ: names the proxy.
        state_folder: None leaves the token empty where there is none, and makes no key.
        folder: the current one, of which a stable name is made; None: none is.

    Raises:
        ConfigError: the first setting that is not allowed.
    """
    if target is None:
        raise ConfigError("TARGET", f"is missing; allowed: {FORMS}")
    app, resolved = Target.parse(target), gathered.resolved
    _check_output(resolved)
    attributes: dict[str, Any] = read(TABLE.rows, resolved)
    if attributes["identity"] == "auto" and (
        attributes.get("host_header") or app.scheme == "https"
    ):
        attributes["identity"] = "local"
    server_url = attributes["server_url"]
    checked = ClientConfig(
        **attributes,
        target=app,
        server_ca=_server_ca(resolved.get("server_ca"), server_url),
        proxy=choose_proxy(server_url, environ),
        token="",
        **_origin_trust(resolved, app),
        **_networks(resolved),
        request_edits=_edits(resolved, "request_header", forbidden=""),
        answer_edits=_edits(resolved, "response_header", forbidden="tunnel-error"),
    )
    # Last, so that a bad flag does not leave a new install key behind.
    checked = replace(checked, inspect=_inspect(resolved, checked.inspect, app))
    shown_to_server = choose_credential(gathered, server_url, state_folder)
    shown = [HEADER_SHOWN_BY_PS] if _shows_a_secret(resolved, checked.request_edits) else []
    token, warnings, has_token = shown_to_server
    name, warning = _stable_name(checked, resolved, state_folder, folder)
    config = replace(checked, token=token, has_token=has_token, stable_name=name)
    # One about the key itself was said with it.
    told = [warning] if warning and has_token else []
    return Loaded(config, (*warnings, *told, *shown))


def way_settings(
    gathered: Gathered, server: ServerUrl, environ: Mapping[str, str]
) -> tuple[Proxy | None, Path | None]:
    """The proxy on the way to a server, and the CA of its certificate. Raises ConfigError."""
    return choose_proxy(server, environ), _server_ca(gathered.resolved.get("server_ca"), server)


def _check_output(resolved: Mapping[str, Given]) -> None:
    """Refuse by flag what does nothing beside --json."""
    json = resolved.get("json")
    for name in ("plain", "qr"):
        given = resolved.get(name)
        if json and json.value and given and given.value and given.by_flag:
            raise ConfigError(given.key, "only for people, and --json is for programs")


def _stable_name(
    config: ClientConfig,
    resolved: Mapping[str, Given],
    state_folder: Path | None,
    folder: Path | None,
) -> tuple[str, str]:
    """The name where nobody chose one, and a warning or ""; no name where none is wanted."""
    random = resolved.get("random")
    is_random = random is not None and bool(_read("random", random))
    if config.subdomain is not None or is_random or state_folder is None or folder is None:
        return "", ""
    return choose_stable_name(state_folder, config.server_url, folder, config.target)


def _read(name: str, given: Given) -> Any:
    return value_of(_ROWS[name], given)


def _server_ca(given: Given | None, server_url: ServerUrl) -> Path | None:
    if given is None:
        return None
    if not server_url.tls:
        if given.by_flag:
            raise ConfigError(given.key, f"only for an https:// server, and this is {server_url}")
        return None
    path: Path = _read("server_ca", given)
    return path


def _origin_trust(resolved: Mapping[str, Given], target: Target) -> dict[str, Any]:
    """Whether the app's certificate goes unverified, or the CA to verify it with."""
    for name in ("origin_insecure", "origin_ca"):
        given = resolved.get(name)
        if given is None or given.value is False:
            continue
        if target.scheme == "https":
            return {name: _read(name, given)}
        if given.by_flag:
            raise ConfigError(given.key, f"only for an https:// TARGET, and this is {target}")
    return {}


def _inspect(
    resolved: Mapping[str, Given], wanted: bool | Address | None, target: Target
) -> bool | Address | None:
    """Return where the inspector is. No tunnel may lead to it: it would be everybody's."""
    no = resolved.get("no_inspect")
    if no is not None and _read("no_inspect", no):
        return False
    if isinstance(wanted, tuple) and target.leads_to(wanted):
        raise ConfigError(resolved["inspect"].key, f"the app is there: {target}")
    return wanted


def _networks(resolved: Mapping[str, Given]) -> dict[str, Any]:
    """Both lists of networks, each text of which may have several."""
    given = {name: resolved[name] for name in ("allow_ip", "deny_ip") if name in resolved}
    return {name: networks(_strings(each), each.key) for name, each in given.items() if each.value}


def _edits(resolved: Mapping[str, Given], name: str, *, forbidden: str) -> HeaderEdits:
    """Of the fields to set, and of the names to remove, each from the strongest source."""
    lines, names = resolved.get(name), resolved.get(f"{name}_remove")
    return parse_edits(
        _strings(lines),
        lines.key if lines else name,
        _strings(names),
        names.key if names else name,
        forbidden=forbidden,
    )


def _shows_a_secret(resolved: Mapping[str, Given], edits: HeaderEdits) -> bool:
    given = resolved.get("request_header")
    if given is None or not given.by_flag:
        return False
    return any(name.lower() in _SECRET_FIELDS for name, _ in edits.set)


def _strings(given: Given | None) -> tuple[str, ...]:
    return given.value if given is not None and isinstance(given.value, tuple) else ()
