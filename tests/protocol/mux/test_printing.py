from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from protocol.errors import RemoteProtocolError
from protocol.limits import MESSAGE_MAX_BYTES
from protocol.mux import codec, head_bodies, map_bodies
from protocol.mux.messages import (
    Claim,
    Claimed,
    Goaway,
    Gone,
    Head,
    Hello,
    Open,
    Refused,
    Release,
    Resume,
    Welcome,
)
from protocol.mux.printing import RECEIVED, SENT, frame_line, main, message_lines
from protocol.mux.wire import FrameType, frame

ROOT = Path(__file__).parents[3]
CORPUS = ROOT / "tests" / "fuzz" / "corpus" / "messages"

# It is in no word that a line may have: no type, method or number.
SECRET = "hunter2hunter2hunter2hunter2hunt"
RAW = SECRET.encode()


def opened(method: bytes = b"GET") -> bytes:
    fields = ((b"Authorization", RAW), (RAW, b"x"))
    said = Open("http", 1, method, b"/" + RAW, b"1.1", fields, 5, "https", SECRET, SECRET, 16_384)
    return head_bodies.pack_open(said)


def head(status: int) -> bytes:
    return head_bodies.pack_head(Head(status, RAW, ((b"Set-Cookie", RAW),), "chunked"))


BODIES = {
    FrameType.OPEN: opened(),
    FrameType.HEAD: head(200),
    FrameType.DATA: RAW,
    FrameType.END: codec.pack_trailers(((b"X-Sum", RAW),)),
    FrameType.RESET: codec.pack_code(SECRET, SECRET),
    FrameType.STOP_SENDING: codec.pack_code(SECRET, SECRET),
    FrameType.CREDIT: codec.pack(65_536),
    FrameType.ACK: codec.pack(2),
    FrameType.PING: codec.pack(1),
    FrameType.PONG: codec.pack(1),
    FrameType.HELLO: map_bodies.pack_map(Hello((SECRET,), SECRET, 8, 8)),
    FrameType.WELCOME: map_bodies.pack_map(Welcome((SECRET,), SECRET, RAW[:16], RAW, 15, 30, 60)),
    FrameType.RESUME: map_bodies.pack_map(Resume(RAW[:16], RAW, 1, 7)),
    FrameType.RESUMED: codec.pack({"received": 7}),
    FrameType.CLAIM: map_bodies.pack_map(Claim(1, SECRET, RAW[:16], True, {SECRET: SECRET})),
    FrameType.CLAIMED: map_bodies.pack_map(Claimed(1, SECRET, SECRET)),
    FrameType.REFUSED: map_bodies.pack_map(Refused(1, SECRET, SECRET)),
    FrameType.RELEASE: map_bodies.pack_map(Release(1, SECRET, SECRET)),
    FrameType.GOAWAY: map_bodies.pack_map(Goaway(SECRET, SECRET, 1)),
    FrameType.GONE: map_bodies.pack_map(Gone(7)),
}


def test_a_message_is_a_line_a_frame_in_its_order() -> None:
    message = frame(FrameType.OPEN, 12, opened()) + frame(FrameType.DATA, 12, b"x" * 1400)
    lines = [*message_lines(SENT, message + frame(FrameType.ACK, 0, codec.pack(2)))]
    assert lines == [f"-> 12 OPEN {len(opened())} GET", "-> 12 DATA 1400", "-> 0 ACK 1"]


@pytest.mark.parametrize("status", [100, 101, 404])
def test_the_head_of_an_answer_has_its_status(status: int) -> None:
    body = head(status)
    assert frame_line(RECEIVED, (FrameType.HEAD, 3, body)) == f"<- 3 HEAD {len(body)} {status}"


def test_every_type_is_printed_and_nothing_that_was_said_in_it() -> None:
    assert BODIES.keys() == set(FrameType)
    for kind, body in BODIES.items():
        line = frame_line(SENT, (kind, 7, body))
        assert line.startswith(f"-> 7 {kind.name} {len(body)}")
        assert "hunt" not in line


@pytest.mark.parametrize("method", [b"M-SEARCH", b"UPDATEREDIRECTREF", b"A" * 17])
def test_a_method_in_capitals_is_printed(method: bytes) -> None:
    assert frame_line(SENT, (FrameType.OPEN, 1, opened(method))).endswith(f" {method.decode()}")


@pytest.mark.parametrize("method", [b"", b"get", b"A" * 18, RAW, b"GET\n", b"\xff", b"G\x1b[2J"])
def test_another_method_is_not(method: bytes) -> None:
    assert frame_line(SENT, (FrameType.OPEN, 1, opened(method))).endswith(" ?")


@given(cut=st.integers(0, 400), extra=st.binary(max_size=3))
def test_a_broken_head_is_printed_without_what_it_says(cut: int, extra: bytes) -> None:
    for kind, body in ((FrameType.OPEN, opened()), (FrameType.HEAD, head(200))):
        broken = body[:cut] + extra
        line = frame_line(SENT, (kind, 1, broken))
        start = f"-> 1 {kind.name} {len(broken)}"
        assert line in (f"{start} ?", f"{start} GET", f"{start} 200")


@given(
    kind=st.sampled_from(sorted(FrameType)),
    stream_id=st.integers(0, 2**64 - 1),
    before=st.binary(max_size=40),
    after=st.binary(max_size=40),
)
def test_no_body_makes_it_print_a_secret_or_fail(
    kind: FrameType, stream_id: int, before: bytes, after: bytes
) -> None:
    body = before + RAW + after
    line = frame_line(SENT, (kind, stream_id, body))
    assert line.removesuffix(" ?") == f"-> {stream_id} {kind.name} {len(body)}"


@given(message=st.binary(max_size=200))
def test_bytes_that_are_no_message_are_refused_and_no_other_error_is_raised(message: bytes) -> None:
    try:
        lines = [*message_lines(RECEIVED, message)]
    except RemoteProtocolError:
        return
    assert all(line.isascii() and line.isprintable() for line in lines)


# --- the command ---


def test_a_corpus_file_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(CORPUS / "two"), str(CORPUS / "welcome")]) == 0
    assert capsys.readouterr().out == "-> 1 HEAD 16 200\n-> 1 END 0\n-> 0 WELCOME 122\n"


def test_a_bad_file_is_one_line_and_the_others_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty, long, missing = tmp_path / "empty", tmp_path / "long", tmp_path / "missing"
    empty.write_bytes(b"")
    long.write_bytes(bytes(MESSAGE_MAX_BYTES + 100))
    cut = CORPUS / "cut"
    files = [*map(str, (empty, long, missing, cut)), str(CORPUS / "data")]
    assert main(files) == 1
    out, err = capsys.readouterr()
    assert out == "-> 1 DATA 100\n"
    assert err.splitlines() == [
        f"{empty}: no message: a message of 0 bytes",
        f"{long}: no message: a message of {MESSAGE_MAX_BYTES + 1} bytes",
        f"{missing}: No such file or directory",
        f"{cut}: no message: a frame announces 3 bytes, 2 are there",
    ]


def test_without_a_file_it_says_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert capsys.readouterr().err == "usage: python -m protocol.mux.printing FILE...\n"


def test_it_is_run_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "protocol.mux.printing", CORPUS / "data"],
        capture_output=True,
        check=True,
        text=True,
        cwd=ROOT,
    )
    assert done.stdout == "-> 1 DATA 100\n"
    assert done.stderr == ""
