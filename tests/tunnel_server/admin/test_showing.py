from __future__ import annotations

import pytest

from tests.tunnel_server.admin.test_operating import STATUS
from tunnel_server.admin.showing import shown_status


@pytest.mark.parametrize(
    ("tokens_needed", "public_by", "access"),
    [
        (True, "it listens on 0.0.0.0", "with a token, since it listens on 0.0.0.0"),
        (True, None, "with a token"),
        (
            False,
            "it listens on 0.0.0.0",
            "no token is needed (--open), though it listens on 0.0.0.0",
        ),
        (False, None, "no token is needed: this machine alone reaches the service"),
    ],
)
def test_status_says_who_may_connect_and_what_made_it_so(
    *, tokens_needed: bool, public_by: str | None, access: str
) -> None:
    """The address that makes a server public is no reason why --open asks for no token."""
    status = STATUS | {"tokens_needed": tokens_needed, "public_by": public_by}
    assert f"  access    {access}" in shown_status([status]).splitlines()
