"""Connections come from here: sockets, accepting, and the handover between two servers."""
