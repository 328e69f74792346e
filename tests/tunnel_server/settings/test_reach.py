"""Who must show a token: the table of docs/security.md, each row by the program's own flags."""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path

import pytest

from tunnel_server import app
from tunnel_server.cli import main
from tunnel_server.settings.config import ServerConfig
from tunnel_server.settings.reach import made_public_by
from tunnel_server.settings.values import PublicUrl

_DOCS = Path(__file__).resolve().parents[3] / "docs/security.md"
_ROW = re.compile(r"\| (?:`([^`]+)`|\(none\)) \| (yes|no) \|(?: ([^|]+))? \|")


def table() -> list[str]:
    """The lines of the table, without its head."""
    section = _DOCS.read_text().partition("## Who must show a token")[2].partition("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("|")][2:]


def rows() -> list[tuple[str, str, str | None]]:
    matches = [_ROW.fullmatch(line) for line in table()]
    return [(match[1] or "", match[2], match[3]) for match in matches if match]


def test_each_line_of_the_table_is_a_row() -> None:
    assert len(rows()) == len(table()) > 15


@pytest.mark.parametrize(("flags", "needed", "since"), rows())
def test_each_row_of_the_docs_holds(
    flags: str,
    needed: str,
    since: str | None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    configs: list[ServerConfig] = []

    def run(config: ServerConfig) -> int:
        configs.append(config)
        return 0

    monkeypatch.setattr(app, "run", run)
    assert main(flags.split()) == 0
    (config,) = configs
    assert ("yes" if config.authentication_required else "no") == needed
    assert config.public_by == since
    assert config.open_to_strangers is (needed == "no" and since is not None)


@pytest.mark.parametrize(
    ("host", "since"),
    [
        ("::ffff:127.0.0.1", None),
        ("::ffff:192.0.2.1", "it listens on ::ffff:192.0.2.1"),
        ("127.255.255.255", None),
        ("128.0.0.1", "it listens on 128.0.0.1"),
        ("::2", "it listens on ::2"),
    ],
)
def test_an_address_that_was_passed_may_be_any(host: str, since: str | None) -> None:
    assert made_public_by(host, "localhost", None, ()) == since


def test_what_is_said_is_the_first_of_all_that_is_so() -> None:
    public = PublicUrl("https", "example.org", 443)
    proxies = (ip_network("10.0.0.0/8"),)
    said = made_public_by("::1", "localhost", public, proxies)
    assert said == "its public URL is https://example.org"
    assert made_public_by("::1", "example.com", public, proxies) == "its domain is example.com"
    assert made_public_by("::1", "localhost", None, proxies) == "a proxy is trusted, 10.0.0.0/8"
