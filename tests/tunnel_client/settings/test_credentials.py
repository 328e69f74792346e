"""The token that goes to a server, and where it may not go."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import ConfigError
from tunnel_client.settings import credentials
from tunnel_client.settings.addresses import ServerUrl
from tunnel_client.settings.config import FILE_NAME, gather
from tunnel_client.settings.credentials import (
    NOT_BY_HTTP,
    READABLE,
    SHOWN_BY_PS,
    Credential,
    choose_credential,
    key_for,
)
from tunnel_client.settings.install_key import FILE_NAME as KEY_FILE_NAME

HTTPS = "https://tunnel.example.com"
HTTP = "http://tunnel.example.com"


def chosen(
    folder: Path, server: str, environ: Mapping[str, str] | None = None, **flags: Any
) -> Credential:
    gathered = gather({"server": server, **flags}, environ or {}, folder)
    return choose_credential(gathered, ServerUrl.parse(server), folder / "state")


def given(token: str) -> Credential:
    return Credential(token, is_given=True)


def refusal(
    folder: Path, server: str, environ: Mapping[str, str] | None = None, **flags: Any
) -> str:
    with pytest.raises(ConfigError) as caught:
        chosen(folder, server, environ, **flags)
    return str(caught.value)


# --- https, or this machine ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "server",
    [
        "https://a.example",
        "http://localhost:8080",
        "http://tunnel.localhost",
        "http://127.8.9.1",
        "http://[::1]:80",
    ],
)
def test_a_token_goes_by_https_and_to_this_machine(tmp_path: Path, server: str) -> None:
    environ = {"TUNNEL_TOKEN": "tt_x"}
    assert chosen(tmp_path, server, environ) == given("tt_x")


@pytest.mark.parametrize(
    "server",
    ["http://a.example", "http://192.168.1.5:8080", "http://localhost.example.com", "http://[::2]"],
)
def test_to_any_other_it_is_refused_unless_the_line_is_said_to_be_safe(
    tmp_path: Path, server: str
) -> None:
    said = NOT_BY_HTTP.format(ServerUrl.parse(server))
    assert refusal(tmp_path, server, token="tt_x") == f"--token: {said}"
    assert refusal(tmp_path, server, {"TUNNEL_TOKEN": "tt_x"}) == f"TUNNEL_TOKEN: {said}"
    (tmp_path / "token").write_text("tt_x\n")
    flags: dict[str, Any] = {"token_file": str(tmp_path / "token")}
    assert refusal(tmp_path, server, **flags) == f"--token-file: {said}"
    assert chosen(tmp_path, server, **flags, insecure_server=True) == given("tt_x")
    environ = {"TUNNEL_INSECURE_SERVER": "true"}
    assert chosen(tmp_path, server, environ, **flags) == given("tt_x")
    environ = {"TUNNEL_INSECURE_SERVER": "false"}
    assert refusal(tmp_path, server, environ, **flags) == f"--token-file: {said}"
    (tmp_path / FILE_NAME).write_text(f'server = "{server}"\ninsecure_server = true')
    assert chosen(tmp_path, server, **flags) == given("tt_x")


def test_a_file_says_it_of_the_server_beside_it_alone(tmp_path: Path) -> None:
    """The line at home is safe; that of another server, which a flag names, may not be."""
    other = "http://192.0.2.2:8080"
    for said in ('server = "http://lan.example"\n', ""):
        (tmp_path / FILE_NAME).write_text(f"{said}insecure_server = true")
        text = NOT_BY_HTTP.format(ServerUrl.parse(other))
        assert refusal(tmp_path, other, token="tt_x") == f"--token: {text}"


def test_an_install_key_goes_there_with_a_warning(tmp_path: Path) -> None:
    assert chosen(tmp_path, HTTP).warnings == (READABLE.format(HTTP),)
    assert chosen(tmp_path, HTTP, insecure_server=True).warnings == ()
    assert chosen(tmp_path, HTTPS).warnings == ()


def test_a_token_on_the_command_line_is_warned_of(tmp_path: Path) -> None:
    assert chosen(tmp_path, HTTPS, token="tt_x").warnings == (SHOWN_BY_PS,)


# --- the server of the same file -----------------------------------------------------------------


@pytest.mark.parametrize("key", ["token", "token_file"])
def test_a_token_of_the_file_goes_to_the_server_of_the_file(tmp_path: Path, key: str) -> None:
    (tmp_path / "token").write_text("tt_x\n")
    value = "tt_x" if key == "token" else str(tmp_path / "token")
    path = tmp_path / FILE_NAME
    path.write_text(f"{key} = '{value}'\nserver = '{HTTPS}'")
    for same in (HTTPS, "HTTPS://Tunnel.Example.com:443/"):
        assert chosen(tmp_path, same) == given("tt_x")
    for other in ("https://tunnel.example.org", f"{HTTPS}:8443", "http://localhost:8080"):
        said = refusal(tmp_path, other)
        assert said.startswith(f"{path}:1: {key}: goes to the `server` that stands beside it, and")
        assert "tt_x" not in said
        assert chosen(tmp_path, other, {"TUNNEL_TOKEN": "tt_other"}) == given("tt_other")


def test_a_file_without_a_server_is_the_defaults(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("token = 'tt_x'")
    assert chosen(tmp_path, "http://localhost:8080") == given("tt_x")
    assert "stands beside it (there is none), and this is https" in refusal(tmp_path, HTTPS)


# --- the install key -----------------------------------------------------------------------------


def test_each_server_gets_an_install_key_of_its_own(tmp_path: Path) -> None:
    servers = [HTTPS, HTTP, f"{HTTPS}:8443", "https://tunnel.example.org"]
    keys = {chosen(tmp_path, server).token for server in servers}
    assert len(keys) == len(servers)
    kept = (tmp_path / "state" / KEY_FILE_NAME).read_text().strip()
    assert kept not in keys
    assert chosen(tmp_path, "HTTPS://Tunnel.Example.com:443/").token == key_for(
        kept, ServerUrl.parse(HTTPS)
    )


def test_the_names_of_this_machine_are_one() -> None:
    names = ("localhost", "127.0.0.1", "[::1]", "tunnels.localhost")
    keys = {key_for("ti_key", ServerUrl.parse(f"http://{name}:8080")) for name in names}
    assert len(keys) == 1
    assert key_for("ti_key", ServerUrl.parse("http://localhost:8081")) not in keys


def test_it_is_the_hmac_of_the_origin() -> None:
    mac = hmac.new(b"ti_key", HTTPS.encode(), hashlib.sha256).digest()
    expected = base64.urlsafe_b64encode(mac).decode().rstrip("=")
    assert key_for("ti_key", ServerUrl.parse(HTTPS)) == f"ti_{expected}"
    assert len(expected) == 43


def test_a_token_is_one_whatever_it_begins_with(tmp_path: Path) -> None:
    assert chosen(tmp_path, HTTPS, {"TUNNEL_TOKEN": "ti_of_another"}) == given("ti_of_another")
    assert not chosen(tmp_path, HTTPS).is_given


def test_no_credential_shows_itself(tmp_path: Path) -> None:
    assert repr(chosen(tmp_path, HTTPS, token="tt_hunter2")) == "<Credential hidden>"
    gathered = gather({}, {}, tmp_path)
    nobody = choose_credential(gathered, ServerUrl.parse(HTTPS), None)
    assert (repr(nobody), nobody) == ("<Credential of nobody>", Credential(""))


# --- files that others may read ------------------------------------------------------------------


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were looked at; each has a warning."""
    seen: list[Path] = []

    def warn(path: Path) -> str:
        seen.append(path)
        return f"{path.name} can be read"

    monkeypatch.setattr(credentials, "warning_of", warn)
    return seen


def test_a_token_file_that_others_may_read_is_warned_of(tmp_path: Path, seen: list[Path]) -> None:
    (tmp_path / "t").write_text("tt_x\n")
    path = str(tmp_path / "t")
    assert chosen(tmp_path, HTTPS, token_file=path).warnings == ("t can be read",)
    assert chosen(tmp_path, HTTPS, {"TUNNEL_CLIENT_TOKEN_FILE": path}).warnings == (
        "t can be read",
    )
    assert seen == [tmp_path / "t"] * 2


def test_so_is_a_settings_file_with_a_token_in_it(tmp_path: Path, seen: list[Path]) -> None:
    (tmp_path / FILE_NAME).write_text(f"token = 'tt_x'\nserver = '{HTTPS}'")
    assert chosen(tmp_path, HTTPS).warnings == (f"{FILE_NAME} can be read",)
    assert chosen(tmp_path, HTTPS, {"TUNNEL_TOKEN": "tt_y"}).warnings == ()
    assert seen == [tmp_path / FILE_NAME]


def test_the_example_of_the_document_holds() -> None:
    key = "ti_" + 43 * "A"
    shown = key_for(key, ServerUrl.parse("https://tunnel.example.com"))
    assert shown in (Path(__file__).parents[3] / "docs" / "protocol.md").read_text()
    local = {key_for(key, ServerUrl.parse(f"http://{host}:80")) for host in ("127.0.0.1", "[::1]")}
    assert local == {key_for(key, ServerUrl.parse("http://localhost"))}
