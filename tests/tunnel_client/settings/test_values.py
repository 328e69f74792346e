from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from protocol.errors import ConfigError
from tunnel_client.settings.values import dns_label, pem_file, seconds


@pytest.mark.parametrize("text", ["a", "7", "my-app", "a--b", "a" * 63])
def test_label_is_taken(text: str) -> None:
    assert dns_label(text, "--subdomain") == text


def test_label_becomes_lower_case() -> None:
    assert dns_label("MyApp", "--subdomain") == "myapp"


@pytest.mark.parametrize(
    "text", ["", "-a", "a-", "a.b", "a_b", "a b", "a\n", "ä", "\u212a", "a" * 64]
)
def test_other_label_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--subdomain: takes a DNS label: 1 to 63"):
        dns_label(text, "--subdomain")


@pytest.mark.parametrize(
    ("value", "number"), [("0", 0), ("10", 10), ("2.5", 2.5), (10, 10), (0.5, 0.5), ("1e1", 10)]
)
def test_seconds_are_read_up_to_both_limits(value: str | float, number: float) -> None:
    assert seconds(value, "--drain-timeout", least=0, most=10) == number


def test_zero_is_off_where_that_is_said() -> None:
    for off in ("0", 0, "0.0", "-0"):
        assert seconds(off, "--ws-keepalive", least=1, most=10, zero_is_off=True) == 0
    for wrong in ("0.9", "-1", 11, "nan", ""):
        with pytest.raises(
            ConfigError, match=r"a number of seconds from 1 to 10, or 0 for off, not "
        ):
            seconds(wrong, "--ws-keepalive", least=1, most=10, zero_is_off=True)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "x",
        "-0.001",
        "10.001",
        11,
        "nan",
        "inf",
        "-inf",
        "1s",
        10**400,
        "1_0",
        "+5",
        " 5",
        "5 ",
        "5\n",
        "5.",
        ".5",
        "\u0665",
        "1e400",
        "0x5",
        f"{'0' * 5000}1",
    ],
)
def test_other_seconds_are_refused(value: str | float) -> None:
    with pytest.raises(
        ConfigError, match=r"^--drain-timeout: takes a number of seconds from 0 to 10, not "
    ):
        seconds(value, "--drain-timeout", least=0, most=10)


def test_pem_file_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(path)
    assert pem_file(str(path), "--server-ca") == path


@pytest.mark.parametrize("content", [b"", b"hello", b"-----BEGIN CERTIFICATE-----\nAA==\n"])
def test_file_without_a_certificate_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ca.pem"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"^--server-ca: .*ca.pem holds no certificate"):
        pem_file(str(path), "--server-ca")


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        pem_file(str(tmp_path / "none"), "--server-ca")
    with pytest.raises(ConfigError, match=r"^--server-ca: "):
        pem_file(str(tmp_path), "--server-ca")
