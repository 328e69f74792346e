"""All settings of the server, a row each."""

from __future__ import annotations

from typing import Final

from protocol.limits import HOLD_S, PING_INTERVAL_S, TIMEOUT_S
from protocol.program.kinds import (
    Commas,
    Duration,
    FilePath,
    Numbers,
    Seconds,
    Switch,
    Text,
    WholeNumber,
    WholeSeconds,
    path_of,
)
from protocol.program.settings import Setting, Table, log_level
from protocol.program.showing import PATH, SHOWING
from tunnel_server.settings import values
from tunnel_server.settings.limit_values import LIMIT_FORMS, LimitTexts

PROGRAM: Final = "tunnel-server"

SERVE: Final = "serve"
TOKEN_CREATE: Final = "token create"  # noqa: S105  (a command, no token)
TOKEN_LIST: Final = "token list"  # noqa: S105  (likewise)
TOKEN_WHICH: Final = "token which"  # noqa: S105
TOKEN_ROTATE: Final = "token rotate"  # noqa: S105
TOKEN_REVOKE: Final = "token revoke"  # noqa: S105
TOKEN_DELETE: Final = "token delete"  # noqa: S105
TOKEN_IMPORT: Final = "token import"  # noqa: S105
STATUS: Final = "status"
SESSIONS: Final = "sessions"
CLOSE: Final = "close"
DRAIN: Final = "drain"
NAME_LIST: Final = "name list"
NAME_RELEASE: Final = "name release"
NAME_GIVE: Final = "name give"

_SERVING: Final = (SERVE, *SHOWING)
_OF_NAMES: Final = (*_SERVING, NAME_LIST, NAME_RELEASE, NAME_GIVE)
_ASKING: Final = (*_OF_NAMES, STATUS, SESSIONS, CLOSE, DRAIN)
_OF_TOKENS: Final = (
    *(TOKEN_CREATE, TOKEN_LIST, TOKEN_WHICH, TOKEN_ROTATE, TOKEN_REVOKE, TOKEN_DELETE),
    TOKEN_IMPORT,
)
_OF_STATE: Final = (*_ASKING, *_OF_TOKENS)


def _limits(takes: str) -> str:
    return takes.removeprefix("takes ")


CONFIG: Final = Setting(
    name="config",
    kind=FilePath("FILE", path_of),
    help="The settings file.",
    unset="~/.config/trio-tunnel/server.toml, or the one in /etc/trio-tunnel",
    fields=(),
    commands=(*_OF_STATE, PATH),
    in_file=False,
)

TABLE: Final = Table(
    PROGRAM,
    (
        Setting(
            name="bind",
            kind=Text("HOST:PORT", values.parse_bind, _limits(values.BIND)),
            help="Address to listen on; port 0 takes a free one.",
            default=f"{values.DEFAULT_BIND_HOST}:{values.DEFAULT_BIND_PORT}",
            fields=("bind_host", "bind_port"),
            commands=_ASKING,
        ),
        Setting(
            name="domain",
            kind=Text("NAME", values.parse_domain, _limits(values.DOMAIN)),
            help="The service's domain; tunnels are NAME.DOMAIN.",
            default=values.DEFAULT_DOMAIN,
            commands=_OF_NAMES,
        ),
        Setting(
            name="public_url",
            kind=Text("URL", values.parse_public_url, _limits(values.PUBLIC_URL)),
            help="The service as visitors see it, behind a proxy.",
            unset="of domain and port",
            commands=_OF_NAMES,
        ),
        Setting(
            name="auth_file",
            kind=FilePath("FILE", path_of),
            help="Tokens that may connect.",
            unset="in the state folder",
            commands=(*_SERVING, *_OF_TOKENS),
        ),
        Setting(
            name="open",
            kind=Switch(),
            help="Let everybody share apps, without a token.",
            commands=_SERVING,
        ),
        Setting(
            name="tls_cert",
            kind=FilePath("FILE", path_of),
            help="Serve HTTPS with this PEM certificate chain.",
            commands=_SERVING,
        ),
        Setting(
            name="tls_key",
            kind=FilePath("FILE", path_of),
            help="Its unencrypted PEM key.",
            commands=_SERVING,
        ),
        Setting(
            name="trusted_proxies",
            kind=Commas("CIDR,...", values.parse_networks, _limits(values.NETWORKS)),
            help="Whose X-Forwarded-* fields are believed.",
            commands=_SERVING,
        ),
        Setting(
            name="trusted_fields",
            kind=Commas("NAME,...", values.parse_fields, _limits(values.FIELDS)),
            help="Which others of theirs are believed.",
            commands=_SERVING,
        ),
        Setting(
            name="proxy_protocol",
            kind=Switch(),
            help="Take connections with a PROXY header only.",
            commands=_SERVING,
        ),
        Setting(
            name="max_connections",
            kind=WholeNumber("N", values.parse_max_connections, _limits(values.CONNECTIONS)),
            help="Of visitors.",
            unset="by the limit of open files",
            commands=_SERVING,
        ),
        Setting(
            name="max_sessions",
            kind=WholeNumber("N", values.parse_max_sessions, _limits(values.SESSIONS)),
            help="Of clients.",
            unset="an eighth of the limit of open files, 1,024 at most",
            commands=_SERVING,
        ),
        Setting(
            name="limits",
            kind=LimitTexts("SCOPE.WHAT=RATE", limits=LIMIT_FORMS),
            help="A limit of requests or tunnels. May be repeated.",
            commands=_SERVING,
            flag_name="limit",
        ),
        Setting(
            name="wide_cookies",
            kind=Switch(),
            help="Let apps set cookies for all tunnels.",
            commands=_SERVING,
        ),
        Setting(
            name="drain_timeout",
            kind=Seconds("SECONDS", values.parse_drain_timeout, _limits(values.DRAIN)),
            help="How long a stop waits for open requests.",
            default=str(values.DEFAULT_DRAIN_TIMEOUT_S),
            fields=("drain_timeout_s",),
            commands=_SERVING,
        ),
        Setting(
            name="hold",
            kind=WholeSeconds("SECONDS", values.parse_hold, _limits(values.HOLD)),
            help="How long a client that was cut off may take to come back.",
            default=str(HOLD_S),
            fields=("hold_s",),
            commands=_SERVING,
        ),
        Setting(
            name="keep_names",
            kind=Duration(1, 3_650 * 86_400, zero="no longer than they are held"),
            help="How long a name that went stays its owner's.",
            default="30d",
            fields=("keep_names_s",),
            commands=_OF_NAMES,
        ),
        Setting(
            name="heartbeat",
            kind=Numbers("S,S", values.parse_heartbeat, _limits(values.HEARTBEAT)),
            help="How often clients are pinged, and when one is dead.",
            default=f"{PING_INTERVAL_S},{TIMEOUT_S}",
            fields=("ping_interval_s", "timeout_s"),
            commands=_SERVING,
        ),
        Setting(
            name="replace",
            kind=Switch(),
            help="Take over from the server that listens there.",
            commands=_SERVING,
        ),
        Setting(
            name="state_dir",
            kind=FilePath("DIR", path_of),
            help="The state folder.",
            unset="~/.local/state/trio-tunnel",
            commands=_OF_STATE,
        ),
        Setting(
            name="trust_state_dir",
            kind=Switch(),
            help="Take what others may write there, too.",
            commands=_OF_STATE,
        ),
        CONFIG,
        Setting(
            name="json",
            kind=Switch(),
            help="Print events as JSON, one object a line.",
            commands=(SERVE,),
        ),
        log_level(*_SERVING),
    ),
)
