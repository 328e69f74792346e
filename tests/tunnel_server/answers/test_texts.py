from __future__ import annotations

import pytest

from protocol.statuses import STATUSES, UNKNOWN, status_of_reset
from tunnel_server.answers.texts import CASES, ERRORS, ErrorText, Side

# DESIGN 2 fixes these: scripts and docs hang on them.
FIXED = {
    "bad-request": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "tunnel-not-found": 404,
    "request-timeout": 408,
    "uri-too-long": 414,
    "unknown-host": 421,
    "upgrade-required": 426,
    "too-many-requests": 429,
    "head-too-large": 431,
    "internal": 500,
    "method-not-supported": 501,
    "origin-refused": 502,
    "origin-untrusted": 502,
    "origin-protocol-error": 502,
    "tunnel-lost": 502,
    "tunnel-offline": 503,
    "loop-detected": 508,
    "overloaded": 503,
    "no-ports": 503,
    "draining": 503,
    "origin-timeout": 504,
    "version-not-supported": 505,
}


def test_each_code_has_its_status_and_there_is_no_other_code() -> None:
    assert FIXED == STATUSES
    assert ERRORS.keys() == STATUSES.keys()
    assert status_of_reset("origin-timeout") == 504
    assert status_of_reset("no such code") == STATUSES[UNKNOWN] == 502


def test_only_what_kept_the_request_from_the_app_passes() -> None:
    passing = {code for code, text in ERRORS.items() if text.passes}
    assert passing == {
        *("origin-refused", "tunnel-offline", "overloaded", "no-ports", "draining"),
    }
    assert all(ERRORS[code].retry_after_s for code in passing)


@pytest.mark.parametrize("text", ERRORS.values(), ids=ERRORS.keys())
def test_each_text_says_title_cause_and_next_step_in_whole_sentences(text: ErrorText) -> None:
    assert text.title
    assert not text.title.endswith(".")
    for sentence in filter(None, (text.cause, text.next_step, text.owner_step)):
        assert sentence.endswith(".")
        assert sentence[0].isupper()
        assert "  " not in sentence


@pytest.mark.parametrize("code", [code for code in ERRORS if code.startswith("origin-")])
def test_what_the_app_did_is_said_to_be_on_the_apps_side(code: str) -> None:
    assert ERRORS[code].side is Side.APP


@pytest.mark.parametrize("code", [code for code in ERRORS if code.startswith("tunnel-")])
def test_what_is_the_tunnels_is_not_blamed_on_the_app(code: str) -> None:
    assert ERRORS[code].side is not Side.APP


@pytest.mark.parametrize(("case", "text"), CASES.items(), ids=CASES.keys())
def test_a_case_says_what_its_code_does_and_whose_side_it_is(case: str, text: ErrorText) -> None:
    usual = ERRORS[{"client-stops": "draining", "gate": "forbidden"}.get(case, "overloaded")]
    assert (text.retry_after_s, text.passes) == (
        usual.retry_after_s,
        usual.passes,
    )
    assert (text.side, text.title) != (usual.side, usual.title)
