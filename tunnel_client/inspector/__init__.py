"""The inspector: what passes is kept for a while, so that the developer can look at it."""
