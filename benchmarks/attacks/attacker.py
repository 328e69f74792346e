"""One attack, or honest load, as a program, on a processor that is not the server's.

    python -m benchmarks.attacks.attacker NAME WAY HOST PORT OURS

It gives way to all else there, since a visitor's latency is to be the server's and not the load's.
It prints {"ready": true} once all of the attack is there, or the honest load is over, goes on until
SIGTERM, and prints its counts.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import trio

from benchmarks.attacks.catalogue import ATTACKS
from benchmarks.attacks.honest import HONEST
from benchmarks.attacks.load import Load
from benchmarks.attacks.ways import Entrance, Way


async def run(attack: Callable[[Load], Awaitable[None]], entrance: Entrance) -> None:
    load = Load(entrance)
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:

            async def tell() -> None:
                await load.ready.wait()
                print(json.dumps({"ready": True}), flush=True)

            async def begin() -> None:
                await attack(load)
                load.ready.set()  # those that are over

            nursery.start_soon(tell)
            nursery.start_soon(begin)
            await anext(signals)
            print(json.dumps(load.report()), flush=True)
            nursery.cancel_scope.cancel()


def main(argv: Sequence[str]) -> None:
    name, way, host, port, ours = argv
    os.nice(19)
    attack = next(attack for attack in (*ATTACKS, *HONEST) if attack.name == name)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    trio.run(partial(run, attack.run, Entrance(Way(way), host, int(port), ours)))


if __name__ == "__main__":
    main(sys.argv[1:])
