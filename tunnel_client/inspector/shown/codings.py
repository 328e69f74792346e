"""Content codings, undone within limits: what is captured may be a bomb (RFC 9110 8.4).

gzip and deflate are always here, br and zstd where the extra `inspect` is installed. What stops at
a limit is not wrong: its beginning is shown, and that there is more.
"""

from __future__ import annotations

import io
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

DECODED_MAX_BYTES: Final = 1024 * 1024
RATIO_MAX: Final = 100  # no page or JSON packs so well; bombs do
RATIO_FREE_BYTES: Final = 64 * 1024  # so much may come of a few bytes, as of a page of blanks
DECODING_MAX_S: Final = 0.050
CODINGS_MAX: Final = 4  # one upon the other; nobody sends more than two
_STEP_BYTES: Final = 64 * 1024
_ZSTD_WINDOW_MAX_BYTES: Final = 8 * 1024 * 1024  # RFC 9659: what is used on the web
_GZIP_OR_ZLIB: Final = 47  # zlib's word for either head
_RAW: Final = -15

Clock = Callable[[], float]


class Decoded(NamedTuple):
    """A body without its codings.

    Fields:
        data: as much as the limits allow.
        is_cut: there is more of it.
        problem: for people; None: there was none.
    """

    data: bytes
    is_cut: bool = False
    problem: str | None = None


def decoded(data: bytes, codings: str, clock: Clock = time.perf_counter) -> Decoded:
    """Undo the codings of a body, the last one first.

    Args:
        codings: the value of Content-Encoding.
        clock: in seconds.

    Never raises: what cannot be undone is left as it was, with the problem.
    """
    names = [name for name in (word.strip().lower() for word in codings.split(",")) if name]
    names = [name for name in names if name != "identity"]
    if len(names) > CODINGS_MAX:
        return Decoded(data, problem=f"more than {CODINGS_MAX} codings")
    result = Decoded(data)
    until = clock() + DECODING_MAX_S
    for name in reversed(names):
        step = _undone(result.data, name, lambda: clock() >= until)
        result = Decoded(step.data, result.is_cut or step.is_cut, result.problem or step.problem)
        if step.problem:
            break
    return result


def _undone(data: bytes, name: str, is_late: Callable[[], bool]) -> Decoded:
    steps = _STEPS.get(name)
    if steps is None:
        return Decoded(data, problem=f"the coding {name[:40]!r} is not known here")
    limit = min(DECODED_MAX_BYTES, max(RATIO_FREE_BYTES, len(data) * RATIO_MAX))
    out = bytearray()
    problem = None
    try:
        for piece in steps(data):
            out += piece
            if len(out) > limit or is_late():
                return Decoded(bytes(out[:limit]), is_cut=True)
    except ModuleNotFoundError:
        return Decoded(data, problem=f"{name} needs the extra: pip install 'trio-tunnel[inspect]'")
    except ValueError as error:
        problem = f"no whole {name}: {error}"
    if problem is not None and not out:
        return Decoded(data, problem=problem)
    return Decoded(bytes(out), problem=problem)


def _gzip(data: bytes) -> Iterator[bytes]:
    while data:  # members may follow one another (RFC 1952 2.2)
        inflating = zlib.decompressobj(_GZIP_OR_ZLIB)
        yield from _inflated(inflating, data)
        data = inflating.unused_data.lstrip(b"\0")


def _deflate(data: bytes) -> Iterator[bytes]:
    """Undo it with a head of zlib's or without: senders differ (RFC 9110 8.4.1.2)."""
    inflating = zlib.decompressobj()
    try:
        first = inflating.decompress(data, 1)
    except zlib.error:
        yield from _inflated(zlib.decompressobj(_RAW), data)
        return
    yield first
    yield from _inflated(inflating, inflating.unconsumed_tail)


def _inflated(inflating: zlib._Decompress, data: bytes) -> Iterator[bytes]:
    try:
        while not inflating.eof:
            piece = inflating.decompress(data, _STEP_BYTES)
            data = inflating.unconsumed_tail
            if not piece and not data:
                break
            yield piece
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not inflating.eof:
        raise ValueError("its end is missing")


def _br(data: bytes) -> Iterator[bytes]:
    import brotli  # type: ignore[import-untyped]  # it has no types; compiled, and not everywhere

    decompressor = brotli.Decompressor()
    try:
        yield decompressor.process(data, output_buffer_limit=_STEP_BYTES)
        while not decompressor.can_accept_more_data():
            yield decompressor.process(b"", output_buffer_limit=_STEP_BYTES)
    except brotli.error as error:
        raise ValueError("wrong data") from error
    if not decompressor.is_finished():
        raise ValueError("its end is missing")


def _zstd(data: bytes) -> Iterator[bytes]:
    """Read it as a stream: else a frame that states its size is undone whole, limit or not."""
    import zstandard  # likewise

    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_MAX_BYTES)
    reader = decompressor.stream_reader(io.BytesIO(data), read_across_frames=True)
    try:
        while piece := reader.read(_STEP_BYTES):
            yield piece
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error


# Each yields pieces, and raises ValueError where it is not coded like that, or not from here on.
_STEPS: Final[dict[str, Callable[[bytes], Iterator[bytes]]]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _br,
    "zstd": _zstd,
}
