"""Several names on one session: asked one after the other, each with its own fate."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.drivers.session import Session
from protocol.drivers.session_log import SessionLog
from protocol.errors import ConfigError
from protocol.limits import CLAIMS_MAX, HANDSHAKE_TIMEOUT_S
from protocol.mux.messages import Claim, Claimed, Refused, Release
from protocol.program.process import EXIT_REFUSED
from tests.origin_fakes import Told
from tests.server_fakes import Network, Server, a_config
from tests.state_tables import walk
from tunnel_client.uplink import claims as claims_module, link as link_module
from tunnel_client.uplink.agent import Agent
from tunnel_client.uplink.claims import ClaimEvent, Claims, ClaimState, NameClaim, WantedName

TAKEN = (
    "somebody has it; choose another with --subdomain; whoever runs the server can see whose it is"
)

A_CLAIM = """
          ASK   GRANT PUT_OFF REFUSAL RELEASE NEW_SESSION
WANTED    ASKED .     .       .       .       WANTED
ASKED     .     HELD  PUT_OFF REFUSED .       WANTED
HELD      .     .     .       .       REFUSED WANTED
PUT_OFF   .     .     .       .       .       WANTED
REFUSED   .     .     .       .       .       REFUSED
"""


def test_a_claim_moves_as_its_table_says() -> None:
    def begin(
        state: ClaimState,
    ) -> tuple[Callable[[ClaimEvent], object], Callable[[], ClaimState]]:
        claim = NameClaim(1, WantedName("app"))
        claim.state = state
        return claim.happened, lambda: claim.state

    walk(claims_module.TRANSITIONS, A_CLAIM, begin, ClaimState, ClaimEvent)


class Asked(Session):
    """Keeps what is asked of it."""

    def __init__(self) -> None:
        self.log = SessionLog(logging.getLogger(__name__), bytes.fromhex("4f1c9a03"))
        self.asked: list[Claim] = []

    def claim(self, claim: Claim) -> None:
        self.asked.append(claim)


class Three:
    """Three names, and the server is the test."""

    def __init__(self, *, start: bool = True) -> None:
        self.session = Asked()
        self.claimed: list[str] = []
        names = [WantedName(name, start) for name in ("a", "b", "")]
        self.claims = Claims(names, bytes(16), a_config(), self._on_claimed)
        self.claims.begin(self.session)

    def _on_claimed(self, claimed: Claimed) -> None:
        self.claimed.append(claimed.name)

    def grant(self, name: str) -> None:
        number = self.session.asked[-1].claim
        self.claims.answered(self.session, Claimed(number, name, f"http://{name}.test"))

    def refuse(self, code: str) -> None:
        self.claims.answered(self.session, Refused(self.session.asked[-1].claim, code, "no"))

    @property
    def asked(self) -> list[tuple[int, str, bool]]:
        return [(claim.claim, claim.name, claim.start) for claim in self.session.asked]


def test_the_next_name_is_asked_for_when_the_one_before_is_answered() -> None:
    three = Three()
    assert three.asked == [(1, "a", True)]
    three.grant("a")
    three.refuse("name-taken")
    assert three.asked == [(1, "a", True), (2, "b", True), (3, "", True)]
    three.grant("made-up")
    assert (three.claimed, len(three.asked)) == (["a", "made-up"], 3)


def test_a_new_session_is_asked_for_what_was_held_and_not_for_what_was_refused_for_good() -> None:
    three = Three()
    three.refuse("name-invalid")
    three.refuse("overloaded")
    three.grant("made-up")
    three.session.asked.clear()
    three.claims.begin(three.session)
    three.grant("b")
    assert three.asked == [(2, "b", True), (3, "made-up", False)]
    assert three.claims.wanted_next() == [
        WantedName("b", False),
        WantedName("made-up", False, "made-up"),
    ]


def test_there_is_use_for_a_session_while_one_name_is_held_or_may_be() -> None:
    three = Three()
    three.refuse("name-taken")
    three.refuse("name-taken")
    before = three.claims.is_of_use, three.claims.refusal
    three.refuse("name-taken")
    after = three.claims.is_of_use, three.claims.refusal
    assert before == (True, None)
    assert after == (False, Refused(1, "name-taken", "no"))


def test_of_names_that_were_refused_for_now_none_is_a_refusal_for_good() -> None:
    three = Three()
    three.refuse("name-taken")
    three.refuse("overloaded")
    three.refuse("name-taken")
    assert not three.claims.is_of_use
    assert three.claims.refusal is None
    assert three.claims.wanted_next() == [WantedName("b")]


def test_a_name_that_was_held_may_be_taken_by_our_own_lost_session() -> None:
    three = Three(start=False)
    for _ in range(3):
        three.refuse("name-taken")
    assert three.claims.refusal is None
    assert len(three.claims.wanted_next()) == 3


def test_a_refusal_is_logged_with_its_session(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    Three().refuse("name-taken")
    (line,) = said(caplog)
    assert line.startswith("session 4f1c9a03: the server refuses ")


def test_a_name_that_is_taken_away_is_warned_of_and_the_others_stay(
    caplog: pytest.LogCaptureFixture,
) -> None:
    three = Three()
    for name in ("a", "b", "c"):
        three.grant(name)
    three.claims.released(Release(2, "taken-over", "another has it"))
    assert said(caplog) == ["session 4f1c9a03: b is not ours any more: another has it"]
    assert three.claims.is_of_use
    assert three.claims.wanted_next() == [WantedName("a", False), WantedName("c", False, "c")]
    caplog.set_level(logging.WARNING)
    three.claims.released(Release(1, "taken-over", "x"))
    three.claims.released(Release(3, "taken-over", "y"))
    assert three.claims.refusal == Release(1, "taken-over", "x")


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The records, with whose they are."""
    return [f"{getattr(record, 'ids', '')}{record.getMessage()}" for record in caplog.records]


def claims_of(*names: str) -> Claims:
    wanted = [WantedName(name) for name in names]
    return Claims(wanted, bytes(16), a_config(), lambda _: None)


def test_a_session_holds_16_names_and_not_17() -> None:
    assert len(claims_of(*["" for _ in range(CLAIMS_MAX)]).wanted_next()) == 16
    with pytest.raises(ConfigError, match="17 names are too many: a session holds 16 at most"):
        claims_of(*["" for _ in range(CLAIMS_MAX + 1)])


def test_a_name_may_be_asked_for_once() -> None:
    claims_of("a", "b", "", "")
    with pytest.raises(ConfigError, match="the name a is asked for twice"):
        claims_of("a", "b", "a")


def test_the_claims_say_how_far_they_are() -> None:
    three = Three()
    three.grant("a")
    assert repr(three.claims) == (
        "<Claims [<NameClaim 1 a HELD>, <NameClaim 2 b ASKED>, <NameClaim 3 any name WANTED>]>"
    )


# --- with an agent and its link ------------------------------------------------------------------


class Client:
    """An agent with two names."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.told = Told()
        self.exit_code: int | None = None
        self.streams: list[int] = []
        self.agent = Agent(
            *(a_config(), self.told, lambda stream: self.streams.append(stream.opened.claim)),
            version="1.2",
            instance=bytes(16),
            random=lambda: 0.0,
            names=("one", "two"),
        )
        nursery.start_soon(self._run)

    async def _run(self) -> None:
        self.exit_code = await self.agent.run()

    @property
    def ready(self) -> list[object]:
        return [fields[1] for kind, fields in self.told.events if kind == "ready"]


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    network = Network()
    monkeypatch.setattr(link_module, "open_stream", network.open_stream)
    return network


async def opened(network: Network, nursery: trio.Nursery) -> Server:
    server = await network.accept()
    await server.open(nursery)
    return server


async def test_two_names_are_held_by_one_session_and_asked_for_again_together(
    network: Network, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    client = Client(nursery)
    server = await opened(network, nursery)
    claims = [await server.claimed(), await server.claimed()]
    assert [(claim.claim, claim.name, claim.start) for claim in claims] == [
        *((1, "one", True), (2, "two", True))
    ]
    await wait_all_tasks_blocked()
    assert client.ready == ["one", "two"]
    await server.stream.aclose()
    server = await opened(network, nursery)
    again = [await server.claimed(), await server.claimed()]
    assert [(claim.name, claim.start) for claim in again] == [("one", False), ("two", False)]
    nursery.cancel_scope.cancel()


async def test_a_name_that_is_refused_leaves_the_other_and_is_not_asked_for_again(
    network: Network, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    client = Client(nursery)
    server = await opened(network, nursery)
    await server.refuse("name-taken", "somebody has it")
    await server.claimed()
    server.request()
    await wait_all_tasks_blocked()
    assert (client.ready, client.streams, client.exit_code) == (["two"], [1], None)
    await server.stream.aclose()
    server = await opened(network, nursery)
    assert (await server.claimed()).name == "two"
    await wait_all_tasks_blocked()
    assert client.ready == ["two", "two"]
    nursery.cancel_scope.cancel()


async def test_when_both_are_refused_the_first_says_why(
    network: Network, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    client = Client(nursery)
    server = await opened(network, nursery)
    await server.refuse("name-taken", "somebody has it")
    await server.refuse("name-invalid", "a bad one")
    await server.ended.wait()
    await wait_all_tasks_blocked()
    assert client.exit_code == EXIT_REFUSED
    assert client.told.events == [("refused", ("name-taken", TAKEN))]


async def test_when_both_are_taken_away_the_client_ends(
    network: Network, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    client = Client(nursery)
    server = await opened(network, nursery)
    for _ in range(2):
        await server.claimed()
    assert server.session is not None
    server.session.release(2, "taken-over", "another has two")
    await wait_all_tasks_blocked()
    assert "refused" not in [kind for kind, _ in client.told.events]
    server.session.release(1, "taken-over", "another has one")
    await trio.sleep(60)
    assert client.exit_code == EXIT_REFUSED
    assert client.told.events[-1] == ("refused", ("taken-over", "another has one"))
    nursery.cancel_scope.cancel()


async def test_a_second_name_that_is_not_answered_ends_the_session(
    network: Network, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    Client(nursery)
    server = await opened(network, nursery)
    await server.claimed()
    await server.claim_asked()
    begun_at = trio.current_time()
    await server.ended.wait()
    assert trio.current_time() - begun_at == pytest.approx(HANDSHAKE_TIMEOUT_S, abs=0.1)
    nursery.cancel_scope.cancel()
