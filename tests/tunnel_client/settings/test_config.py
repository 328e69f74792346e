from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme

from protocol.errors import ConfigError
from protocol.program.settings import from_flags
from tunnel_client.settings.addresses import ServerUrl
from tunnel_client.settings.config import (
    FILE_NAME,
    HEADER_SHOWN_BY_PS,
    ClientConfig,
    Loaded,
    gather,
    load,
)
from tunnel_client.settings.header_edits import HeaderEdits
from tunnel_client.settings.rows import TABLE
from tunnel_client.settings.target import Target


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """For config and state, and a CA in `ca.pem`."""
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    return tmp_path


def loaded(
    folder: Path,
    environ: Mapping[str, str] | None = None,
    target: str | None = "3000",
    **flags: Any,
) -> Loaded:
    gathered = gather(flags, environ or {}, folder)
    return load(target, gathered, environ or {}, folder / "state")


def config(folder: Path, environ: Mapping[str, str] | None = None, **flags: Any) -> ClientConfig:
    return loaded(folder, environ, **flags).config


def refusal(folder: Path, environ: Mapping[str, str] | None = None, **flags: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(folder, environ, **flags)
    return str(caught.value)


def write(folder: Path, content: str) -> str:
    """Write the config file; how its keys are named in errors."""
    (folder / FILE_NAME).write_text(content)
    return str(folder / FILE_NAME)


def test_defaults_are_those_of_the_design(folder: Path) -> None:
    found = config(folder)
    assert found.target == Target.parse("3000")
    assert str(found.server_url) == "http://localhost:8080"
    assert (found.origin_timeout_s, found.drain_timeout_s) == (600, 8)
    assert (found.ws_keepalive_s, found.give_up_after_s) == (0, 0)
    assert found.origin_wait_s == 3
    assert (found.inspect_memory_mib, found.no_capture_bodies) == (32, False)
    assert found.identity == "auto"
    assert (found.origin_insecure, found.json) == (False, False)
    assert (found.server_ca, found.proxy, found.subdomain, found.origin_ca) == (None,) * 4


@pytest.mark.parametrize("name", ["plain", "qr"])
def test_what_is_for_people_is_refused_beside_json_by_flag_alone(folder: Path, name: str) -> None:
    said = f"--{name}: only for people, and --json is for programs"
    flags: dict[str, Any] = {name: True}
    assert refusal(folder, None, json=True, **flags) == said
    write(folder, f"{name} = true")
    assert getattr(config(folder, json=True), name)
    assert getattr(config(folder), name)


@pytest.mark.parametrize(
    ("target", "given", "identity"),
    [
        ("3000", {"identity": "auto"}, "auto"),
        ("unix:/app.sock", {}, "auto"),
        ("3000", {"host_header": "shop.test"}, "local"),
        ("3000", {"host_header": "shop.test", "identity": "auto"}, "local"),
        ("3000", {"host_header": "shop.test", "identity": "public"}, "public"),
        ("https://localhost:8443", {}, "local"),
        ("https://localhost:8443", {"identity": "public"}, "public"),
    ],
)
def test_an_app_is_asked_as_whom_it_is_asked_only_where_nobody_has_said_it(
    folder: Path, target: str, given: dict[str, Any], identity: str
) -> None:
    assert config(folder, target=target, **given).identity == identity


def test_every_flag_is_taken(folder: Path) -> None:
    ca = folder / "ca.pem"
    found = config(
        folder,
        target="https://localhost:8443",
        server="https://example.com",
        server_ca=str(ca),
        subdomain="MyApp",
        token="tt_x",
        origin_timeout="30",
        origin_wait="20",
        origin_ca=str(ca),
        drain_timeout="0",
        give_up_after="90",
        identity="public",
        host_header="app.test:81",
        request_header=("A: 1", "a: 2"),
        request_header_remove=("Cookie",),
        response_header=("B: 3",),
        response_header_remove=("Server",),
        ws_keepalive="20",
        inspect_memory="64",
        no_capture_bodies=True,
        json=True,
    )
    assert found == ClientConfig(
        target=Target.parse("https://localhost:8443"),
        server_url=ServerUrl.parse("https://example.com"),
        server_ca=ca,
        subdomain="myapp",
        token="tt_x",
        origin_timeout_s=30,
        origin_wait_s=20,
        origin_ca=ca,
        drain_timeout_s=0,
        give_up_after_s=90,
        identity="public",
        host_header="app.test:81",
        request_edits=HeaderEdits(((b"A", b"1"), (b"a", b"2")), frozenset({b"cookie"})),
        answer_edits=HeaderEdits(((b"B", b"3"),), frozenset({b"server"})),
        ws_keepalive_s=20,
        inspect_memory_mib=64,
        no_capture_bodies=True,
        json=True,
    )


def test_every_key_of_the_file_is_taken(folder: Path) -> None:
    write(
        folder,
        """
        server = "https://example.com"
        server_ca = "ca.pem"
        subdomain = "myapp"
        token = "tt_x"
        origin_timeout = 30
        origin_wait = 20
        origin_ca = "ca.pem"
        drain_timeout = 0
        give_up_after = 90
        identity = "public"
        host_header = "app.test:81"
        request_header = ["A: 1", "a: 2"]
        request_header_remove = ["Cookie"]
        response_header = ["B: 3"]
        response_header_remove = ["Server"]
        ws_keepalive = 20
        inspect_memory = 64
        no_capture_bodies = true
        """,
    )
    assert config(folder, target="https://localhost:8443") == ClientConfig(
        target=Target.parse("https://localhost:8443"),
        server_url=ServerUrl.parse("https://example.com"),
        server_ca=folder / "ca.pem",
        subdomain="myapp",
        token="tt_x",
        origin_timeout_s=30,
        origin_wait_s=20,
        origin_ca=folder / "ca.pem",
        drain_timeout_s=0,
        give_up_after_s=90,
        identity="public",
        host_header="app.test:81",
        request_edits=HeaderEdits(((b"A", b"1"), (b"a", b"2")), frozenset({b"cookie"})),
        answer_edits=HeaderEdits(((b"B", b"3"),), frozenset({b"server"})),
        ws_keepalive_s=20,
        inspect_memory_mib=64,
        no_capture_bodies=True,
    )


def test_flags_win_over_environment_over_file(folder: Path) -> None:
    environ: dict[str, str] = {}
    flags: dict[str, str] = {}
    assert config(folder, environ, **flags).server_url.host == "localhost"
    write(folder, 'server = "http://file.example"')
    assert config(folder, environ, **flags).server_url.host == "file.example"
    environ["TUNNEL_SERVER"] = "http://environment.example"
    assert config(folder, environ, **flags).server_url.host == "environment.example"
    flags["server"] = "http://flag.example"
    assert config(folder, environ, **flags).server_url.host == "flag.example"


def test_token_comes_from_the_first_place_that_has_one(folder: Path) -> None:
    def found() -> str:
        return config(folder, environ, **flags).token

    environ: dict[str, str] = {}
    flags: dict[str, str] = {}
    (folder / "token").write_text("tt_file\n")
    (folder / "token2").write_text("tt_config_file\n")
    assert found().startswith("ti_")  # the install key
    write(folder, 'token_file = "token2"')
    assert found() == "tt_config_file"
    write(folder, 'token = "tt_config"')
    assert found() == "tt_config"
    environ["TUNNEL_TOKEN"] = "tt_environment"
    assert found() == "tt_environment"
    flags["token_file"] = str(folder / "token")
    assert found() == "tt_file"
    del flags["token_file"]
    flags["token"] = "tt_flag"
    assert found() == "tt_flag"


@pytest.mark.parametrize(
    ("one", "other"),
    [("token", "token_file"), ("origin_insecure", "origin_ca")],
)
@pytest.mark.parametrize("source", ["flag", "variable", "file"])
def test_two_that_exclude_each_other_in_one_source_are_refused_by_name(
    folder: Path, one: str, other: str, source: str
) -> None:
    value = {one: True if one == "origin_insecure" else "tt_x", other: str(folder / "ca.pem")}
    environ = {}
    if source == "variable":
        names = {name: f"TUNNEL_CLIENT_{name.upper()}" for name in value}
        environ = {names[name]: str(v).replace("True", "true") for name, v in value.items()}
        value = {}
    elif source == "file":
        shown = {name: "true" if v is True else f'"{v}"' for name, v in value.items()}
        path = write(folder, "\n".join(f"{name} = {v}" for name, v in shown.items()))
        names = {name: f"{path}:{line}: {name}" for line, name in enumerate(shown, 1)}
        value = {}
    else:
        names = {name: f"--{name.replace('_', '-')}" for name in value}
    said = refusal(folder, environ, target="https://localhost", **value)
    assert said.startswith(f"{names[one]}: not together with {names[other]}: ")
    assert "tt_x" not in said


def test_empty_variable_is_an_unset_one(folder: Path) -> None:
    found = config(folder, {"TUNNEL_TOKEN": "", "TUNNEL_SERVER": "", "TUNNEL_CLIENT_JSON": ""})
    assert found.token.startswith("ti_")
    assert found.server_url.host == "localhost"
    assert not found.json


def test_install_key_stays_the_same_and_is_made_only_without_a_token(folder: Path) -> None:
    config(folder, token="tt_x")
    assert not (folder / "state").exists()
    refusal(folder, subdomain="-")
    assert not (folder / "state").exists()
    assert config(folder).token == config(folder).token != ""


def test_token_on_the_command_line_is_warned_about(folder: Path) -> None:
    assert "process list" in loaded(folder, token="tt_x").warnings[0]
    assert loaded(folder, {"TUNNEL_TOKEN": "tt_x"}).warnings == ()
    assert loaded(folder).warnings == ()


@pytest.mark.parametrize(
    ("field", "warned"),
    [
        ("Authorization: Bearer x", True),
        ("cookie: a=b", True),
        ("X-API-Key: x", True),
        ("Proxy-Authorization: Basic x", True),
        ("X-Forwarded-User: ann", False),
    ],
)
def test_a_secret_field_on_the_command_line_is_warned_about(
    folder: Path, field: str, warned: bool
) -> None:
    found = loaded(folder, request_header=(field,)).warnings
    assert found == ((HEADER_SHOWN_BY_PS,) if warned else ())
    write(folder, f"request_header = ['{field}']")
    assert loaded(folder).warnings == ()


def test_install_key_that_cannot_be_kept_is_warned_about(folder: Path) -> None:
    (folder / "state").touch()
    assert "no install key" in loaded(folder).warnings[0]


def test_secrets_are_in_no_repr(folder: Path) -> None:
    environ = {"https_proxy": "http://user:hunter2@p"}
    found = config(folder, environ, token="hunter2", server="https://example.com")
    assert found.proxy is not None
    assert found.token == "hunter2"
    shown = repr(found) + repr(from_flags(TABLE, {"token": "hunter2"}))
    assert "hunter2" not in shown
    assert "dXNlcjpodW50ZXIy" not in shown


def test_proxy_of_the_environment_is_for_servers_elsewhere(folder: Path) -> None:
    environ = {"ALL_PROXY": "http://p:3128"}
    assert config(folder, environ).proxy is None
    assert str(config(folder, environ, server="http://example.com").proxy) == "p:3128"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"target": None}, "TARGET: is missing; allowed: 3000, "),
        ({"target": "0"}, "TARGET: a port is a number from 1 to 65535; "),
        ({"server": "ftp://a"}, "--server: a URL starts with http:// or https://; allowed: "),
        ({"server": "https://a/b"}, "--server: no path, query or fragment; "),
        ({"server": ""}, "--server: a host is"),
        ({"subdomain": "a.b"}, "--subdomain: takes a DNS label: 1 to 63 of a-z, 0-9 and -, "),
        ({"subdomain": ""}, "--subdomain: takes a DNS label"),
        ({"token": "a b"}, "--token: a token is 1 to 1024 "),
        ({"token": ""}, "--token: a token is 1 to 1024 "),
        ({"token_file": "/none"}, "--token-file: /none cannot be read: No such file"),
        (
            {"origin_timeout": "0"},
            "--origin-timeout: takes a number of seconds from 0.001 to 86400",
        ),
        (
            {"origin_timeout": "86400.1"},
            "--origin-timeout: takes a number of seconds from 0.001 to",
        ),
        ({"origin_wait": "-1"}, "--origin-wait: takes a number of seconds from 0 to 600"),
        ({"origin_wait": "600.1"}, "--origin-wait: takes a number of seconds from 0 to 600"),
        (
            {"origin_timeout": "x"},
            "--origin-timeout: takes a number of seconds from 0.001 to 86400",
        ),
        ({"drain_timeout": "-1"}, "--drain-timeout: takes a number of seconds from 0 to 3600"),
        ({"drain_timeout": "3600.1"}, "--drain-timeout: takes a number of seconds from 0 to 3600"),
        (
            {"give_up_after": "0.9"},
            "--give-up-after: takes a number of seconds from 1 to 604800, or 0",
        ),
        (
            {"give_up_after": "604800.1"},
            "--give-up-after: takes a number of seconds from 1 to 604800",
        ),
        ({"give_up_after": "never"}, "--give-up-after: takes a number of seconds from 1 to 604800"),
        (
            {"ws_keepalive": "0.9"},
            "--ws-keepalive: takes a number of seconds from 1 to 86400, or 0",
        ),
        (
            {"ws_keepalive": "86400.1"},
            "--ws-keepalive: takes a number of seconds from 1 to 86400, or",
        ),
        (
            {"ws_keepalive": "x"},
            "--ws-keepalive: takes a number of seconds from 1 to 86400, or 0 for off",
        ),
        ({"inspect_memory": "3"}, "--inspect-memory: takes a whole number from 4 to 4096, not '3'"),
        ({"inspect_memory": "4097"}, "--inspect-memory: takes a whole number from 4 to 4096"),
        ({"inspect_memory": "4.5"}, "--inspect-memory: takes a whole number from 4 to 4096"),
        ({"origin_ca": "/none", "target": "https://a"}, "--origin-ca: /none cannot be read: "),
        ({"server_ca": "/none", "server": "https://a"}, "--server-ca: /none cannot be read: "),
    ],
)
def test_bad_flag_is_refused_by_name_with_what_is_allowed(
    folder: Path, flags: dict[str, Any], said: str
) -> None:
    assert refusal(folder, **flags).startswith(said)


@pytest.mark.parametrize(
    "flags",
    [
        {
            "origin_timeout": "0.001",
            "drain_timeout": "0",
            "ws_keepalive": "1",
            "give_up_after": "1",
        },
        {"origin_timeout": "86400", "drain_timeout": "3600", "ws_keepalive": "86400"},
        {"give_up_after": "604800", "origin_wait": "0"},
        {"origin_wait": "600", "inspect_memory": "4"},
        {"inspect_memory": "4096"},
    ],
)
def test_numbers_are_taken_up_to_their_limits(folder: Path, flags: dict[str, Any]) -> None:
    config(folder, **flags)


def test_what_the_file_turns_on_is_turned_off_by_a_flag(folder: Path) -> None:
    write(folder, "ws_keepalive = 20\ngive_up_after = 90")
    on = config(folder)
    assert (on.ws_keepalive_s, on.give_up_after_s) == (20, 90)
    off = config(folder, ws_keepalive="0", give_up_after="0")
    assert (off.ws_keepalive_s, off.give_up_after_s) == (0, 0)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"TUNNEL_SERVER": "ftp://a"}, "TUNNEL_SERVER: a URL starts with"),
        ({"TUNNEL_TOKEN": "a\n"}, "TUNNEL_TOKEN: a token is"),
        ({"TUNNEL_SERVER": "http://a", "ALL_PROXY": "socks5://p"}, "ALL_PROXY: only http and"),
    ],
)
def test_bad_variable_is_refused_by_name(folder: Path, environ: dict[str, str], said: str) -> None:
    assert refusal(folder, environ).startswith(said)


@pytest.mark.parametrize(
    "line",
    [
        'server = "ftp://a"',
        'server_ca = "none.pem"\nserver = "https://a"',
        'subdomain = "a_b"',
        'token = ""',
        'token_file = "none"',
        "origin_timeout = 0",
        'origin_ca = "none.pem"',
        "drain_timeout = -1",
        "give_up_after = 0.5",
        "identity = 'both'",
        "host_header = 'a b'",
        "request_header = ['secret']",
        "request_header = 'A: secret'",
        "request_header_remove = ['Host']",
        "response_header = ['Tunnel-Error: secret']",
        "ws_keepalive = 0.5",
    ],
)
def test_bad_key_of_the_file_is_refused_by_name(folder: Path, line: str) -> None:
    path = write(folder, f"\n# A comment.\n{line}")
    key = line.partition(" ")[0]
    assert refusal(folder, target="https://localhost:8443").startswith(f"{path}:3: {key}: ")


def test_flag_about_a_certificate_is_refused_where_there_is_none(folder: Path) -> None:
    ca = str(folder / "ca.pem")
    assert refusal(folder, server_ca=ca) == (
        "--server-ca: only for an https:// server, and this is http://localhost:8080"
    )
    http = "only for an https:// TARGET, and this is http://localhost:3000"
    assert refusal(folder, origin_ca=ca) == f"--origin-ca: {http}"
    assert refusal(folder, origin_insecure=True) == f"--origin-insecure: {http}"


def test_keys_about_certificates_are_passed_over_where_there_is_none(folder: Path) -> None:
    write(folder, 'server_ca = "ca.pem"\norigin_insecure = true')
    found = config(folder)
    assert (found.server_ca, found.origin_insecure) == (None, False)
    write(folder, 'origin_ca = "ca.pem"')
    assert config(folder).origin_ca is None


def test_app_is_not_both_verified_and_unverified(folder: Path) -> None:
    said = refusal(
        folder, target="https://a", origin_insecure=True, origin_ca=str(folder / "ca.pem")
    )
    assert said.startswith("--origin-insecure: not together with")


PATHS = ["token_file", "origin_ca", "server_ca"]
HTTPS = {"TUNNEL_SERVER": "https://a"}


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("value", ["", "a\\u0000b", "~no-such-user-here/x"])
def test_what_is_no_path_is_refused_from_every_source(folder: Path, name: str, value: str) -> None:
    said = "takes a path; ~ stands for a home folder" if "~" in value else "takes a path, not "
    flag, target = f"--{name.replace('_', '-')}", "https://b"
    text = value.replace("\\u0000", "\0")
    assert refusal(folder, HTTPS, target=target, **{name: text}).startswith(f"{flag}: {said}")
    if value:
        variable = f"TUNNEL_CLIENT_{name.upper()}"
        environ = {**HTTPS, variable: text}
        assert refusal(folder, environ, target=target).startswith(f"{variable}: {said}")
    path = write(folder, f'{name} = "{value}"')
    assert refusal(folder, HTTPS, target=target).startswith(f"{path}:1: {name}: {said}")


@pytest.mark.parametrize("name", PATHS)
def test_home_folder_is_meant_by_a_tilde_in_every_source(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("HOME", str(folder))
    (folder / "token").write_text("tt_file\n")
    value = "~/token" if name == "token_file" else "~/ca.pem"
    attribute, expected = (
        ("token", "tt_file") if name == "token_file" else (name, folder / "ca.pem")
    )
    for environ, flags in (
        ({}, {name: value}),
        ({f"TUNNEL_CLIENT_{name.upper()}": value}, {}),
    ):
        found = config(folder, {**HTTPS, **environ}, target="https://b", **flags)
        assert getattr(found, attribute) == expected


def test_trust_given_by_flag_wins_over_the_other_kind_in_the_file(folder: Path) -> None:
    write(folder, "origin_insecure = true")
    found = config(folder, target="https://a", origin_ca=str(folder / "ca.pem"))
    assert (found.origin_insecure, found.origin_ca) == (False, folder / "ca.pem")
    write(folder, 'origin_ca = "ca.pem"')
    found = config(folder, target="https://a", origin_insecure=True)
    assert (found.origin_insecure, found.origin_ca) == (True, None)
    write(folder, "origin_insecure = true")
    assert config(folder, target="https://a").origin_insecure
    write(folder, 'origin_insecure = false\norigin_ca = "ca.pem"')
    assert config(folder, target="https://a").origin_ca == folder / "ca.pem"
