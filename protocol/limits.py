"""The numbers of the wire, each with the reason for it. docs/limits.md lists them for users.

What is said in hello, welcome or open may differ between two ends; the rest is the same for all.
"""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

# --- messages and frames ---------------------------------------------------------------------

# A WebSocket message of 65,536 bytes and its header would not fit one read of 64 KiB, and a
# buffer over 64 KiB costs ten times more to allocate. A client's header has 14 bytes.
MESSAGE_MAX_BYTES: Final = 64 * KIB - 14

# The length field has 16 bits; a round number below what a message holds.
FRAME_BODY_MAX_BYTES: Final = 65_000

# Bytes that may come before the next whole message: two messages. Endless empty continuation
# frames pass the WebSocket library's own limit.
BYTES_BETWEEN_MESSAGES_MAX: Final = 128 * KIB
# Of a client that has not said hello: its handshake's head, in our own words, and a hello or resume
# of some hundred bytes, behind which it waits for the answer.
BYTES_BEFORE_HELLO_MAX: Final = 8 * KIB

# WebSocket frames of one message, pings and pongs between them included. Ours have one; a proxy
# that cuts at 4 KiB makes 16. 10,000 empty ones would hold up everybody else for 0.1 s.
WEBSOCKET_FRAMES_A_MESSAGE_MAX: Final = 256

# From a message's first byte to its last: 64 KiB at 4 kbit/s. Half a message and then a byte now
# and then would else be life for ever.
MESSAGE_TIMEOUT_S: Final = 120

# What one read from the network asks for.
READ_BYTES: Final = 64 * KIB

# A head in msgpack: 32 KiB of head and 272 fields at 8 bytes of msgpack each, and the other facts.
HEAD_BODY_MAX_BYTES: Final = 48 * KIB
# 256 that a visitor or an app may send, and room for those that the edge adds (X-Forwarded-*, TE).
FIELDS_MAX: Final = 272

# 100, 102, 103: a handful is usual, and an app that never stops must not fill memory.
INFORMATIONAL_HEADS_MAX: Final = 32

# What a head may overdraw its credit by while others before it have not left: those are of a
# visitor that does not read. A head that HTTP allows is 35 KiB here; behind half the first credit
# it overdraws this. With 16 KiB of credit, and 17 that a place costs anyway, it is within 64.
HEADS_OVERDRAFT_MAX_BYTES: Final = 28 * KIB
# Longer trailers are left out, as RFC 9110 6.5.1 lets everybody do. 8 KiB in 256 fields, which is
# what HTTP allows here, are 9 KiB. They wait behind a window of 16 KiB and as much that leaves.
TRAILERS_KEPT_MAX_BYTES: Final = 12 * KIB

# A reason shown to people: a sentence or two.
TEXT_MAX_CHARS: Final = 500
CODE_MAX_CHARS: Final = 40
# An IPv6 address with the name of an interface behind it has 56.
ADDRESS_MAX_CHARS: Final = 100

# --- streams -----------------------------------------------------------------------------------

# Streams at once on a session. Each is promised FIRST_CREDIT_BYTES, half the budget in all.
STREAMS_MAX: Final = 1024
CLAIMS_MAX: Final = 16
# A client claims once, and again when it was refused for now. Each claim is a line in the log.
CLAIMS_PER_MINUTE_MAX: Final = 60

# --- credit ------------------------------------------------------------------------------------

# What a receiver promises to hold at most, over all streams of a session.
BUDGET_BYTES: Final = 32 * MIB
# Each stream has this much whatever the others do: 1,024 of them are half the budget.
FIRST_CREDIT_BYTES: Final = 16 * KIB
# What a stream starts with while there is budget: 5 MB/s at 50 ms, until the window grows.
START_WINDOW_BYTES: Final = 256 * KIB

# On a line of 250 ms it is twice that, so that a download is not cut into bursts in its first
# second, and in between as the round trip is. No stream begins with more than a part of what may be
# lent, so that some fifty may begin at once there, where 64 may on a shorter line.
START_BYTES_PER_S: Final = 2 * MIB
START_WINDOW_LONG_BYTES: Final = 512 * KIB
START_PARTS: Final = 32
# No stream may borrow more than a quarter of the budget.
STREAM_WINDOW_MAX_BYTES: Final = BUDGET_BYTES // 4

# --- sending -----------------------------------------------------------------------------------

# Unsent bytes a stream holds before its writer waits: one message.
STREAM_UNSENT_MAX_BYTES: Final = 64 * KIB
# The same where memory is short: a writer that has its turn goes on.
STREAM_UNSENT_MIN_BYTES: Final = 4 * KIB
# Small pieces of data are joined up to this, waiting to leave and waiting to be taken: a byte a
# piece would cost forty times its size in memory.
JOINED_MAX_BYTES: Final = KIB
# A turn of one stream is a quarter of a message, so that four streams share each: on a slow line,
# where messages are short, a round of eight downloads takes a few ms. Of the longest it is this.
TURN_BYTES: Final = 16 * KIB
TURNS_A_MESSAGE: Final = 4
TURN_MIN_BYTES: Final = KIB  # of which a frame's header is 1 %
# Turns of waking streams in a row before an old one gets its own (as RFC 8290 orders new flows
# before old ones, with a bound).
WAKING_TURNS_MAX: Final = 8

# Heads that are queued before the writer gets its turn, and streams that are woken before the
# others get theirs. Of 32 requests that come together the other end would else see
# nothing until the last is read, and then this end would wait for it: 3,700 GETs/s against 5,100.
HEADS_A_BATCH_MAX: Final = 8

# What all sessions of a server may hold together: what was sent and is not acknowledged, what waits
# to be sent, and what was promised to be taken. Half of it is lent; the rest is 32 KiB that each of
# 1,024 sessions has of its own. Of 40 clients that all have downloads each has 0.8 MiB, which is 8
# MB/s at 100 ms.
MEMORY_BYTES: Final = 64 * MIB
MEMORY_LENT_BYTES: Final = 32 * MIB

# What was sent and is not acknowledged, which a resume would have to retransmit: counted bytes, and
# the cost of each message. Bulk stops short of it, so that small frames of waking streams find
# room.
UNACKED_MAX_BYTES: Final = 16 * MIB
UNACKED_BULK_MAX_BYTES: Final = 15 * MIB

# The memory that a message which is kept takes beside its counted bytes; 318 were measured.
MESSAGE_COST_BYTES: Final = 320

# The memory that a cancelled stream takes beside its target, until the peer has let it go too: 3.7
# KiB are allocated, 6 were resident.
CANCELLED_COST_BYTES: Final = 6 * KIB

# An ack leaves after this many messages or this time, whichever is first.
ACK_AFTER_MESSAGES: Final = 2
ACK_DELAY_S: Final = 0.005

# --- life --------------------------------------------------------------------------------------

PING_INTERVAL_S: Final = 15
TIMEOUT_S: Final = 30  # two pings
# A peer needs one ping in 15 s; more than this many in one second are a flood.
PINGS_PER_SECOND_MAX: Final = 10
# Ended connections of visitors of which a client that does not read is told later: a burst of a few
# browsers. It lets go of all others by itself.
GONE_UNSENT_MAX: Final = 64
# How long a server keeps a session without a connection (announced). A router that restarts and a
# laptop that changes its network are back within a minute; visitors hardly wait any longer.
HOLD_S: Final = 60

# The WebSocket handshake and hello / welcome: some round trips of a very bad line.
HANDSHAKE_TIMEOUT_S: Final = 15
# The server's share of it: the head has been read already, so one write and one short message.
ACCEPT_TIMEOUT_S: Final = 5
# A goaway or a closing handshake may take this long; then the connection is dropped.
CLOSE_TIMEOUT_S: Final = 2
