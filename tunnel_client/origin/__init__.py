"""The local app: connections to it, and requests replayed on them."""
