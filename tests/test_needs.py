from __future__ import annotations

import resource

import pytest

from tests.needs import descriptors, lacks, raised

UNLIMITED = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("limits", "needed"),
    [
        ((1024, 4096), (4000, 4096)),
        ((1024, 2048), (4000, 4000)),
        ((4000, 4000), (4000, 4000)),
        ((4001, 5000), (4001, 5000)),
        ((1024, UNLIMITED), (4000, UNLIMITED)),
        ((UNLIMITED, UNLIMITED), (UNLIMITED, UNLIMITED)),
    ],
)
def test_neither_limit_is_below_what_is_needed(
    limits: tuple[int, int], needed: tuple[int, int]
) -> None:
    assert raised(limits, 4000) == needed


def test_descriptors_are_as_before_behind_the_block() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with descriptors(before[0] + 1 if before[0] != before[1] else before[0]):
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= before[0]
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


def test_where_the_hard_limit_may_not_be_raised_the_reason_says_what_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_which: int, _limits: tuple[int, int]) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.delenv("REQUIRE_ALL", raising=False)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 2048))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    with pytest.raises(pytest.skip.Exception, match=r"ulimit -n 4000: the hard limit is 2048"):
        with descriptors(4000):
            pass


@pytest.mark.parametrize(
    ("require_all", "raises"), [("0", pytest.skip.Exception), ("1", pytest.fail.Exception)]
)
def test_what_is_lacked_skips_the_test_or_fails_it_where_all_are_required(
    monkeypatch: pytest.MonkeyPatch, require_all: str, raises: type[BaseException]
) -> None:
    monkeypatch.setenv("REQUIRE_ALL", require_all)
    with pytest.raises(raises, match=r"needs a wheel"):
        lacks("a wheel")
