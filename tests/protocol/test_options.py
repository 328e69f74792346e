from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from protocol.options import OPTIONS, OptionError, Options, SecondsWithin, Yes, read_options

WIRE = Path(__file__).parents[2] / "docs" / "protocol.md"


@given(seconds=st.integers(0, 86_400))
def test_what_a_client_asks_for_is_what_the_server_reads(seconds: int) -> None:
    options = Options(ws_keepalive_s=seconds)
    assert read_options(options.as_map()) == options


def test_no_option_is_every_default_and_a_default_is_no_option() -> None:
    assert read_options({}) == Options()
    assert Options().as_map() == {}


@pytest.mark.parametrize("seconds", [1, 86_400])
def test_keepalive_is_taken_up_to_both_limits(seconds: int) -> None:
    assert read_options({"ws-keepalive": seconds}).ws_keepalive_s == seconds


@pytest.mark.parametrize("value", [0, 86_401, True, "20", b"20", (20,), ()])
def test_another_keepalive_is_refused(value: object) -> None:
    with pytest.raises(
        OptionError, match=r"^'ws-keepalive' is a whole number of seconds"
    ) as caught:
        read_options({"ws-keepalive": value})
    assert caught.value.code == "option-invalid"


@pytest.mark.parametrize("name", ["keepalive", "basic-auth", "WS-KEEPALIVE", ""])
@pytest.mark.parametrize("beside", [{}, {"ws-keepalive": 20}, {"ws-keepalive": 0}])
def test_an_unknown_option_is_refused_by_name_whatever_stands_beside_it(
    name: str, beside: dict[str, object]
) -> None:
    with pytest.raises(OptionError, match=f"^this server has no option '{name}'$") as caught:
        read_options({**beside, name: 1})
    assert caught.value.code == "unknown-option"


def test_of_unknown_options_the_first_by_name_is_told() -> None:
    with pytest.raises(OptionError, match="'basic-auth'"):
        read_options({"keepalive": 1, "basic-auth": 1, "ws-keepalive": 0})


def test_each_field_has_its_row_with_the_same_default() -> None:
    rows = {option.name.replace("-", "_"): option.default for option in OPTIONS}
    fields = {field.removesuffix("_s"): value for field, value in Options()._asdict().items()}
    assert list(rows.items()) == list(fields.items())


def test_the_specification_has_each_option_with_its_limits() -> None:
    section = WIRE.read_text().partition("### 11.1")[2].partition("\n## ")[0]
    said = re.findall(
        r"^\| `([a-z-]+)` \| integer, ([\d,]+) to ([\d,]+): seconds", section, re.MULTILINE
    )
    assert [(name, int(a.replace(",", "")), int(b.replace(",", ""))) for name, a, b in said] == [
        (option.name, option.kind.least, option.kind.most)
        for option in OPTIONS
        if isinstance(option.kind, SecondsWithin)
    ]
    switches = [option.name for option in OPTIONS if isinstance(option.kind, Yes)]
    assert re.findall(r"^\| `([a-z-]+)` \| true \|", section, re.MULTILINE) == switches
