"""Where connections come from: sockets, accepting, and the handover between two servers."""
