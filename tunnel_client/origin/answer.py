"""The app's answer: its heads and its body are read from the connection and sent back."""

from __future__ import annotations

import math
from typing import Final

import trio

from protocol.errors import HttpError, LocalProtocolError
from protocol.http.bodies import BodyReader, ChunkedBody, body_reader
from protocol.http.connection_auth import challenges_connection
from protocol.http.fields import Fields, values_of
from protocol.http.forwarding import without_tunnel_error
from protocol.http.heads import ResponseHead, end_to_end, parse_response
from protocol.http.lenient import LenientChunkedBody, parse_lenient_response
from protocol.http.limits import (
    READ_CHUNKS_MOST_BYTES,
    READ_FIRST_BYTES,
    READ_PIECE_BYTES,
    READ_PIECES_MOST_BYTES,
)
from protocol.http.stopping import answered
from protocol.limits import READ_BYTES
from protocol.mux.messages import Head
from protocol.mux.streams import HTTP, UPGRADE
from tunnel_client.origin.choosing import REFUSALS
from tunnel_client.origin.connection import OriginClosed, OriginConnection
from tunnel_client.origin.replay import Replay
from tunnel_client.origin.replay_states import ReplayEvent
from tunnel_client.origin.request import Request
from tunnel_client.origin.upgrade import asked_for

# Each answer asks for these, and a global costs a third of an enum's member.
_BYTES: Final = ReplayEvent.BYTES
_FINAL_HEAD: Final = ReplayEvent.FINAL_HEAD


async def relay_heads(
    replay: Replay, connection: OriginConnection, request: Request
) -> ResponseHead:
    """Send informational heads and the final one back; returns that. Raises as `relay`."""
    opened = replay.stream.opened
    asked = asked_for(opened) if opened.kind != HTTP else b""
    key = b"".join(values_of(opened.fields, b"sec-websocket-key")) if asked else b""
    while True:
        raw = await _next_head(replay, connection)
        replay.tap.head(raw)
        try:
            answer = parse_response(raw, opened.method, asked, key)
        except HttpError as refusal:
            answer = parse_lenient_response(raw, opened.method, refusal)
            connection.lenient = True
        named = answer.upgrade
        final = answer.status >= 200 or bool(named)
        head = _as_sent_back(replay, answer, final=final)
        if named and opened.kind == UPGRADE:
            head = head._replace(upgrade=named)
            await _until_whole(replay, request)
        if final:
            _begin_answer(replay, raw, answer)
        try:
            await replay.stream.send_head(head)
        except LocalProtocolError as error:  # the app is at fault, and no table of ours
            raise HttpError("head-too-large", str(error)) from error
        if final:
            replay.tap.status = answer.status
            return answer
        if replay.deadline < math.inf:
            replay.start_timeout()
        await trio.lowlevel.checkpoint()  # a read may bring many heads


async def relay_body(replay: Replay, connection: OriginConnection, answer: ResponseHead) -> bool:
    """Send the answer's body on; whether bytes are left over behind it. Raises as `relay`."""
    stream = replay.stream
    data = connection.answers.take_rest()
    if answer.body is None:
        stream.send_eof()
        return bool(data)
    reader = body_reader(answer.body, LenientChunkedBody)
    if len(data) > READ_FIRST_BYTES:  # the head was as much work
        await trio.lowlevel.checkpoint()
    most_bytes = READ_PIECES_MOST_BYTES if answer.body == "chunked" else READ_BYTES
    while True:
        part, data = data[:most_bytes], data[most_bytes:]
        body = reader.feed(part) if part else b""
        if body:
            replay.tap.body_out(body)
            await stream.send_all(body)
        if reader.done:
            break
        most_bytes = _next_read_bytes(reader, len(part))
        if data:  # more came with the head
            await trio.lowlevel.checkpoint()
        else:
            data = await _read(connection, reader, most_bytes)
    connection.lenient |= reader.lenient
    _end_answer(replay, reader.trailers)
    return bool(data or reader.rest)


def _end_answer(replay: Replay, trailers: Fields) -> None:
    if trailers:
        replay.tap.answer_trailers(trailers)
    try:
        replay.stream.send_eof(trailers)
    except LocalProtocolError as error:
        raise HttpError("head-too-large", str(error)) from error


async def _read(connection: OriginConnection, reader: BodyReader, most_bytes: int) -> bytes:
    """More of a body; b"": the connection's end is its end."""
    data = await connection.receive(most_bytes)
    if not data:
        try:
            reader.eof()
        except HttpError as error:
            raise OriginClosed from error
    return data


def _next_read_bytes(reader: BodyReader, last_bytes: int) -> int:
    """The most to read next, so that it is no long turn."""
    if not isinstance(reader, ChunkedBody):
        return READ_BYTES
    in_pieces = reader.pieces * READ_PIECE_BYTES > last_bytes
    return READ_PIECES_MOST_BYTES if in_pieces else READ_CHUNKS_MOST_BYTES


async def _next_head(replay: Replay, connection: OriginConnection) -> bytes:
    answers = connection.answers
    while (raw := answers.next_head()) is None:
        data = await connection.receive(READ_CHUNKS_MOST_BYTES)
        if not data:
            raise OriginClosed
        replay.happened(_BYTES)
        answers.feed(data)
    return raw


def _as_sent_back(replay: Replay, answer: ResponseHead, *, final: bool) -> Head:
    """The head as the visitor's side gets it. It may begin to bind the connection."""
    fields = without_tunnel_error(end_to_end(answer.fields))
    fields = replay.identity.answered(fields, replay.visited, final=final)
    if challenges_connection(answer.status, answer.fields):
        replay.ends_login = replay.bound and replay.stream.visitor_connection is None
        replay.bound = True
    # That we end a connection which may serve nobody else (see Worker) does not count: we do so
    # once the request has ended as well.
    closes = final and not answer.upgrade and not answer.keep_alive
    return Head(answer.status, answer.reason, fields, answer.body, closes, replay.bound)


def _begin_answer(replay: Replay, raw: bytes, answer: ResponseHead) -> None:
    """The final head has come. It may tell as whom the app wants to be asked."""
    replay.happened(_FINAL_HEAD)
    replay.deadline = math.inf
    if isinstance(answer.body, str):
        replay.answer = answered(answer.body, answer.fields)
    chooser = replay.config.chooser
    if chooser is not None and (b"text/html" in raw or answer.status in REFUSALS):
        replay.tap.page = chooser.saw(replay.stream.opened, replay.identity, answer)


async def _until_whole(replay: Replay, request: Request) -> None:
    """Before a 101 goes on. Raises OriginClosed, SessionClosed."""
    with trio.CancelScope() as replay.dialling:
        if replay.aborted:
            replay.dialling.cancel()
        await request.wait_whole()
        return
    raise OriginClosed
