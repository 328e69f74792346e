from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from protocol.options import OptionError, Options, read_options


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
