from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
import trio.testing

from protocol.backoff import FIRST_SPAN_S, LIVED_S
from tests.clocks import START_S, elapsed_s
from tests.origin_fakes import Told
from tunnel_client.uplink.attempts import Attempts

SERVER = "https://tunnel.test"
DOWN = "cannot reach tunnel.test:443: connection refused"


class Client:
    """Its attempts, with nothing else around them."""

    def __init__(self, give_up_after_s: float = 0.0, draw: Callable[[], float] | None = None):
        self.told = Told()
        self.attempts = Attempts(
            self.told,
            server=SERVER,
            random=draw or (lambda: 1.0),  # the longest wait
            give_up_after_s=give_up_after_s,
        )

    async def pause(self, lived_s: float = 0.0, reason: str = DOWN) -> float:
        """How long it was; another attempt is to follow."""
        begun_at = trio.current_time()
        assert await self.attempts.pause(lived_s, reason)
        return trio.current_time() - begun_at

    def reconnecting(self) -> list[tuple[object, ...]]:
        return [fields[:4] for kind, fields in self.told.events if kind == "reconnecting"]


def wake_at(nursery: trio.Nursery, client: Client, *times: float) -> None:
    async def wake(at: float) -> None:
        await trio.sleep_until(START_S + at)
        client.attempts.wake()

    for at in times:
        nursery.start_soon(wake, at)


# --- pauses ---------------------------------------------------------------------------------------


async def test_each_pause_is_told_and_waited_for(autojump_clock: trio.testing.MockClock) -> None:
    client = Client()
    assert [await client.pause() for _ in range(3)] == [0.5, 1, 2]
    assert client.reconnecting() == [
        (1, 0.5, DOWN, None),
        (2, 1.0, DOWN, None),
        (3, 2.0, DOWN, None),
    ]


async def test_the_wait_is_told_before_it_begins(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    client = Client()
    nursery.start_soon(client.pause)
    await trio.testing.wait_all_tasks_blocked()
    assert client.reconnecting() == [(1, 0.5, DOWN, None)]
    nursery.cancel_scope.cancel()


async def test_the_wait_is_random(autojump_clock: trio.testing.MockClock) -> None:
    draws = iter([0.25, 0.5])
    client = Client(draw=lambda: next(draws))
    assert await client.pause() == FIRST_SPAN_S / 4
    assert await client.pause() == FIRST_SPAN_S


async def test_a_connection_that_lived_makes_the_next_pause_a_first_one(
    autojump_clock: trio.testing.MockClock,
) -> None:
    client = Client()
    for _ in range(5):
        await client.pause()
    assert await client.pause(LIVED_S - 0.1) > FIRST_SPAN_S
    assert await client.pause(LIVED_S) == FIRST_SPAN_S


async def test_without_a_limit_it_goes_on_for_ever(autojump_clock: trio.testing.MockClock) -> None:
    client = Client()
    while elapsed_s() < 4 * 3600:
        await client.pause()
    assert client.reconnecting()[-1][1:] == (30.0, DOWN, None)


async def test_connected_says_how_long_it_was_not(autojump_clock: trio.testing.MockClock) -> None:
    client = Client()
    await trio.sleep(2)
    assert client.attempts.connected() == 2
    await trio.sleep(100)
    await client.pause(100)
    await client.pause()
    await trio.sleep(1)
    assert client.attempts.connected() == 0.5 + 1 + 1


# --- sleep --------------------------------------------------------------------------------------


async def test_wake_cuts_a_pause_short_and_the_next_one_is_a_first_one(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    client = Client()
    for _ in range(9):
        await client.pause()
    wake_at(nursery, client, elapsed_s() + 7)
    assert await client.pause() == 7
    assert await client.pause() == FIRST_SPAN_S
    assert client.reconnecting()[-1][0] == 1


async def test_a_connection_that_is_lost_by_waking_up_is_made_again_without_a_pause(
    autojump_clock: trio.testing.MockClock,
) -> None:
    client = Client()
    client.attempts.connected()
    await trio.sleep(3)
    client.attempts.wake()
    assert await client.pause(3, "this machine slept for 2 h") == 0
    assert client.reconnecting() == [(1, 0.0, "this machine slept for 2 h", None)]
    assert await client.pause() == 2 * FIRST_SPAN_S


async def test_a_wake_that_a_connection_has_outlived_changes_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    client = Client()
    client.attempts.wake()
    client.attempts.connected()
    await trio.sleep(3)
    assert await client.pause(3) == FIRST_SPAN_S


async def test_wake_cuts_an_attempt_short_which_is_made_again_at_once(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    client = Client()
    await client.pause()
    wake_at(nursery, client, 4)
    with client.attempts.attempt():
        await trio.sleep(15)
    assert elapsed_s() == 4
    assert await client.pause(0, "") == 0
    assert client.reconnecting()[-1] == (1, 0.0, DOWN, None)
    with client.attempts.attempt():
        await trio.sleep(15)
    assert elapsed_s() == 19


async def test_what_is_served_in_the_block_of_an_attempt_is_not_cut_short(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    client = Client(give_up_after_s=60)
    wake_at(nursery, client, 4)
    with client.attempts.attempt():
        client.attempts.connected()
        await trio.sleep(1000)
    assert elapsed_s() == 1000


async def test_an_attempt_is_cancelled_from_outside_as_anything_else() -> None:
    client = Client()
    with trio.CancelScope() as scope:
        scope.cancel()
        with client.attempts.attempt():
            await trio.sleep_forever()
    assert scope.cancelled_caught


# --- giving up ----------------------------------------------------------------------------------


async def gives_up(client: Client) -> str:
    """Fails again and again; why there is no next attempt."""
    while await client.attempts.pause(0, DOWN):
        pass
    return client.attempts.gave_up


async def test_it_gives_up_at_the_limit_and_says_why(
    autojump_clock: trio.testing.MockClock,
) -> None:
    client = Client(give_up_after_s=10)
    said = await gives_up(client)
    assert elapsed_s() == 10
    assert said == (
        "gave up after 10 s without a connection to https://tunnel.test: "
        "cannot reach tunnel.test:443: connection refused"
    )


async def test_what_is_told_counts_down_and_no_attempt_is_told_that_will_not_be_made(
    autojump_clock: trio.testing.MockClock,
) -> None:
    client = Client(give_up_after_s=10)
    await gives_up(client)
    # At 0, 0.5, 1.5 and 3.5 s; the wait that begins at 7.5 s would be longer than what is left.
    assert [fields[1:] for fields in client.reconnecting()] == [
        (0.5, DOWN, 10.0),
        (1.0, DOWN, 9.5),
        (2.0, DOWN, 8.5),
        (4.0, DOWN, 6.5),
    ]


@pytest.mark.parametrize("give_up_after_s", [0.0, 4.0, 60.0])
async def test_while_it_stops_no_more_is_promised_than_the_rest_of_that(
    autojump_clock: trio.testing.MockClock, give_up_after_s: float
) -> None:
    client = Client(give_up_after_s)
    client.attempts.stop_by(trio.current_time() + 8)
    await client.pause()
    await client.pause()
    left_s = min(give_up_after_s or 8, 8)
    assert client.reconnecting() == [(1, 0.5, DOWN, left_s), (2, 1.0, DOWN, left_s - 0.5)]


@pytest.mark.parametrize("late_s", [0.0, 0.01])
async def test_a_pause_that_ends_before_the_limit_is_followed_by_an_attempt(
    autojump_clock: trio.testing.MockClock, late_s: float
) -> None:
    client = Client(give_up_after_s=10)
    await trio.sleep(10 - FIRST_SPAN_S - 0.01 + late_s)
    if late_s:
        assert not await client.attempts.pause(0, DOWN)
        assert elapsed_s() == 10
        assert client.reconnecting() == []
    else:
        assert await client.pause() == pytest.approx(FIRST_SPAN_S)


async def test_an_attempt_ends_at_the_limit(autojump_clock: trio.testing.MockClock) -> None:
    client = Client(give_up_after_s=10)
    with client.attempts.attempt():
        await trio.sleep(15)
    assert elapsed_s() == 10
    assert not await client.attempts.pause(0, "")
    assert elapsed_s() == 10
    assert client.attempts.gave_up.endswith("to https://tunnel.test: no attempt has ended")
    assert client.reconnecting() == []


async def test_time_is_counted_from_the_loss_of_the_last_connection(
    autojump_clock: trio.testing.MockClock,
) -> None:
    client = Client(give_up_after_s=60)
    await client.pause()
    client.attempts.connected()
    await trio.sleep(1000)
    await client.pause(1000)
    await gives_up(client)
    assert elapsed_s() == pytest.approx(FIRST_SPAN_S + 1000 + 60)


async def test_time_is_counted_anew_after_a_wake(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    client = Client(give_up_after_s=60)
    wake_at(nursery, client, 59)
    await gives_up(client)
    assert elapsed_s() == 59 + 60


async def test_repr_says_where_it_stands(mock_clock: trio.testing.MockClock) -> None:
    shown = repr(Client(give_up_after_s=60).attempts)
    assert shown == "<Attempts <Backoff attempt=0 span=0.5s> <Patience limit=60s ends_at=100060>>"
