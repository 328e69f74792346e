from __future__ import annotations

import resource

import pytest

from tunnel_server.listening.descriptors import FEW_DESCRIPTORS, raise_limit


class Limits:
    """Stands in for the process's own; `refuses` is what setrlimit says of any change."""

    def __init__(self, soft: int, hard: int, refuses: Exception | None = None) -> None:
        self.now = (soft, hard)
        self.refuses = refuses

    def get(self, _: int) -> tuple[int, int]:
        return self.now

    def set(self, _: int, limits: tuple[int, int]) -> None:
        if self.refuses:
            raise self.refuses
        self.now = limits


def limits(monkeypatch: pytest.MonkeyPatch, mine: Limits) -> Limits:
    monkeypatch.setattr(resource, "getrlimit", mine.get)
    monkeypatch.setattr(resource, "setrlimit", mine.set)
    return mine


@pytest.mark.parametrize("hard", [FEW_DESCRIPTORS, 524_288, resource.RLIM_INFINITY])
def test_the_soft_limit_is_raised_to_the_hard_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, hard: int
) -> None:
    mine = limits(monkeypatch, Limits(1024, hard))
    assert raise_limit() == hard
    assert mine.now == (hard, hard)
    assert not caplog.records


def test_a_low_limit_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    mine = limits(monkeypatch, Limits(256, FEW_DESCRIPTORS - 1))
    assert raise_limit() == FEW_DESCRIPTORS - 1
    assert mine.now == (FEW_DESCRIPTORS - 1, FEW_DESCRIPTORS - 1)
    (message,) = caplog.messages
    assert "only 4095 file descriptors" in message
    assert "LimitNOFILE=" in message


@pytest.mark.parametrize("refuses", [ValueError("not allowed"), PermissionError(1, "no")])
def test_a_limit_that_cannot_be_raised_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, refuses: Exception
) -> None:
    limits(monkeypatch, Limits(8192, resource.RLIM_INFINITY, refuses))
    assert raise_limit() == 8192
    (message,) = caplog.messages
    assert message.startswith("the limit of file descriptors stays at 8192")
