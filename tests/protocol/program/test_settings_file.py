from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from protocol.errors import ConfigError
from protocol.program.kinds import FilePath, Numbers, Seconds, Switch, Text, Texts, Value
from protocol.program.settings import Setting, Table
from protocol.program.settings_file import FILE_MAX_BYTES, from_file, lines_of_keys

FILE_NAME = "client.toml"


def row(name: str, kind: Text, *, in_file: bool = True) -> Setting:
    return Setting(name=name, kind=kind, help="", commands=(), in_file=in_file)


TABLE = Table(
    "tunnel-client",
    (
        row("server", Text("URL")),
        row("server_ca", FilePath("FILE")),
        row("token_file", FilePath("FILE")),
        row("origin_timeout", Seconds("SECONDS")),
        row("origin_insecure", Switch()),
        row("heartbeat", Numbers("S,S")),
        row("request_header", Texts("FIELD")),
        row("config", FilePath("FILE"), in_file=False),
    ),
)


def read_config_file(folder: Path) -> dict[str, Value]:
    return {name: given.value for name, given in from_file(TABLE, folder / FILE_NAME).items()}


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / FILE_NAME
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_file_that_is_not_there_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_config_file(tmp_path)


def test_every_kind_is_read_as_a_flag_would_say_it(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        server = "https://example.com"
        server_ca = "/etc/ca.pem"
        origin_timeout = 1.5
        origin_insecure = true
        heartbeat = [15, 30]
        request_header = ["A: 1", "B: 2, 3"]
        """,
    )
    assert read_config_file(tmp_path) == {
        "server": "https://example.com",
        "server_ca": "/etc/ca.pem",
        "origin_timeout": "1.5",
        "origin_insecure": True,
        "heartbeat": "15,30",
        "request_header": ("A: 1", "B: 2, 3"),
    }
    given = from_file(TABLE, path)["heartbeat"]
    assert (given.key, given.source) == (f"{path}:6: heartbeat", "file")


def test_paths_start_at_the_folder_of_the_file_or_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    write(tmp_path, 'server_ca = "../ca.pem"\ntoken_file = "~/token"')
    assert read_config_file(tmp_path) == {
        "server_ca": str(tmp_path / "../ca.pem"),
        "token_file": "/home/somebody/token",
    }


@pytest.mark.parametrize("value", ["", "a\\u0000b"])
def test_what_is_no_path_is_left_to_the_reader(tmp_path: Path, value: str) -> None:
    write(tmp_path, f'token_file = "{value}"')
    assert read_config_file(tmp_path) == {"token_file": value.replace("\\u0000", "\0")}


def test_home_of_an_unknown_user_is_refused(tmp_path: Path) -> None:
    write(tmp_path, 'token_file = "~no-such-user-here/token"')
    with pytest.raises(ConfigError, match="token_file: takes a path; ~ stands for a home folder"):
        read_config_file(tmp_path)


def complaint(folder: Path, content: str | bytes) -> str:
    write(folder, content)
    with pytest.raises(ConfigError) as caught:
        read_config_file(folder)
    return str(caught.value).removeprefix(str(folder / FILE_NAME))


ALLOWED = (
    "server, server_ca, token_file, origin_timeout, origin_insecure, heartbeat, request_header"
)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("origin_timout", "did you mean origin_timeout?"),
        ("origin-timeout", "did you mean origin_timeout?"),
        ("Server", "did you mean server?"),
        ("server_cert", "did you mean server_ca?"),
        ("json", f"allowed: {ALLOWED}"),
        ("config", f"allowed: {ALLOWED}"),
        ('"\\u001b[2J"', f"allowed: {ALLOWED}"),
        ("x.server", f"allowed: {ALLOWED}"),
    ],
)
def test_unknown_key_is_refused_with_the_one_that_was_meant_or_all(
    tmp_path: Path, key: str, said: str
) -> None:
    shown = key.strip('"').replace("\\u001b", r"\x1b").partition(".")[0]
    content = f'server = "a"\n\n{key} = true\n'
    assert complaint(tmp_path, content) == f":3: {shown}: unknown key; {said}"


def test_unknown_table_is_refused_at_the_line_of_its_head(tmp_path: Path) -> None:
    content = "server = 'a'\n[tunnels.web]\nserver = 1\n"
    assert complaint(tmp_path, content).startswith(":2: tunnels: unknown key; ")


@pytest.mark.parametrize(
    ("line", "allowed"),
    [
        ("server = 8080", "a string"),
        ("server_ca = true", "a string"),
        ('token_file = ["a"]', "a string"),
        ('origin_timeout = "30"', "a number of seconds, not '30' in quotes"),
        ("origin_timeout = true", "a number of seconds, not true"),
        ("origin_insecure = 1", "true or false, not 1"),
        ('origin_insecure = "yes"', "true or false, not 'yes'"),
        ("[server]", "a string"),
        (f"origin_timeout = 0x{'f' * 4000}", "a number of seconds"),
        (f"heartbeat = [0x{'f' * 4000}, 1]", "a list of whole numbers"),
        ("heartbeat = '15,30'", "a list of whole numbers, not '15,30'"),
        ("heartbeat = [15, 30.5]", "a list of whole numbers"),
        ("heartbeat = [true, 30]", "a list of whole numbers"),
        ('request_header = "A: 1"', "a list of strings"),
        ("request_header = [1]", "a list of strings"),
    ],
)
def test_value_of_another_type_is_refused(tmp_path: Path, line: str, allowed: str) -> None:
    key = line.strip("[]").partition(" ")[0]
    assert complaint(tmp_path, f"# A comment.\n{line}") == f":2: {key}: takes {allowed}"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"server = \xff", ": is not UTF-8"),
        (b"\nserver: x", ":2: is not TOML: "),
        (b"server = 1\nserver = 2", ":2: is not TOML: "),
        (b"\nserver = '", ":2: is not TOML: "),
        (b"origin_timeout = " + b"9" * 5000, ": is not TOML: "),
        (b"heartbeat = " + b"[" * 5000, ": is not TOML: "),
        (b"#" * (FILE_MAX_BYTES + 1), ": has more than 262,144 bytes"),
    ],
)
def test_file_that_is_no_toml_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    assert complaint(tmp_path, content).startswith(said)


def test_longest_file_is_read(tmp_path: Path) -> None:
    write(tmp_path, b"server = 'a' #".ljust(FILE_MAX_BYTES, b"#"))
    assert read_config_file(tmp_path) == {"server": "a"}


def test_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read_config_file(tmp_path)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", {}),
        ("a = 1\nb = 2", {"a": 1, "b": 2}),
        ("# a = 0\r\n\r\na = 1", {"a": 3}),
        ("a = [\n  1,\n  2,\n]\nb = 1", {"a": 1, "b": 5}),
        ('a = """\nb = 1\n"""\nb = 2', {"a": 1, "b": 4}),
        ("a.b = 1\na.c = 2", {"a": 1}),
        ("[t]\nb = 1\n\n[b]\n[[c]]\n[[c]]", {"t": 1, "b": 4, "c": 5}),
        ('"a b" = 1', {"a b": 1}),
        # A statement too long to be looked for: what follows it has no line.
        (f"a = 1\nb = [\n{'1,' + chr(10)}".ljust(900, "\n") + "]\nc = 1", {"a": 1}),
    ],
)
def test_line_of_a_key_is_where_it_begins(text: str, lines: dict[str, int]) -> None:
    assert lines_of_keys(text) == lines


# What TOML has in a comment: all but the controls of ASCII.
COMMENTS = st.text(st.characters(exclude_categories=("Cc", "Cs"), include_characters="\t\x85\x9b"))


@given(
    COMMENTS,
    st.sampled_from(["", "\t", "\x85", "\u2028", "\u2029"]),
    st.sampled_from(["", "x=", "x=1", "[x]", "[[x", 'x="', f"x={'[' * 5000}"]),
)
def test_no_comment_moves_a_key(comment: str, end: str, toml: str) -> None:
    comment = f"# {comment}{end}{toml}"
    text = f"{comment}\na = [ {comment}\n] {comment}\n\n{comment}\nb = 1 {comment}\n{comment}"
    assert lines_of_keys(text) == {"a": 2, "b": 6}


@pytest.mark.parametrize("end", ["\x85", "\u2028", "\u2029"])
def test_what_ends_a_line_elsewhere_ends_none_in_toml(tmp_path: Path, end: str) -> None:
    hidden = f"# {end} heartbeat = {'[' * 5000}\n# {end} x = 1\n"
    wrong_type = f"{hidden}server = '{end}'\nserver_ca = 1"
    assert complaint(tmp_path, wrong_type).startswith(":4: server_ca: ")
    assert complaint(tmp_path, f"{hidden}server = '").startswith(":3: is not TOML: ")


def test_error_of_toml_does_not_repeat_the_value(tmp_path: Path) -> None:
    assert "hunter2" not in complaint(tmp_path, 'server = "hunter2\n')
