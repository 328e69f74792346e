"""Many streams over one connection; docs/protocol.md is the normative text.

In reading order: `wire` (frames), `messages` (what they say), `codec` (their bodies), `handshake`,
`windows` (credit), `sending` (a stream's queue), `streams` (the states of one stream), `scheduler`
(whose turn it is), `acks`, `outgoing` (what goes next), `control` (heartbeat, claims, goaway),
`core` (one session without I/O). `protocol/drivers` runs them.
"""
