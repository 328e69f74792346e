from __future__ import annotations

import pytest

from protocol.options import Options
from tunnel_server.gates.addresses import AddressGate, address_gate

OFFICE = Options(allow_ip=("192.0.2.0/24", "2001:db8::/32"), deny_ip=("192.0.2.7", "2001:db8::7"))
BUT_ONE = Options(deny_ip=("192.0.2.0/24",))


@pytest.mark.parametrize(
    ("options", "address", "lets"),
    [
        (OFFICE, "192.0.2.1", True),
        (OFFICE, "192.0.2.7", False),
        (OFFICE, "192.0.3.1", False),
        (OFFICE, "::ffff:192.0.2.1", True),
        (OFFICE, "::ffff:192.0.2.7", False),
        (OFFICE, "2001:db8::1", True),
        (OFFICE, "2001:db8::7", False),
        (OFFICE, "2001:db9::1", False),
        (OFFICE, "unknown", False),
        (OFFICE, "", False),
        (BUT_ONE, "192.0.2.1", False),
        (BUT_ONE, "198.51.100.1", True),
        (BUT_ONE, "2001:db8::1", True),
        (BUT_ONE, "unix", False),
    ],
)
def test_an_address_is_let_in_or_not(options: Options, address: str, lets: bool) -> None:
    refused = AddressGate(options).refusal(address, is_named=True)
    assert (refused is None) is lets
    if refused is not None:
        assert (refused.code, refused.case) == ("forbidden", "gate")


def test_where_a_proxy_names_nobody_nobody_is_let_in() -> None:
    for options in (OFFICE, BUT_ONE):
        assert AddressGate(options).refusal("192.0.2.1", is_named=False) is not None
        assert AddressGate(options).refusal("198.51.100.1", is_named=False) is not None


def test_it_is_made_once_for_all_that_ask_alike() -> None:
    assert address_gate(OFFICE) is address_gate(Options(*OFFICE))
    assert repr(address_gate(OFFICE)) == "<AddressGate 2 allowed, 2 denied>"
