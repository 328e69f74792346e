"""Many streams over one connection; docs/protocol.md is the normative text.

In reading order: `wire` (frames), `messages` (what they say), `codec`, `head_bodies` and
`map_bodies` (how they are packed), `handshake`,
`windows` (credit), `window_size` (how much of it), `memory` (what all sessions may hold), `sending`
(a stream's queue), `pieces` and `progress` (what came, and what it must become), `streams` (the
states of one stream), `events` (what the core tells), `scheduler` (whose turn it is), `delivery`,
`round_trip`, `slow_start` and `jitter` (what acks tell of a line), `inflight` (how much may be on
its way), `acks`, `incoming` and `outgoing` (what came and what goes next), `control` (heartbeat,
claims, goaway), and `core` (one session without I/O), which `protocol.drivers` runs. `printing`
prints frames for people.
"""
