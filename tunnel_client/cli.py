"""The command line: flags in, a checked config out. The one module of the client that prints.

Bad usage is one line on stderr and exit code 2, so typer's boxes and its usage text are off, and
numbers come in as text: `config.py` reads them and says in the same words what is allowed,
wherever a value came from.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Annotated, Any

import platformdirs
import typer

from protocol.errors import ConfigError
from protocol.program.text import printable
from tunnel_client.settings.config import ClientConfig, Flags, load

PROGRAM = "tunnel-client"
FOLDER = "trio-tunnel"  # in the user's folders for config and state; the server's too

EXIT_BAD_USAGE = 2

# typer gives out one class of its tree of usage errors. Their common root is its second base:
# ClickException, of the click inside typer or of the one beside it, depending on typer's version.
_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[2]

_app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"{PROGRAM} {metadata.version('trio-tunnel')}")
        raise typer.Exit


@_app.callback()
def _program(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Give a local web app a public URL on a tunnel-server."""


@_app.command()
def http(
    target: Annotated[
        str | None,
        typer.Argument(metavar="TARGET", help="3000, host:3000, http(s)://host:3000 or unix:/path"),
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(
            "--server",
            metavar="URL",
            help="The tunnel-server, http or https. [TUNNEL_SERVER; http://localhost:8080]",
        ),
    ] = None,
    server_ca: Annotated[
        str | None,
        typer.Option("--server-ca", metavar="FILE", help="The CA that signed its certificate."),
    ] = None,
    subdomain: Annotated[
        str | None,
        typer.Option("--subdomain", metavar="NAME", help="The name to ask for. [a random one]"),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option("--token", metavar="TOKEN", help="Shows in the process list: better a file."),
    ] = None,
    token_file: Annotated[
        str | None,
        typer.Option(
            "--token-file",
            metavar="FILE",
            help="A file with the token and one newline. [TUNNEL_TOKEN]",
        ),
    ] = None,
    origin_timeout: Annotated[
        str | None,
        typer.Option(
            "--origin-timeout",
            metavar="SECONDS",
            help="How long the app may take to begin an answer. [600]",
        ),
    ] = None,
    origin_wait: Annotated[
        str | None,
        typer.Option(
            "--origin-wait",
            metavar="SECONDS",
            help="How long a request waits for an app that is not there; 0: not at all. [3]",
        ),
    ] = None,
    origin_insecure: Annotated[
        bool | None,
        typer.Option("--origin-insecure", help="Do not verify the app's certificate."),
    ] = None,
    origin_ca: Annotated[
        str | None,
        typer.Option("--origin-ca", metavar="FILE", help="The CA that signed the app's."),
    ] = None,
    drain_timeout: Annotated[
        str | None,
        typer.Option(
            "--drain-timeout",
            metavar="SECONDS",
            help="How long to finish requests after Ctrl-C. [8]",
        ),
    ] = None,
    give_up_after: Annotated[
        str | None,
        typer.Option(
            "--give-up-after",
            metavar="SECONDS",
            help="Exit with 4 after so long without a connection to the server. [never]",
        ),
    ] = None,
    identity: Annotated[
        str | None,
        typer.Option(
            "--identity",
            metavar="local|public",
            help="Ask the app as itself, or by its public name. [local]",
        ),
    ] = None,
    host_header: Annotated[
        str | None,
        typer.Option("--host-header", metavar="HOST", help="The Host that the app gets."),
    ] = None,
    request_header: Annotated[
        list[str] | None,
        typer.Option(
            "--request-header",
            metavar="'NAME: VALUE'",
            help="Set a field of what the app gets. May be repeated, as the next three.",
        ),
    ] = None,
    request_header_remove: Annotated[
        list[str] | None,
        typer.Option("--request-header-remove", metavar="NAME", help="Remove one."),
    ] = None,
    response_header: Annotated[
        list[str] | None,
        typer.Option(
            "--response-header", metavar="'NAME: VALUE'", help="Set a field of what visitors get."
        ),
    ] = None,
    response_header_remove: Annotated[
        list[str] | None,
        typer.Option("--response-header-remove", metavar="NAME", help="Remove one."),
    ] = None,
    ws_keepalive: Annotated[
        str | None,
        typer.Option(
            "--ws-keepalive",
            metavar="SECONDS",
            help="Ping both ends of WebSockets that are idle for so long. [off]",
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print events as JSON, one object a line.")
    ] = False,
) -> Flags:
    """Share the web app on TARGET."""
    return Flags(
        target=target,
        server=server,
        server_ca=server_ca,
        subdomain=subdomain,
        token=token,
        token_file=token_file,
        origin_timeout=origin_timeout,
        origin_wait=origin_wait,
        origin_insecure=origin_insecure,
        origin_ca=origin_ca,
        drain_timeout=drain_timeout,
        give_up_after=give_up_after,
        identity=identity,
        host_header=host_header,
        request_header=_several(request_header),
        request_header_remove=_several(request_header_remove),
        response_header=_several(response_header),
        response_header_remove=_several(response_header_remove),
        ws_keepalive=ws_keepalive,
        json=json,
    )


def _several(values: list[str] | None) -> tuple[str, ...] | None:
    """None where a flag was not given; what typer makes of that differs with its version."""
    return tuple(values) if values else None


def config_from(arguments: Sequence[str]) -> ClientConfig | int:
    """The config that a command line asks for, or the exit code if there is nothing to run.

    Prints help and version on stdout, warnings and the one line about bad usage on stderr.
    """
    try:
        # complete_var: without it an environment variable could ask for shell completion instead.
        flags = typer.main.get_command(_app).main(
            list(arguments), prog_name=PROGRAM, complete_var="", standalone_mode=False
        )
        return _load(flags) if isinstance(flags, Flags) else 0
    except ConfigError as error:
        _complain(str(error))
    except _USAGE_ERROR as error:
        _complain(_usage(error))
    return EXIT_BAD_USAGE


def _load(flags: Flags) -> ClientConfig:
    # Unversioned folders, the same for every release: the token and the install key stay valid.
    config, warnings = load(
        flags,
        os.environ,
        platformdirs.user_config_path(FOLDER, appauthor=False),
        platformdirs.user_state_path(FOLDER, appauthor=False),
    )
    for warning in warnings:
        _complain(f"warning: {warning}")
    return config


def _usage(error: Exception) -> str:
    """What typer found, in our one line: read from the error's attributes, not from its wording."""
    option = getattr(error, "option_name", None)
    if option is None:
        # Without what stands in brackets: an argument too many may be a token.
        said = str(error).partition(" (")[0].rstrip(".")
        return f"{said}; allowed: {PROGRAM} http TARGET [FLAGS], see {PROGRAM} http --help"
    takes = _flags_with_metavars(error)
    if option not in takes:
        return f"{option}: no such flag; allowed: {', '.join(takes)}"
    value = takes[option]
    return f"{option}: needs a value, {value}" if value else f"{option}: takes no value"


def _flags_with_metavars(error: Exception) -> dict[str, str | None]:
    """The long flags of the command that the error is about; of `http` if it does not say."""
    group: Any = typer.main.get_command(_app)
    context = getattr(error, "ctx", None)
    command = context.command if context else group.commands["http"]
    takes = {name: param.metavar for param in command.params for name in param.opts}
    return {name: value for name, value in takes.items() if name.startswith("--")} | {
        "--help": None
    }


def _complain(line: str) -> None:
    print(f"{PROGRAM}: {printable(line)}", file=sys.stderr)
