"""Bodies that have been on their way for a while, for people to see how far they are.

Nothing is counted for it: each request knows how much of its bodies has passed, and a look at that
now and then makes a rate. A WebSocket is none, nor is an answer that says no length and is small,
as a stream of events is.
"""

from __future__ import annotations

from collections.abc import Iterator, Set as AbstractSet
from typing import Final, NamedTuple

from tunnel_client.observing.footer import Transfer
from tunnel_client.origin.replay import Replay

LONG_AFTER_S: Final = 2.0  # what takes less is over before anybody has read about it
SHOWN_MAX: Final = 2
# A look at all that is under way, and each rate, is a second old at most: that is how often people
# read them, and ten thousand idle requests are looked at in 3 ms.
LOOK_EVERY_S: Final = 1.0
# Where no length is known. What is a stream of events stays below for long.
UNKNOWN_LENGTH_MIN_BYTES: Final = 1_000_000


class _Look(NamedTuple):
    """A request at the last look.

    Fields:
        at: in trio's time.
        done_bytes: of the body that moves.
        rate: bytes a second until then.
    """

    at: float
    done_bytes: int
    rate: float


class Transfers:
    """The oldest long transfers of one client.

    Args:
        busy: the requests under way; the dispatcher's own set.
    """

    def __init__(self, busy: AbstractSet[Replay]) -> None:
        self._busy = busy
        self._looks: dict[Replay, _Look] = {}
        self._looked_at = -LOOK_EVERY_S

    def __repr__(self) -> str:
        return f"<Transfers {len(self._looks)} of {len(self._busy)}>"

    def oldest(self, now: float) -> tuple[Transfer, ...]:
        """Return the oldest of them, as far as they are now."""
        if now - self._looked_at >= LOOK_EVERY_S:
            self._looked_at = now
            long = sorted(self._long(now), key=lambda replay: replay.tap.began_at)
            self._looks = {replay: self._look(replay, now) for replay in long[:SHOWN_MAX]}
        return tuple(
            _transfer(replay, look.rate)
            for replay, look in self._looks.items()
            if replay in self._busy
        )

    def _long(self, now: float) -> Iterator[Replay]:
        for replay in self._busy:
            if now - replay.tap.began_at >= LONG_AFTER_S and replay.stream.opened.kind == "http":
                done_bytes, of_bytes = _progress(replay)
                if done_bytes >= (1 if of_bytes else UNKNOWN_LENGTH_MIN_BYTES):
                    yield replay

    def _look(self, replay: Replay, now: float) -> _Look:
        done_bytes, _ = _progress(replay)
        last = self._looks.get(replay)
        if last is None or last.done_bytes > done_bytes:  # the other body is on its way by now
            return _Look(now, done_bytes, done_bytes / (now - replay.tap.began_at))
        return _Look(now, done_bytes, (done_bytes - last.done_bytes) / (now - last.at))


def _transfer(replay: Replay, rate: float) -> Transfer:
    opened = replay.stream.opened
    return Transfer(opened.method, opened.target, *_progress(replay), rate)


def _progress(replay: Replay) -> tuple[int, int | None]:
    """The bytes that have passed of the body that is on its way, and its length if it says one.

    That is the answer's, once the app has begun to send one.
    """
    stream = replay.stream
    if replay.tap.status is not None:
        return stream.answer_progress
    return stream.request_progress
