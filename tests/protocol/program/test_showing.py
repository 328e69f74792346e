from __future__ import annotations

import json
import tomllib

import pytest

from protocol.program.kinds import Commas, Number, Switch, Text
from protocol.program.settings import Given, Setting, Table
from protocol.program.showing import shown, table_of

TABLE = Table(
    "a-program",
    (
        Setting(name="name", kind=Text("NAME"), help="Who.", commands=(), default='a "b"'),
        Setting(name="size", kind=Number("N", limits="1 to 9"), help="How large.", commands=()),
        Setting(
            name="token", kind=Text("TOKEN"), help="T.", commands=(), secret=True, group="token"
        ),
        Setting(name="file", kind=Text("A|B"), help="F.", commands=(), unset="none", group="token"),
        Setting(name="open", kind=Switch(), help="O.", commands=()),
        Setting(name="nets", kind=Commas("N,..."), help="N.", commands=()),
        Setting(name="config", kind=Text("F"), help="C.", commands=(), in_file=False),
    ),
    {"token": "there is one"},
)
GIVEN = {
    "token": Given("hunter2", "A_PROGRAM_TOKEN", "variable"),
    "size": Given("3", "/etc/a.toml:7: size", "file"),
    "nets": Given("a,b", "--nets", "flag"),
    "config": Given("/etc/a.toml", "--config", "flag"),
}


def test_settings_are_shown_as_a_file_with_their_sources() -> None:
    text = shown(TABLE, GIVEN, as_json=False)
    assert text.splitlines() == [
        'name = "a \\"b\\""          # default',
        "size = 3                  # /etc/a.toml:7",
        '# token = "***"           # A_PROGRAM_TOKEN',
        "# file =                  # none",
        "open = false              # default",
        'nets = ["a", "b"]         # --nets',
        '# config = "/etc/a.toml"  # --config',
    ]
    assert tomllib.loads(text)["nets"] == ["a", "b"]


@pytest.mark.parametrize("text", ["é漢🚇", "\x1b[2J\x7f\x9b\u202e", 'a\n"\\'])
def test_any_text_is_shown_as_toml_and_moves_no_terminal(text: str) -> None:
    given = {"file": Given(text, f"/{text}:1: file", "file")}
    line = shown(TABLE, given, as_json=False).splitlines()[3]
    assert line.isprintable()
    assert tomllib.loads(line) == {"file": text}


def test_text_that_toml_cannot_say_is_shown_as_a_comment() -> None:
    given = {"file": Given("/tmp/\udcff", "--file", "flag"), "nets": Given("\ud800", "N", "flag")}
    text = shown(TABLE, given, as_json=False)
    assert text.isprintable() or text.replace("\n", "").isprintable()
    assert text.splitlines()[3].startswith(r'# file = "/tmp/\U0000dcff"')
    assert text.splitlines()[5].startswith(r'# nets = ["\U0000d800"]')
    assert tomllib.loads(text) == {"name": 'a "b"', "open": False}
    # This is text that looks like it, and no such byte.
    given = {"file": Given(r"\U0000dcff", "--file", "flag")}
    assert tomllib.loads(shown(TABLE, given, as_json=False))["file"] == r"\U0000dcff"


def test_settings_are_shown_as_one_json_object() -> None:
    found = json.loads(shown(TABLE, GIVEN, as_json=True))["settings"]
    assert found["token"] == {"value": "***", "source": "variable", "from": "A_PROGRAM_TOKEN"}
    assert found["size"] == {"value": 3, "source": "file", "from": "/etc/a.toml:7"}
    assert found["file"] == {"value": None, "source": "default"}
    assert found["name"] == {"value": 'a "b"', "source": "default"}


@pytest.mark.parametrize("as_json", [True, False])
def test_secret_is_never_shown(as_json: bool) -> None:
    assert "hunter2" not in shown(TABLE, GIVEN, as_json=as_json)


def test_page_has_a_row_for_each_setting() -> None:
    lines = table_of(TABLE).splitlines()
    assert len(lines) == 2 + len(TABLE.rows)
    assert (
        lines[3] == "| `--size N` | `size`: a number | `A_PROGRAM_SIZE` | 1 to 9 |  | How large. |"
    )
    assert lines[5].endswith("| none | F. Not together with `--token`. |")
    assert lines[5].startswith("| `--file A\\|B` | ")
    assert lines[6].endswith("| `false` | O. |")
    assert lines[8].startswith("| `--config F` |  | `A_PROGRAM_CONFIG` | ")
