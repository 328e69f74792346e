from __future__ import annotations

import gzip
import subprocess
import sys
import zlib
from collections.abc import Callable
from functools import partial

import brotli  # type: ignore[import-untyped]  # it has no types
import pytest
import zstandard
from hypothesis import given, strategies as st

from tunnel_client.inspector.shown.codings import (
    CODINGS_MAX,
    DECODED_MAX_BYTES,
    DECODING_MAX_S,
    RATIO_FREE_BYTES,
    RATIO_MAX,
    Decoded,
    decoded,
)

TEXT = b'{"a": 1, "b": "some text, as it comes"}' * 50


def raw_deflate(data: bytes) -> bytes:
    deflating = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflating.compress(data) + deflating.flush()


def zstd_stream(data: bytes) -> bytes:
    """Without the size in its head."""
    compressing = zstandard.ZstdCompressor().compressobj()
    return compressing.compress(data) + compressing.flush()


CODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": partial(brotli.compress, quality=5),
    "zstd": zstandard.compress,
}


@pytest.mark.parametrize("name", CODERS)
def test_each_coding_is_undone(name: str) -> None:
    assert decoded(CODERS[name](TEXT), name.upper(), lambda: 0.0) == Decoded(TEXT)


def test_deflate_without_a_head_is_undone() -> None:
    assert decoded(raw_deflate(TEXT), "deflate", lambda: 0.0) == Decoded(TEXT)


def test_zstd_without_a_size_and_members_of_gzip_and_of_zstd_are_undone() -> None:
    assert decoded(zstd_stream(TEXT), "zstd", lambda: 0.0) == Decoded(TEXT)
    two = zstandard.compress(b"ab") + zstandard.compress(b"cd")
    assert decoded(two, "zstd", lambda: 0.0) == Decoded(b"abcd")
    assert decoded(gzip.compress(b"ab") + gzip.compress(b"cd"), "gzip") == Decoded(b"abcd")


def test_codings_upon_one_another_are_undone_from_the_last() -> None:
    data = gzip.compress(brotli.compress(TEXT))
    assert decoded(data, "br, identity ,gzip", lambda: 0.0) == Decoded(TEXT)


@pytest.mark.parametrize("more", [0, 1])
def test_so_many_codings_and_no_more(more: int) -> None:
    data = TEXT
    for _ in range(CODINGS_MAX + more):
        data = gzip.compress(data)
    found = decoded(data, ",".join(["gzip"] * (CODINGS_MAX + more)), lambda: 0.0)
    assert (found.problem is None) == (not more)
    assert (found.data == TEXT) == (not more)


@pytest.mark.parametrize("name", CODERS)
def test_a_bomb_is_shown_up_to_the_limit(name: str) -> None:
    bomb = CODERS[name](bytes(8 * 1024 * 1024))
    found = decoded(bomb, name, lambda: 0.0)
    assert found.is_cut
    assert found.data == bytes(min(DECODED_MAX_BYTES, max(RATIO_FREE_BYTES, len(bomb) * RATIO_MAX)))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gzip", "br", "zstd"])
def test_a_bomb_takes_little_memory(name: str) -> None:
    """A process of its own says the most that it ever had."""
    bomb = CODERS[name](bytes(64 * 1024 * 1024))
    script = (
        "import sys\n"
        "from tunnel_client.inspector.shown.codings import decoded\n"
        f"decoded({CODERS[name](b'x')!r}, {name!r})\n"
        "data = sys.stdin.buffer.read()\n"
        "most = lambda: int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])\n"
        "before = most()\n"
        f"assert decoded(data, {name!r}).is_cut\n"
        "print(most() - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], input=bomb, capture_output=True, check=True
    )
    # The window of br is 4 MiB by itself.
    assert int(done.stdout) < (5 if name == "br" else 4) * 1024


@pytest.mark.parametrize("more", [0, 1])
def test_what_is_just_as_long_as_the_limit_is_whole(more: int) -> None:
    data = bytes(range(256)) * (DECODED_MAX_BYTES // 256) + b"x" * more
    # Of the data itself nothing is saved, so the ratio does not matter.
    found = decoded(zlib.compress(data, 0), "deflate", lambda: 0.0)
    assert (found.is_cut, found.data) == (bool(more), data[:DECODED_MAX_BYTES])


def test_it_stops_when_its_time_is_over() -> None:
    times = iter([0.0, 0.01, DECODING_MAX_S])
    found = decoded(zlib.compress(bytes(range(256)) * 2000, 1), "deflate", lambda: next(times))
    assert found.is_cut
    assert 0 < len(found.data) < 512_000


@pytest.mark.parametrize("name", CODERS)
def test_what_is_cut_off_is_shown_as_far_as_it_goes(name: str) -> None:
    data = bytes(range(256)) * 100
    whole = CODERS[name](data)
    found = decoded(whole[:-3], name, lambda: 0.0)
    assert data.startswith(found.data) or found.data == whole[:-3]
    if name != "zstd":  # whose reader takes an end in the middle for one
        assert found.problem is not None


def test_what_is_not_coded_is_left_with_the_problem() -> None:
    for name in CODERS:
        found = decoded(b"<html>", name)
        assert found.data == b"<html>", name
        assert found.problem, name
    assert decoded(b"x", "compress").problem == "the coding 'compress' is not known here"


def test_without_the_extra_it_says_which_one_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in (("brotli", "br"), ("zstandard", "zstd")):
        monkeypatch.setitem(sys.modules, module, None)
        found = decoded(CODERS[name](TEXT), name)
        assert found.problem == f"{name} needs the extra: pip install 'trio-tunnel[inspect]'"


@given(st.binary(max_size=300), st.lists(st.sampled_from([*CODERS, "", "x"]), max_size=5))
def test_garbage_is_no_error(data: bytes, names: list[str]) -> None:
    found = decoded(data, ",".join(names))
    assert len(found.data) <= DECODED_MAX_BYTES


@given(st.binary(min_size=1, max_size=2000), st.sampled_from(list(CODERS)), st.data())
def test_what_is_wrong_in_the_middle_is_no_error(
    data: bytes, name: str, drawn: st.DataObject
) -> None:
    coded = bytearray(CODERS[name](data))
    coded[drawn.draw(st.integers(0, len(coded) - 1))] ^= drawn.draw(st.integers(1, 255))
    decoded(bytes(coded), name)
