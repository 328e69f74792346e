"""The plain core on trio: latches, streams, sessions, transports and sockets."""
