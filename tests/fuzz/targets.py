"""What is fuzzed: each reader of bytes that a visitor, an app or the other end of the wire sends.

A target takes bytes and raises nothing, whatever they are: what its reader promises to raise is
caught in it, and what else the reader promises is asserted. docs/fuzzing.md says how they are run.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.fuzz.compared_answers import answers_elsewhere
from tests.fuzz.http_targets import (
    answer_heads,
    bodies,
    loose_chunks,
    request_heads,
    sent_heads,
    trailers,
)
from tests.fuzz.wire_targets import (
    apps_fields,
    frame_bodies,
    hosts,
    keepalive,
    messages,
    no_http,
    sessions,
    visitors_fields,
    websocket_frames,
)

CORPUS: Final = Path(__file__).parent / "corpus"

TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    target.__name__: target
    for target in (
        *(request_heads, answer_heads, sent_heads, bodies, loose_chunks, trailers),
        answers_elsewhere,
        *(websocket_frames, keepalive, frame_bodies, messages, sessions),
        *(hosts, visitors_fields, apps_fields, no_http),
    )
}


def seeds(name: str) -> dict[str, bytes]:
    """The corpus of a target, by the names of its files."""
    return {path.name: path.read_bytes() for path in sorted((CORPUS / name).glob("*"))}
