"""What 10,000 tokens and as many kept names cost: at the start, for a look-up, for a claim.

    .venv/bin/python -m benchmarks.names

Starts are of whole processes, with a full folder and an empty one in turn. The rest is measured in
this process, each call by itself.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Final, cast

import trio

from protocol.drivers.session import Session
from protocol.mux.messages import Claim, Claimed
from tunnel_server.owners.auth_file import AuthFile
from tunnel_server.owners.authenticator import Authenticator
from tunnel_server.owners.names import IN_ALL_MAX, OF_OWNER_MAX, Kept
from tunnel_server.owners.store import FILE_NAME, open_store
from tunnel_server.settings.config import ServerConfig
from tunnel_server.tunnels.assembly import build_directory
from tunnel_server.tunnels.directory import Directory, Login

SERVER: Final = Path(sys.executable).with_name("tunnel-server")
DOMAIN: Final = "example.com"
STARTS: Final = 9
CLAIMS: Final = 2000
LOOK_UPS: Final = 10_000
OWNERS: Final = IN_ALL_MAX // OF_OWNER_MAX + 1


class _NoSession:
    """What a directory asks of one that only claims."""

    log: Any = None
    away = False

    def release(self, claim: int, code: str, message: str) -> None:
        pass


def made(folder: Path, count: int) -> Path:
    """A state folder with so many tokens and kept names."""
    folder.mkdir(mode=0o700)
    lines = (f"owner{n} sha256:{hashlib.sha256(b'%d' % n).hexdigest()}\n" for n in range(count))
    (folder / "tokens").write_text("".join(lines))
    store = open_store(folder / FILE_NAME)
    names = {f"name{n}": Kept(f"owner{n // OF_OWNER_MAX}", True, 1.7e9 + n) for n in range(count)}
    store.write(DOMAIN, names)
    store.close()
    return folder


def start_s(folder: Path) -> float:
    """How long a server takes until it listens."""
    began = perf_counter()
    flags = ("--bind", "127.0.0.1:0", "--json", "--domain", DOMAIN, "--state-dir", str(folder))
    with subprocess.Popen(
        [SERVER, *flags], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as server:
        assert server.stdout is not None
        assert b"listening" in server.stdout.readline()
        took_s = perf_counter() - began
        server.terminate()
    return took_s


def look_up_s(authenticator: Authenticator, token: bytes, times: int) -> float:
    """The mean of so many, since one is shorter than a clock can tell."""
    digest = hashlib.sha256(token).digest()
    began = perf_counter()
    for _ in range(times):
        authenticator.right_of(digest)
    return (perf_counter() - began) / times


def claims_s(directory: Directory) -> Iterator[float]:
    """Claims of new names, for each of which a kept one goes, and of kept ones, in turn."""
    for n in range(CLAIMS):
        owner = n % OWNERS
        kept = owner * OF_OWNER_MAX + n // OWNERS
        name = f"name{kept}" if n % 2 and kept < IN_ALL_MAX else f"new{n}"
        session = cast("Session", _NoSession())
        directory.sessions[session] = Login(f"owner{owner}", hashlib.sha256(b"x").digest())
        claim = Claim(1, name, b"i" * 16, True, {}, "")
        began = perf_counter()
        answer = directory.claim(session, claim)
        yield perf_counter() - began
        assert isinstance(answer, Claimed), answer


async def measured(folder: Path) -> None:
    config = ServerConfig(domain=DOMAIN, state_dir=folder)
    authenticator = Authenticator(AuthFile(folder / "tokens"), everybody=False)
    store = open_store(folder / FILE_NAME)
    directory, _ = build_directory(config, authenticator, store)
    print(f"a look-up: {1e6 * look_up_s(authenticator, b'77', LOOK_UPS):.2f} us")
    wrong_s = look_up_s(authenticator, b"wrong", LOOK_UPS // 10)
    print(f"of a wrong token, for which the file is looked at: {1e6 * wrong_s:.1f} us")
    took_s = sorted(claims_s(directory))
    p50, p99 = (1e6 * took_s[int(CLAIMS * share)] for share in (0.5, 0.99))
    print(f"a claim where {len(directory.names)} names are kept: {p50:.0f} us, p99 {p99:.0f} us")
    store.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as path:
        empty, full = made(Path(path, "empty"), 1), made(Path(path, "full"), IN_ALL_MAX)
        starts = [(start_s(empty), start_s(full)) for _ in range(STARTS)]
        few_s, many_s = (median(times) for times in zip(*starts, strict=True))
        print(f"a start: {few_s:.3f} s, with {IN_ALL_MAX} of each {many_s - few_s:.3f} s more")
        trio.run(measured, full)


if __name__ == "__main__":
    main()
