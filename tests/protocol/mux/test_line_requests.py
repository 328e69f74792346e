"""Many small requests on whole lines in virtual time: what is older does not stand still."""

from __future__ import annotations

import pytest

from protocol.mux.streams import ENDED, Stream
from tests.protocol.mux.lines.trial import BYTES_PER_MBIT, Line, Trial
from tests.protocol.mux.pair import GET, OK


class Visitors:
    """Each asks for a small answer, and again as soon as it has come whole."""

    def __init__(self, trial: Trial, monkeypatch: pytest.MonkeyPatch, answer_bytes: int) -> None:
        self.answered = 0
        self._trial = trial
        self._answer_bytes = answer_bytes
        self._theirs: set[int] = set()
        client, server = trial.session.client, trial.session.server
        self._other_answers, self._other_reads = client._answer, server._read
        monkeypatch.setattr(client, "_answer", self._answer)
        monkeypatch.setattr(server, "_read", self._read)

    def ask(self) -> None:
        server = self._trial.session.server
        stream = server.core.open(GET, self._trial.timeline.now)
        server.core.send_end(stream)
        self._theirs.add(stream.id)
        server.flush()

    def _answer(self, stream: Stream) -> None:
        if stream.id not in self._theirs:
            self._other_answers(stream)
            return
        core = self._trial.session.client.core
        core.send_head(stream, OK)
        core.send_data(stream, bytes(self._answer_bytes))
        core.send_end(stream)

    def _read(self, stream: Stream) -> None:
        if stream.id not in self._theirs:
            self._other_reads(stream)
            return
        core, now = self._trial.session.server.core, self._trial.timeline.now
        while core.take_head(stream, now) is not None:
            pass
        while core.take_data(stream, now):
            pass
        if stream.receiving.state >= ENDED and stream.id in self._theirs:
            self._theirs.discard(stream.id)
            self.answered += 1
            self.ask()


@pytest.mark.parametrize(
    ("line", "count", "seconds"),
    [
        pytest.param(Line(20, 50), 60, 2, id="they fill the cap alone"),
        pytest.param(Line(100, 20), 40, 11, id="they fill what a probe leaves"),
    ],
)
def test_what_is_older_goes_on_beside_visitors_who_ask_without_end(
    line: Line, count: int, seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A WebSocket gets its echoes, and a download its eighth; each stood still for good."""
    trial = Trial(line, downloads=1)
    visitors = Visitors(trial, monkeypatch, 5_000)
    for number in range(count):
        trial.timeline.at(3 + number * line.rtt_ms / 1000 / count, visitors.ask)
    trial.timeline.run(5)
    for second in range(5, 5 + seconds):
        before = _seen(trial, visitors)
        trial.timeline.run(second + 1)
        after = _seen(trial, visitors)
        echoes, carried_bytes, answered = (b - a for a, b in zip(before, after, strict=True))
        assert echoes >= 5
        assert carried_bytes >= 0.03 * line.mbit * BYTES_PER_MBIT
        assert answered >= 100


def _seen(trial: Trial, visitors: Visitors) -> tuple[int, int, int]:
    session = trial.session
    return len(session.echoes_s), sum(session.server.bulk.values()), visitors.answered
