"""All settings of the client, a row each. What checks a value is loaded with the value."""

from __future__ import annotations

from functools import partial
from typing import Final

from protocol.options import WS_KEEPALIVE_MAX_S, WS_KEEPALIVE_MIN_S
from protocol.program.kinds import (
    FilePath,
    OptionalText,
    Seconds,
    Switch,
    Text,
    Texts,
    WholeNumber,
    choice,
)
from protocol.program.settings import Setting, Table, log_level
from protocol.program.showing import SHOWING
from tunnel_client.settings import tokens, values

PROGRAM: Final = "tunnel-client"

HTTP: Final = "http"
RELEASE: Final = "release"
LOGIN: Final = "login"
LOGOUT: Final = "logout"
STATUS: Final = "status"
_ALL: Final = (HTTP, *SHOWING)
_CONNECTING: Final = (*_ALL, RELEASE)
_OF_LOGIN: Final = (*_CONNECTING, LOGIN)

DEFAULT_ORIGIN_TIMEOUT_S: Final = (
    600  # a build or a report of an app under development takes minutes
)
# Most dev servers are back within two. Longer, and a visitor better knows what it waits for.
DEFAULT_ORIGIN_WAIT_S: Final = 3
DEFAULT_INSPECT_MEMORY_MIB: Final = 32  # ten thousand small requests, or thirty MiB of bodies
DEFAULT_DRAIN_TIMEOUT_S: Final = 8  # service managers kill after 10 s (Docker) or later

SHORTEST_ORIGIN_TIMEOUT_S: Final = (
    0.001  # nought would refuse every answer, and mean "no limit" to many
)
LONGEST_ORIGIN_TIMEOUT_S: Final = 86_400  # a day: whoever wants more wants no limit, and gets stuck
LONGEST_ORIGIN_WAIT_S: Final = 600  # each request that waits takes one of the session's streams
LONGEST_DRAIN_TIMEOUT_S: Final = 3_600  # somebody waits for the program to end
SHORTEST_GIVE_UP_AFTER_S: Final = (
    1  # less is over before an answer from the other side of the world
)
LONGEST_GIVE_UP_AFTER_S: Final = 604_800  # a week: whoever wants more wants no limit


def _seconds(least: float, most: float, *, zero_is_off: bool = False) -> Seconds:
    reader = partial(values.seconds, least=least, most=most, zero_is_off=zero_is_off)
    return Seconds("SECONDS", reader, values.between(least, most, zero_is_off))


TABLE: Final = Table(
    PROGRAM,
    (
        Setting(
            name="server",
            kind=Text("URL", values.server_url),
            help="The tunnel-server, http or https.",
            default="http://localhost:8080",
            fields=("server_url",),
            variables=("TUNNEL_SERVER",),
            commands=_CONNECTING,
        ),
        Setting(
            name="server_ca",
            kind=FilePath("FILE", values.pem_file),
            help="The CA that signed its certificate.",
            unset="the system's",
            fields=(),
            commands=(*_OF_LOGIN, STATUS),
        ),
        Setting(
            name="insecure_server",
            kind=Switch(),
            help="A token may go to it unencrypted.",
            fields=(),
            variables=("TUNNEL_INSECURE_SERVER",),
            commands=_OF_LOGIN,
        ),
        Setting(
            name="subdomain",
            kind=Text("NAME", values.dns_label, "a DNS label"),
            help="The name to ask for.",
            unset="this folder's own, the same at each start",
            group="name",
            commands=_ALL,
        ),
        Setting(
            name="random",
            kind=Switch(),
            help="A fresh name at each start.",
            fields=(),
            group="name",
            commands=_ALL,
        ),
        Setting(
            name="token",
            kind=Text("TOKEN", tokens.check_token),
            help="Shows in the process list: better a file.",
            fields=(),
            variables=("TUNNEL_TOKEN",),
            group="token",
            secret=True,
            commands=_CONNECTING,
        ),
        Setting(
            name="token_file",
            kind=FilePath("FILE", tokens.token_in),
            help="A file with the token and one newline.",
            fields=(),
            group="token",
            commands=_OF_LOGIN,
        ),
        Setting(
            name="origin_timeout",
            kind=_seconds(SHORTEST_ORIGIN_TIMEOUT_S, LONGEST_ORIGIN_TIMEOUT_S),
            help="How long the app may take to begin an answer.",
            default=str(DEFAULT_ORIGIN_TIMEOUT_S),
            fields=("origin_timeout_s",),
            commands=_ALL,
        ),
        Setting(
            name="origin_wait",
            kind=_seconds(0, LONGEST_ORIGIN_WAIT_S),
            help="How long a request waits for an app that is not there; 0: not at all.",
            default=str(DEFAULT_ORIGIN_WAIT_S),
            fields=("origin_wait_s",),
            commands=_ALL,
        ),
        Setting(
            name="origin_insecure",
            kind=Switch(),
            help="Do not verify the app's certificate.",
            fields=(),
            group="origin trust",
            commands=_ALL,
        ),
        Setting(
            name="origin_ca",
            kind=FilePath("FILE", values.pem_file),
            help="The CA that signed the app's.",
            unset="the system's",
            fields=(),
            group="origin trust",
            commands=_ALL,
        ),
        Setting(
            name="drain_timeout",
            kind=_seconds(0, LONGEST_DRAIN_TIMEOUT_S),
            help="How long to finish requests after Ctrl-C.",
            default=str(DEFAULT_DRAIN_TIMEOUT_S),
            fields=("drain_timeout_s",),
            commands=_ALL,
        ),
        Setting(
            name="give_up_after",
            kind=_seconds(SHORTEST_GIVE_UP_AFTER_S, LONGEST_GIVE_UP_AFTER_S, zero_is_off=True),
            help="Exit with 4 after so long without a connection to the server.",
            unset="never",
            fields=("give_up_after_s",),
            commands=_ALL,
        ),
        Setting(
            name="identity",
            kind=choice("auto", "local", "public"),
            help="Ask the app as itself, or by its public name; auto: as its own page shows.",
            default="auto",
            commands=_ALL,
        ),
        Setting(
            name="host_header",
            kind=Text("HOST", values.host_value),
            help="The Host that the app gets.",
            commands=_ALL,
        ),
        Setting(
            name="request_header",
            kind=Texts("'NAME: VALUE'"),
            help="Set a field of what the app gets. May be repeated, as the next three.",
            fields=(),
            secret=True,
            commands=_ALL,
        ),
        Setting(
            name="request_header_remove",
            kind=Texts("NAME"),
            help="Remove one.",
            fields=(),
            commands=_ALL,
        ),
        Setting(
            name="response_header",
            kind=Texts("'NAME: VALUE'"),
            help="Set a field of what visitors get.",
            fields=(),
            secret=True,
            commands=_ALL,
        ),
        Setting(
            name="response_header_remove",
            kind=Texts("NAME"),
            help="Remove one.",
            fields=(),
            commands=_ALL,
        ),
        Setting(
            name="ws_keepalive",
            kind=_seconds(WS_KEEPALIVE_MIN_S, WS_KEEPALIVE_MAX_S, zero_is_off=True),
            help="Ping both ends of WebSockets that are idle for so long.",
            unset="off",
            fields=("ws_keepalive_s",),
            commands=_ALL,
        ),
        Setting(
            name="allow_ip",
            kind=Texts("CIDR", limits=values.NETWORKS_LIMITS),
            help="Let in visitors of this network alone. May be repeated, as the next.",
            fields=(),
            commands=_ALL,
        ),
        Setting(
            name="deny_ip",
            kind=Texts("CIDR", limits=values.NETWORKS_LIMITS),
            help="Let in none of this one.",
            fields=(),
            commands=_ALL,
        ),
        Setting(
            name="inspect_memory",
            kind=WholeNumber("MIB", values.inspect_memory_mib, values.INSPECT_MEMORY_LIMITS),
            help="What the inspector may keep of requests and answers, all in all.",
            default=str(DEFAULT_INSPECT_MEMORY_MIB),
            fields=("inspect_memory_mib",),
            commands=_ALL,
        ),
        Setting(
            name="no_capture_bodies",
            kind=Switch(),
            help="Let it keep heads alone, and of bodies and frames their sizes.",
            commands=_ALL,
        ),
        Setting(
            name="inspect",
            kind=OptionalText("ADDR", values.inspect_address),
            help="Show what passes in a page of this machine, at this address.",
            unset="on where stdout is a terminal, at port 4040 or the next free one",
            group="inspect",
            commands=_ALL,
        ),
        Setting(
            name="no_inspect",
            kind=Switch(),
            help="Keep and show nothing.",
            fields=(),
            group="inspect",
            commands=_ALL,
        ),
        Setting(
            name="inspect_host",
            kind=Text("NAME", values.host_name),
            help="A further name of the page, as a proxy before it asks.",
            commands=_ALL,
        ),
        Setting(
            name="json",
            kind=Switch(),
            help="Print events as JSON, one object a line.",
            commands=(HTTP,),
        ),
        Setting(
            name="plain",
            kind=Switch(),
            help="Print on a terminal as into a pipe: no colour, no footer.",
            commands=(HTTP,),
        ),
        Setting(
            name="qr",
            kind=Switch(),
            help="Print the public URL as a QR code, too.",
            commands=(HTTP,),
        ),
        log_level(*_CONNECTING),
    ),
    {
        "name": "the one chooses a name, the other has one made up",
        "token": "there is one token",
        "inspect": "the one opens the inspector, the other does not",
        "origin trust": "one verifies, the other does not",
    },
)
