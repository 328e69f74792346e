"""The command line: flags in, a checked config out. The one module of the server that prints.

    tunnel-server [serve] ...          serve is what is done where no command is named
    tunnel-server token create NAME

Bad usage is one line on stderr and exit code 2, so typer's boxes and its usage text are off. Values
come in as text and `flags.py` reads them, so that every complaint says in the same words what is
allowed. A command returns what is to be done, and `main` does it outside of typer, which would
turn a Ctrl-C and a broken pipe into exit codes of its own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from protocol.errors import ConfigError
from protocol.limits import HOLD_S, PING_INTERVAL_S, TIMEOUT_S
from protocol.program.process import EXIT_BAD_USAGE, EXIT_STOPPED, PROGRAM, version
from protocol.program.text import escape_controls
from tunnel_server.owners.tokens import TOKEN_RANDOM_BYTES, add_token, make_token
from tunnel_server.settings import flags
from tunnel_server.settings.config import ServerConfig, default_state_dir

# typer gives out one class of its tree of usage errors. Their common root is its second base:
# ClickException, of the click inside typer or of the one beside it, depending on typer's version.
_USAGE_ERROR: Final[type[Exception]] = typer.BadParameter.__mro__[2]

Task = Callable[[], int]

_app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_token = typer.Typer(rich_markup_mode=None, help="Make tokens for clients.")
_app.add_typer(_token, name="token")

_COMMANDS: Final = ("serve", "token")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        argv: without the program's name; None: that of the process.

    Returns:
        The exit code: 0 stopped by the user, 1 could not start, 2 bad usage or config.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _parse(_with_command(arguments))()
    except ConfigError as error:
        return _complain(str(error))
    except _USAGE_ERROR as error:
        return _complain(_usage_message(error))
    except KeyboardInterrupt:
        return EXIT_STOPPED


def _with_command(arguments: list[str]) -> list[str]:
    """`serve` in front, where the first word is a flag or missing."""
    if not arguments or arguments[0].startswith("-"):
        return ["serve", *arguments]
    if arguments[0] not in _COMMANDS:
        raise ConfigError(arguments[0], "no such command; there are serve and token create")
    return arguments


def _parse(arguments: list[str]) -> Task:
    # complete_var: without it typer would look at an environment variable for shell completion.
    command: Any = typer.main.get_command(_app)
    result = command.main(arguments, prog_name=PROGRAM, complete_var="", standalone_mode=False)
    # --help and --version have printed and are done; typer then gives back an exit code.
    return result if callable(result) else partial(int, result or 0)


def _complain(message: str) -> int:
    print(f"{PROGRAM}: {escape_controls(message)}", file=sys.stderr)
    return EXIT_BAD_USAGE


def _usage_message(error: Exception) -> str:
    """typer's complaint as `KEY: what is allowed`; its attributes are read, never its wording."""
    option, context = getattr(error, "option_name", None), getattr(error, "ctx", None)
    if option is None:
        message = getattr(error, "format_message", error.__str__)()
        return f"{' '.join(message.split())} (see {PROGRAM} --help)"
    # A flag with a bad value comes without its command; serve has all of the other one's flags.
    group: Any = typer.main.get_command(_app)
    command = context.command if context else group.commands["serve"]
    takes = {name: param.metavar for param in command.params for name in param.opts}
    takes["--help"] = None
    if option not in takes:
        return f"{option}: no such flag; there are {', '.join(_flags_of(takes))}"
    value = takes[option]
    return f"{option}: needs a value, {value}" if value else f"{option}: takes no value"


def _flags_of(names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith("--")]


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"{PROGRAM} {version()}")
        raise typer.Exit


def _serve(config: ServerConfig) -> int:
    # Not at the top: `--version` and `--help` need no trio.
    from tunnel_server.app import run

    return run(config)


def _create_token(auth_file: Path, name: str) -> int:
    token = make_token(os.urandom(TOKEN_RANDOM_BYTES))
    add_token(auth_file, name, token)
    print(token, flush=True)
    note = (
        f"{name} may connect with this token now. It is shown this once; {auth_file} has its hash."
    )
    print(f"{PROGRAM}: {note}", file=sys.stderr)
    return 0


def _flag(name: str, metavar: str, text: str) -> Any:
    return typer.Option(name, metavar=metavar, help=text)


@_app.command(epilog="Tokens for clients are made with: tunnel-server token create NAME")
def serve(
    bind: Annotated[
        str, _flag("--bind", "HOST:PORT", "Address to listen on; port 0 takes a free one.")
    ] = "127.0.0.1:8080",
    domain: Annotated[
        str, _flag("--domain", "NAME", "The service's domain; tunnels are NAME.DOMAIN.")
    ] = "localhost",
    public_url: Annotated[
        str | None, _flag("--public-url", "URL", "The service as visitors see it, behind a proxy.")
    ] = None,
    auth_file: Annotated[
        str | None, _flag("--auth-file", "FILE", "Tokens that may connect. [in the state folder]")
    ] = None,
    open_to_all: Annotated[
        bool, typer.Option("--open", help="Let everybody share apps, without a token.")
    ] = False,
    tls_cert: Annotated[
        str | None, _flag("--tls-cert", "FILE", "Serve HTTPS with this PEM certificate chain.")
    ] = None,
    tls_key: Annotated[str | None, _flag("--tls-key", "FILE", "Its unencrypted PEM key.")] = None,
    trusted_proxies: Annotated[
        str | None,
        _flag("--trusted-proxies", "CIDR,...", "Whose X-Forwarded-* fields are believed."),
    ] = None,
    proxy_protocol: Annotated[
        bool, typer.Option("--proxy-protocol", help="Take connections with a PROXY header only.")
    ] = False,
    max_connections: Annotated[
        str | None, _flag("--max-connections", "N", "Of visitors. [by the limit of open files]")
    ] = None,
    drain_timeout: Annotated[
        str, _flag("--drain-timeout", "SECONDS", "How long a stop waits for open requests.")
    ] = "8",
    hold: Annotated[
        str, _flag("--hold", "SECONDS", "How long a client that was cut off may take to come back.")
    ] = str(HOLD_S),
    heartbeat: Annotated[
        str, _flag("--heartbeat", "S,S", "How often clients are pinged, and when one is dead.")
    ] = f"{PING_INTERVAL_S},{TIMEOUT_S}",
    replace: Annotated[
        bool, typer.Option("--replace", help="Take over from the server that listens there.")
    ] = False,
    state_dir: Annotated[
        str | None, _flag("--state-dir", "DIR", "The state folder. [~/.local/state/trio-tunnel]")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print events as JSON, one object a line.")
    ] = False,
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> Task:
    """Give web apps on other machines public URLs: the server that tunnel-client connects to."""
    host, port = flags.parse_bind(bind)
    paths = {"--tls-cert": tls_cert, "--tls-key": tls_key, "--auth-file": auth_file}
    path = {flag: flags.parse_path(flag, text) for flag, text in paths.items() if text is not None}
    most = None if max_connections is None else flags.parse_max_connections(max_connections)
    ping_interval_s, timeout_s = flags.parse_heartbeat(heartbeat)
    folder = default_state_dir()
    if state_dir is not None:
        folder = flags.parse_path("--state-dir", state_dir)
    config = ServerConfig(
        bind_host=host,
        bind_port=port,
        domain=flags.parse_domain(domain),
        public_url=None if public_url is None else flags.parse_public_url(public_url),
        auth_file=path.get("--auth-file"),
        open=open_to_all,
        tls_cert=path.get("--tls-cert"),
        tls_key=path.get("--tls-key"),
        trusted_proxies=() if trusted_proxies is None else flags.parse_networks(trusted_proxies),
        proxy_protocol=proxy_protocol,
        max_connections=most,
        drain_timeout_s=flags.parse_drain_timeout(drain_timeout),
        hold_s=flags.parse_hold(hold),
        ping_interval_s=ping_interval_s,
        timeout_s=timeout_s,
        state_dir=folder,
        replace=replace,
        json=json,
    )
    return partial(_serve, config)


@_token.command("create")
def token_create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose token it is.")],
    auth_file: Annotated[
        str | None, _flag("--auth-file", "FILE", "Where its hash goes. [in the state folder]")
    ] = None,
) -> Task:
    """Make a token, print it, and put its hash into the auth file."""
    if auth_file is None:
        path = ServerConfig().tokens_file
    else:
        path = flags.parse_path("--auth-file", auth_file)
    return partial(_create_token, path, name)
