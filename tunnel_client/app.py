"""The client as a whole: where its parts meet, and the order of start and stop."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from protocol.drivers.upgrade_leg import CLOSE_ANSWER_S
from protocol.errors import TunnelError
from protocol.program.folders import user_state_folder
from protocol.program.line_writer import writing
from protocol.program.logs import LEVELS, set_up_logging
from protocol.program.observing import Sink
from protocol.program.process import (
    EXIT_FAILED,
    EXIT_STOPPED,
    collect_rarely,
    complain,
    version,
)
from protocol.program.stop_signals import stop_signals
from tunnel_client.identity.rewriting import Identity
from tunnel_client.observing.events import ClientEvent, ClientStopping, ProgramStopped
from tunnel_client.observing.footer import Footer, FooterNumbers
from tunnel_client.observing.output import ClientOutput, output_for
from tunnel_client.origin.choosing import IdentityChooser
from tunnel_client.origin.dial import Dialer
from tunnel_client.origin.dispatch import Dispatcher
from tunnel_client.origin.first_look import FirstLook, SilentLook, leads_back
from tunnel_client.origin.replay import Replay
from tunnel_client.origin.upgrade import CLOSE_S
from tunnel_client.origin.visitor_stream import VisitorStream
from tunnel_client.origin.waiting import PatientDialer
from tunnel_client.settings.config import ClientConfig
from tunnel_client.settings.install_key import NOWHERE
from tunnel_client.settings.rows import PROGRAM
from tunnel_client.settings.values import Mode
from tunnel_client.uplink.agent import Agent
from tunnel_client.uplink.lookups import Lookups
from tunnel_client.uplink.release import release_name

if TYPE_CHECKING:  # a service has no inspector, and does not load it
    from tunnel_client.inspector.replaying.replays import ReplayApps
    from tunnel_client.inspector.web.inspector import Inspector
    from tunnel_client.inspector.web.place import InspectorPlace

# "At once" to a person, and time for a Close to come back from the other side of the world.
LAST_WORD_S: Final = 0.2

MIB: Final = 1024 * 1024

# When the session is closed, apps are told by a Close, and have this long to answer it.
_GOODBYE_S: Final = CLOSE_ANSWER_S + CLOSE_S + 0.5


def run(config: ClientConfig) -> int:
    """Serve until a signal stops it or the server refuses; returns the exit code."""
    try:
        place = _place(config)
    except TunnelError as error:
        complain(PROGRAM, f"--inspect: {error}")
        return EXIT_FAILED
    output = output_for(config, os.environ, None if place is None else place.link)
    log_writer = set_up_logging(LEVELS[config.log_level], write=output.write_log)
    collect_rarely()
    with writing(log_writer), output.drawn_anew():
        return trio.run(_main, config, output, place)


def release(config: ClientConfig, name: str) -> str:
    """Give a name up; returns what to say of it. Raises ReleaseFailed."""
    log_writer = set_up_logging(LEVELS[config.log_level])
    with writing(log_writer):
        return trio.run(_release, config, name)


async def _release(config: ClientConfig, name: str) -> str:
    trio.socket.set_custom_hostname_resolver(Lookups())
    return await release_name(config, name, version())


def _place(config: ClientConfig) -> InspectorPlace | None:
    """Take the inspector's place. A service, with no terminal, does not hold secrets in memory."""
    wanted = config.inspect
    if wanted is None:
        wanted = sys.stdout is not None and sys.stdout.isatty()
    if wanted is False:
        return None
    from tunnel_client.inspector.web.place import open_place

    folder = user_state_folder() or NOWHERE
    place = open_place(wanted, config.inspect_host, config.target, folder)
    if place.token.warning:
        complain(PROGRAM, f"warning: {place.token.warning}")
    return place


async def _main(config: ClientConfig, output: ClientOutput, place: InspectorPlace | None) -> int:
    trio.socket.set_custom_hostname_resolver(Lookups())
    report = output.report()
    with stop_signals() as signals:
        async with trio.open_nursery() as outer:
            outer.start_soon(report.run)
            exit_code = await serve(config, report, signals, output.footer, place)
            outer.cancel_scope.cancel()
    return exit_code


class ProgramSight:
    """The numbers of this program, for its footer; and what its inspector asks of it."""

    def __init__(self, agent: Agent, dispatcher: Dispatcher) -> None:
        self._agent = agent
        self._dispatcher = dispatcher

    def __repr__(self) -> str:
        return f"<ProgramSight of {self._agent!r} and {self._dispatcher!r}>"

    def numbers(self) -> FooterNumbers:
        """See Sight."""
        dispatcher = self._dispatcher
        transfers = dispatcher.transfers.oldest(trio.current_time())
        counts = dispatcher.served, dispatcher.busy_count
        return FooterNumbers(self._agent.round_trip_s, *counts, transfers)

    @property
    def round_trip_s(self) -> float | None:
        """See WatchedProgram."""
        return self._agent.round_trip_s

    def cancel(self, stream: VisitorStream) -> bool:
        """See WatchedProgram."""
        return self._dispatcher.cancel(stream)


async def serve(
    config: ClientConfig,
    report: Sink[ClientEvent],
    signals: AsyncIterator[int],
    footer: Footer | None = None,
    place: InspectorPlace | None = None,
) -> int:
    """Serve until a signal stops it or the server refuses; returns the exit code.

    `stopped` is told once, as the last thing, if it was a signal that ended it.

    Args:
        footer: is to show how this program is; None: there is none.
        place: of the inspector; None: there is none.
    """
    inspector = None if place is None else _inspector(config, place, report)
    report = inspector or report
    loop = leads_back(config.target, config.server_url)
    first_look = FirstLook(config.target, report, loop)
    chooser = _chooser(config, report, first_look) if config.identity == "auto" else None
    sink = chooser or SilentLook(first_look, report)
    dialer = PatientDialer(
        config.target,
        insecure=config.origin_insecure,
        ca=config.origin_ca,
        wait_s=config.origin_wait_s,
        sink=sink,
    )
    identity = _identity(config, "public" if config.identity == "public" else "local")
    exit_code = EXIT_STOPPED
    async with trio.open_nursery() as tasks:
        dispatcher = Dispatcher(
            dialer,
            report,
            tasks,
            origin_timeout_s=config.origin_timeout_s,
            identity=identity,
            ws_keepalive_s=config.ws_keepalive_s,
            chooser=chooser,
            tells_opened=config.json,
            tap_for=None if inspector is None else inspector.tap_for,
        )
        agent = Agent(
            config,
            sink,
            dispatcher.serve,
            version=version(),
            instance=os.urandom(16),
            random=random.SystemRandom().random,
        )
        sight = ProgramSight(agent, dispatcher)
        if footer is not None:
            footer.sight = sight
        tasks.start_soon(dispatcher.sweep)
        tasks.start_soon(first_look.watch)
        if inspector is not None:
            inspector.watch(sight, _replay_apps(config, dialer, identity, chooser))
            tasks.start_soon(inspector.run)
        tasks.start_soon(sink.run, dialer.open_now)

        async def stop_serving() -> None:
            dialer.give_up()
            tell = partial(_tell_of_stop, report, config.drain_timeout_s)
            await dispatcher.stopping.run(config.drain_timeout_s, tell)

        stop = partial(_stop_on_signal, signals, agent, dispatcher, stop_serving)
        tasks.start_soon(stop, tasks.cancel_scope)
        exit_code = await agent.run()
        await _say_goodbye(dispatcher)
        tasks.cancel_scope.cancel()
    if exit_code == EXIT_STOPPED:
        cut_off = dispatcher.stopping.cut_off
        report.tell(ProgramStopped(_why_stopped(cut_off), cut_off))
    return exit_code


def _tell_of_stop(
    report: Sink[ClientEvent], patience_s: float, under_way: int, oldest: Replay
) -> None:
    """Say what the stop waits for."""
    opened, stream = oldest.stream.opened, oldest.stream
    ms = round((trio.current_time() - oldest.tap.began_at) * 1000, 1)
    asked = (under_way, patience_s, opened.method, opened.target, ms)
    report.tell(ClientStopping(*asked, *stream.request_progress, *stream.answer_progress))


def _why_stopped(cut_off: int) -> str:
    requests = "1 request" if cut_off == 1 else f"{cut_off} requests"
    return f"stopped by the user, {requests} cut off" if cut_off else "stopped by the user"


def _inspector(config: ClientConfig, place: InspectorPlace, report: Sink[ClientEvent]) -> Inspector:
    from tunnel_client.inspector.capture.store import CaptureStore
    from tunnel_client.inspector.web.inspector import Inspector
    from tunnel_client.inspector.web.run_facts import ProgramFacts

    clock = time.time  # noqa: TID251  # that of the wall, for people
    memory_bytes = config.inspect_memory_mib * MIB
    store = CaptureStore(memory_bytes=memory_bytes, bodies=not config.no_capture_bodies, now=clock)
    return Inspector(place, store, ProgramFacts(version(), str(config.target), clock()), report)


def _replay_apps(
    config: ClientConfig, dialer: Dialer, identity: Identity, chooser: IdentityChooser | None
) -> ReplayApps:
    from tunnel_client.inspector.replaying.replay_apps import ConfiguredApps

    return ConfiguredApps(config, dialer, identity, chooser)


def _chooser(
    config: ClientConfig, report: Sink[ClientEvent], first_look: FirstLook
) -> IdentityChooser:
    """Return what finds out as whom the app is asked."""
    identities: dict[Mode, Identity] = {
        "local": _identity(config, "local"),
        "public": _identity(config, "public"),
    }
    agent = f"trio-tunnel/{version()}"
    return IdentityChooser(config.target, identities, report, agent, first_look)


def _identity(config: ClientConfig, mode: Mode) -> Identity:
    return Identity(
        config.target,
        mode,
        config.host_header,
        request_edits=config.request_edits,
        answer_edits=config.answer_edits,
    )


async def _stop_on_signal(
    signals: AsyncIterator[int],
    agent: Agent,
    dispatcher: Dispatcher,
    stop_serving: Callable[[], Awaitable[None]],
    scope: trio.CancelScope,
) -> None:
    """The first signal lets what is in flight end, as its kind does; the second drops it."""
    await anext(signals)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_end_on_signal, signals, agent, dispatcher, scope)
        nursery.start_soon(stop_serving)
        await agent.stop()
        await _say_goodbye(dispatcher)
        scope.cancel()


async def _end_on_signal(
    signals: AsyncIterator[int], agent: Agent, dispatcher: Dispatcher, scope: trio.CancelScope
) -> None:
    """Drop everything, and tell the server: it would hold the session for a client that is gone."""
    await anext(signals)
    with trio.move_on_after(LAST_WORD_S):
        await dispatcher.stopping.cut_all()
        await agent.end()
    scope.cancel()


async def _say_goodbye(dispatcher: Dispatcher) -> None:
    """Let WebSockets whose session has ended close towards the app."""
    with trio.move_on_after(_GOODBYE_S):
        await dispatcher.wait_quiet()
