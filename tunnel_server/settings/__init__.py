"""The operator's settings, and what follows from them."""
