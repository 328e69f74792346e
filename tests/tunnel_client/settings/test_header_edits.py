from __future__ import annotations

import pytest

from protocol.errors import ConfigError
from tunnel_client.settings.header_edits import NO_EDITS, HeaderEdits, parse_edits


def parse(*lines: str, remove: tuple[str, ...] = (), forbidden: str = "") -> HeaderEdits:
    return parse_edits(lines, "--set", remove, "--remove", forbidden=forbidden)


def refusal(*lines: str, remove: tuple[str, ...] = (), forbidden: str = "") -> str:
    with pytest.raises(ConfigError) as caught:
        parse(*lines, remove=remove, forbidden=forbidden)
    assert "secret" not in str(caught.value)
    return str(caught.value)


def test_no_edits_change_nothing() -> None:
    fields = ((b"A", b"1"),)
    assert NO_EDITS.apply(fields) is fields
    assert parse() == NO_EDITS


def test_what_is_set_replaces_all_of_its_name_at_the_end() -> None:
    edits = parse("b: 2", "B:\t3 ")
    assert edits.apply(((b"B", b"0"), (b"A", b"1"), (b"b", b"1"))) == (
        (b"A", b"1"),
        (b"b", b"2"),
        (b"B", b"3"),
    )


def test_what_is_removed_goes_in_any_case() -> None:
    edits = parse(remove=("COOKIE",))
    assert edits.apply(((b"Cookie", b"1"), (b"cookie", b"2"), (b"A", b"1"))) == ((b"A", b"1"),)


def test_a_value_may_be_empty_or_have_colons_and_other_letters() -> None:
    assert parse("A:", "B: x:y", "C: \xe9").set == (
        (b"A", b""),
        (b"B", b"x:y"),
        (b"C", "\xe9".encode()),
    )


@pytest.mark.parametrize(
    "line",
    ["secret", ": secret", "A b: secret", "A : secret", "\xe9: secret", "A: secret\nB: x"]
    + [f"A: secret{chr(byte)}" for byte in (0, 10, 13, 127)],
)
def test_what_is_no_field_is_refused(line: str) -> None:
    assert refusal(line) == "--set: takes a header field as 'Name: value', on one line"


@pytest.mark.parametrize("name", ["", "a b", "a:", "\xe9", "a\n"])
def test_what_is_no_name_is_refused(name: str) -> None:
    assert refusal(remove=(name,)) == "--remove: takes the name of a header field"


@pytest.mark.parametrize(
    "name",
    [
        *("Connection", "Keep-Alive", "Proxy-Connection", "TE", "Transfer-Encoding", "Upgrade"),
        *(
            "HTTP2-Settings",
            "Content-Length",
            "Trailer",
            "Sec-WebSocket-Key",
            "sec-websocket-protocol",
        ),
    ],
)
def test_framing_and_the_hop_are_not_to_be_had(name: str) -> None:
    assert refusal(f"{name}: secret").startswith(f"--set: takes any field but not {name.lower()}: ")
    assert refusal(remove=(name,)).startswith(f"--remove: takes any field but not {name.lower()}: ")


def test_host_has_a_flag_of_its_own() -> None:
    assert refusal("HOST: secret") == "--set: takes any field but not Host; --host-header sets it"
    assert (
        refusal(remove=("host",)) == "--remove: takes any field but not Host; --host-header sets it"
    )


def test_the_hops_that_end_a_loop_are_not_to_be_had() -> None:
    assert "takes any field but not tunnel-hops" in refusal("Tunnel-Hops: 0")
    assert "takes any field but not tunnel-hops" in refusal(remove=("tunnel-Hops",))


def test_one_more_name_may_be_forbidden() -> None:
    assert refusal("Tunnel-Error: secret", forbidden="tunnel-error").startswith(
        "--set: takes any field but not tunnel"
    )
    assert parse("Tunnel-Error: x").set == ((b"Tunnel-Error", b"x"),)


def test_values_are_not_shown() -> None:
    assert "secret" not in repr(parse("A: secret"))
